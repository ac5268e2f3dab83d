namespace App.Models;

public enum OrderStatus
{
    Pending,
    Processed,
    Cancelled,
}

public class Order
{
    public int Id { get; set; }

    public required string Number { get; set; }

    public int PersonId { get; set; }

    public Person? Person { get; set; }

    public OrderStatus Status { get; set; }

    public DateTime CreatedAt { get; set; }

    /// <summary>Filled by <see cref="Jobs.ProcessOrdersJob"/>.</summary>
    public DateTime? ProcessedAt { get; set; }

    public int? TotalCents { get; set; }

    public List<OrderLine> Lines { get; set; } = [];
}
