namespace App.Models;

/// <summary>What background work did, one row each.</summary>
public class AuditEntry
{
    public int Id { get; set; }

    public DateTime At { get; set; }

    public required string Action { get; set; }

    public required string Details { get; set; }
}
