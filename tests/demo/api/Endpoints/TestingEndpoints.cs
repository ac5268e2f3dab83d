using App.Contracts;
using App.Data;
using App.Services;
using Microsoft.AspNetCore.Http.HttpResults;
using Microsoft.EntityFrameworkCore;

namespace App.Endpoints;

/// <summary>What the end-to-end tests need beside the product. Only there in the environment "E2E".</summary>
public static class TestingEndpoints
{
    public static void MapTesting(this IEndpointRouteBuilder app)
    {
        var group = app.MapGroup("/api/testing");
        group.MapPost("/reset", Reset);
        group.MapGet("/schema", Schema);
    }

    /// <summary>Back to the rows of a new database: same rows, same ids. Beside its account those named are kept.</summary>
    private static async Task<NoContent> Reset(ResetInput input, AppDbContext db, UploadStore store)
    {
        var kept = SeedData.Users.Select(user => user.UserName).Concat(input.KeepUsers).ToList();
        await using var transaction = await db.Database.BeginTransactionAsync();
        await db.Uploads.ExecuteDeleteAsync();
        await db.Orders.ExecuteDeleteAsync();
        await db.People.ExecuteDeleteAsync();
        await db.Roles.ExecuteDeleteAsync();
        await db.Products.ExecuteDeleteAsync();
        await db.AuditEntries.ExecuteDeleteAsync();
        await db.Users.Where(user => !kept.Contains(user.UserName)).ExecuteDeleteAsync();

        // The next row of a table gets the id after its highest, as in a new database.
        await db.Database.ExecuteSqlAsync($"DELETE FROM sqlite_sequence WHERE name <> 'Users'");
        await db.Database.ExecuteSqlAsync(
            $"UPDATE sqlite_sequence SET seq = coalesce((SELECT max(Id) FROM Users), 0) WHERE name = 'Users'");

        db.AddRange(SeedData.Roles);
        db.AddRange(SeedData.People);
        db.AddRange(SeedData.Products);
        await db.SaveChangesAsync();
        await transaction.CommitAsync();
        store.DeleteAll();
        return TypedResults.NoContent();
    }

    private static async Task<Ok<SchemaView>> Schema(AppDbContext db) => TypedResults.Ok(new SchemaView(
        [.. await db.Database.GetAppliedMigrationsAsync()],
        [.. await db.Database.GetPendingMigrationsAsync()],
        db.Database.HasPendingModelChanges(),
        [.. db.Model.GetEntityTypes().Select(type => type.GetTableName()!).Order()]));
}
