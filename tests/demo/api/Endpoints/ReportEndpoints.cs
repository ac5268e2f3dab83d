using App.Contracts;
using App.Data;
using Microsoft.AspNetCore.Http.HttpResults;
using Microsoft.EntityFrameworkCore;

namespace App.Endpoints;

public static class ReportEndpoints
{
    public static void MapReports(this IEndpointRouteBuilder app)
    {
        app.MapGet("/api/totals", Totals);
        app.MapGet("/api/audit", Audit).RequireAuthorization();
    }

    private static async Task<Ok<Totals>> Totals(AppDbContext db) => TypedResults.Ok(new Totals(
        await db.Roles.CountAsync(),
        await db.People.CountAsync(),
        await db.Users.CountAsync(),
        await db.Products.CountAsync(),
        await db.Orders.CountAsync(),
        await db.OrderLines.CountAsync(),
        await db.Uploads.CountAsync(),
        await db.AuditEntries.CountAsync()));

    private static async Task<Ok<List<AuditView>>> Audit(AppDbContext db, int take = 100) => TypedResults.Ok(
        await db.AuditEntries
            .OrderByDescending(entry => entry.Id)
            .Take(Math.Clamp(take, 1, 1000))
            .Select(entry => new AuditView(entry.Id, entry.At, entry.Action, entry.Details))
            .ToListAsync());
}
