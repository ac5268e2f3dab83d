using App.Contracts;
using App.Data;
using App.Models;
using Microsoft.AspNetCore.Http.HttpResults;
using Microsoft.EntityFrameworkCore;

namespace App.Endpoints;

public static class ProductEndpoints
{
    public static void MapProducts(this IEndpointRouteBuilder app)
    {
        var group = app.MapGroup("/api/products");
        group.MapGet("/", List);
        group.MapPost("/", Create).RequireAuthorization();
        group.MapDelete("/{id:int}", Delete).RequireAuthorization();
    }

    private static async Task<Ok<List<ProductView>>> List(AppDbContext db) => TypedResults.Ok(
        await db.Products
            .OrderBy(product => product.Id)
            .Select(product => new ProductView(product.Id, product.Name, product.PriceCents))
            .ToListAsync());

    private static async Task<Created<ProductView>> Create(ProductInput input, AppDbContext db)
    {
        var product = new Product { Name = input.Name, PriceCents = input.PriceCents };
        db.Products.Add(product);
        await db.SaveChangesAsync();
        return TypedResults.Created(
            $"/api/products/{product.Id}", new ProductView(product.Id, product.Name, product.PriceCents));
    }

    private static async Task<Results<NoContent, NotFound>> Delete(int id, AppDbContext db)
    {
        var deleted = await db.Products.Where(product => product.Id == id).ExecuteDeleteAsync();
        return deleted == 0 ? TypedResults.NotFound() : TypedResults.NoContent();
    }
}
