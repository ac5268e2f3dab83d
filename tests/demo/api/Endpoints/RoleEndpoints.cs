using App.Contracts;
using App.Data;
using App.Models;
using Microsoft.AspNetCore.Http.HttpResults;
using Microsoft.EntityFrameworkCore;

namespace App.Endpoints;

public static class RoleEndpoints
{
    public static void MapRoles(this IEndpointRouteBuilder app)
    {
        var group = app.MapGroup("/api/roles");
        group.MapGet("/", List);
        group.MapPost("/", Create).RequireAuthorization();
        group.MapPut("/{id:int}", Update).RequireAuthorization();
        group.MapDelete("/{id:int}", Delete).RequireAuthorization();
    }

    private static async Task<Ok<List<RoleView>>> List(AppDbContext db) => TypedResults.Ok(
        await db.Roles
            .OrderBy(role => role.Id)
            .Select(role => new RoleView(role.Id, role.Name, role.People.Count))
            .ToListAsync());

    private static async Task<Created<RoleView>> Create(RoleInput input, AppDbContext db)
    {
        var role = new Role { Name = input.Name };
        db.Roles.Add(role);
        await db.SaveChangesAsync();
        return TypedResults.Created($"/api/roles/{role.Id}", new RoleView(role.Id, role.Name, 0));
    }

    private static async Task<Results<NoContent, NotFound>> Update(int id, RoleInput input, AppDbContext db)
    {
        var role = await db.Roles.FindAsync(id);
        if (role is null)
        {
            return TypedResults.NotFound();
        }

        role.Name = input.Name;
        await db.SaveChangesAsync();
        return TypedResults.NoContent();
    }

    private static async Task<Results<NoContent, NotFound>> Delete(int id, AppDbContext db)
    {
        var deleted = await db.Roles.Where(role => role.Id == id).ExecuteDeleteAsync();
        return deleted == 0 ? TypedResults.NotFound() : TypedResults.NoContent();
    }
}
