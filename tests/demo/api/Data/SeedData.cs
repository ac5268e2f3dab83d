using App.Models;
using Microsoft.EntityFrameworkCore;

namespace App.Data;

/// <summary>The rows that every new database starts with.</summary>
public static class SeedData
{
    private static readonly DateTime Created = new(2025, 1, 1, 0, 0, 0, DateTimeKind.Utc);

    public static void Apply(ModelBuilder modelBuilder)
    {
        modelBuilder.Entity<Role>().HasData(
            new Role { Id = 1, Name = "Administrator" },
            new Role { Id = 2, Name = "Editor" },
            new Role { Id = 3, Name = "Reader" });

        modelBuilder.Entity<Person>().HasData(
            new Person { Id = 1, Name = "Alice", Email = "alice@example.com", RoleId = 1, CreatedAt = Created },
            new Person { Id = 2, Name = "Bob", Email = "bob@example.com", RoleId = 2, CreatedAt = Created },
            new Person { Id = 3, Name = "Carol", Email = "carol@example.com", RoleId = 3, CreatedAt = Created });

        // The password is "admin".
        modelBuilder.Entity<User>().HasData(
            new User
            {
                Id = 1,
                UserName = "admin",
                PasswordHash = "AQAAAAIAAYagAAAAELOMFQbSTCFoHBR96NxAqBhIymM6+1v10BxgVje+6gJKv8OhkyOE6h4GCM2UNtwlNg==",
                CreatedAt = Created,
            });

        modelBuilder.Entity<Product>().HasData(
            new Product { Id = 1, Name = "Notebook", PriceCents = 450 },
            new Product { Id = 2, Name = "Pencil", PriceCents = 120 },
            new Product { Id = 3, Name = "Desk lamp", PriceCents = 3900 });
    }
}
