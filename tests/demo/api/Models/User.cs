namespace App.Models;

/// <summary>Somebody who may log in.</summary>
public class User
{
    public int Id { get; set; }

    public required string UserName { get; set; }

    public required string PasswordHash { get; set; }

    public DateTime CreatedAt { get; set; }
}
