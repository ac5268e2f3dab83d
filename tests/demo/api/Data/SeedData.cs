using App.Models;
using Microsoft.EntityFrameworkCore;

namespace App.Data;

/// <summary>The rows that every new database starts with.</summary>
public static class SeedData
{
    private static readonly DateTime Created = new(2025, 1, 1, 0, 0, 0, DateTimeKind.Utc);

    public static Role[] Roles =>
    [
        new() { Id = 1, Name = "Administrator" },
        new() { Id = 2, Name = "Editor" },
        new() { Id = 3, Name = "Reader" },
    ];

    public static Person[] People =>
    [
        new() { Id = 1, Name = "Alice", Email = "alice@example.com", RoleId = 1, CreatedAt = Created },
        new() { Id = 2, Name = "Bob", Email = "bob@example.com", RoleId = 2, CreatedAt = Created },
        new() { Id = 3, Name = "Carol", Email = "carol@example.com", RoleId = 3, CreatedAt = Created },
    ];

    // The password is "admin".
    public static User[] Users =>
    [
        new()
        {
            Id = 1,
            UserName = "admin",
            PasswordHash = "AQAAAAIAAYagAAAAELOMFQbSTCFoHBR96NxAqBhIymM6+1v10BxgVje+6gJKv8OhkyOE6h4GCM2UNtwlNg==",
            CreatedAt = Created,
        },
    ];

    public static Product[] Products =>
    [
        new() { Id = 1, Name = "Notebook", PriceCents = 450 },
        new() { Id = 2, Name = "Pencil", PriceCents = 120 },
        new() { Id = 3, Name = "Desk lamp", PriceCents = 3900 },
    ];

    public static void Apply(ModelBuilder modelBuilder)
    {
        modelBuilder.Entity<Role>().HasData(Roles);
        modelBuilder.Entity<Person>().HasData(People);
        modelBuilder.Entity<User>().HasData(Users);
        modelBuilder.Entity<Product>().HasData(Products);
    }
}
