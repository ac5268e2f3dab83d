using System.ComponentModel.DataAnnotations;

namespace App.Contracts;

public record RoleInput([Required, StringLength(64)] string Name);

public record RoleView(int Id, string Name, int People);

public record PersonInput(
    [Required, StringLength(128)] string Name,
    [Required, EmailAddress, StringLength(256)] string Email,
    int RoleId,
    DateTimeOffset? ExpiresAt);

public record PersonView(int Id, string Name, string Email, int RoleId, string Role, int Orders, DateTime? ExpiresAt);
