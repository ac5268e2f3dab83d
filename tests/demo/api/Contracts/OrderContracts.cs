using System.ComponentModel.DataAnnotations;
using App.Models;

namespace App.Contracts;

public record ProductInput([Required, StringLength(128)] string Name, [Range(0, 100_000_000)] int PriceCents);

public record ProductView(int Id, string Name, int PriceCents);

public record OrderLineInput(int ProductId, [Range(1, 10_000)] int Quantity);

public record OrderInput(
    [Required, StringLength(32)] string Number,
    int PersonId,
    [MinLength(1)] List<OrderLineInput> Lines);

public record OrderLineView(int Id, int ProductId, int Quantity, int UnitPriceCents);

public record OrderView(
    int Id,
    string Number,
    int PersonId,
    OrderStatus Status,
    DateTime CreatedAt,
    DateTime? ProcessedAt,
    int? TotalCents,
    List<OrderLineView> Lines);
