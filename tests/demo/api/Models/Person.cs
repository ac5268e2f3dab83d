namespace App.Models;

public class Person
{
    public int Id { get; set; }

    public required string Name { get; set; }

    public required string Email { get; set; }

    public int RoleId { get; set; }

    public Role? Role { get; set; }

    public DateTime CreatedAt { get; set; }

    /// <summary>When set, <see cref="Services.DataCleanupService"/> removes the person after this moment (UTC).</summary>
    public DateTime? ExpiresAt { get; set; }

    public List<Order> Orders { get; } = [];
}
