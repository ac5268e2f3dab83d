using App.Contracts;
using App.Data;
using App.Models;
using App.Services;
using Microsoft.AspNetCore.Http.HttpResults;
using Microsoft.EntityFrameworkCore;

namespace App.Endpoints;

public static class OrderEndpoints
{
    public static void MapOrders(this IEndpointRouteBuilder app)
    {
        var group = app.MapGroup("/api/orders").RequireAuthorization();
        group.MapGet("/", List);
        group.MapGet("/{id:int}", Get);
        group.MapPost("/", Create);
        group.MapPost("/{id:int}/cancel", Cancel);
        group.MapDelete("/{id:int}", Delete);
    }

    private static async Task<Ok<List<OrderView>>> List(AppDbContext db, int? personId)
    {
        var orders = db.Orders.AsQueryable();
        if (personId is not null)
        {
            orders = orders.Where(order => order.PersonId == personId);
        }

        return TypedResults.Ok(await Project(orders.OrderBy(order => order.Id)).ToListAsync());
    }

    private static async Task<Results<Ok<OrderView>, NotFound>> Get(int id, AppDbContext db)
    {
        var view = await Project(db.Orders.Where(order => order.Id == id)).SingleOrDefaultAsync();
        return view is null ? TypedResults.NotFound() : TypedResults.Ok(view);
    }

    private static async Task<Results<Created<OrderView>, ValidationProblem>> Create(
        OrderInput input, AppDbContext db, ChangeNotifier notifier, TimeProvider clock)
    {
        var productIds = input.Lines.Select(line => line.ProductId).Distinct().ToList();
        var prices = await db.Products
            .Where(product => productIds.Contains(product.Id))
            .ToDictionaryAsync(product => product.Id, product => product.PriceCents);
        if (prices.Count != productIds.Count)
        {
            return TypedResults.ValidationProblem(new Dictionary<string, string[]>
            {
                ["Lines"] = ["A product does not exist."],
            });
        }

        var order = new Order
        {
            Number = input.Number,
            PersonId = input.PersonId,
            Status = OrderStatus.Pending,
            CreatedAt = clock.GetUtcNow().UtcDateTime,
            Lines = input.Lines
                .Select(line => new OrderLine
                {
                    ProductId = line.ProductId,
                    Quantity = line.Quantity,
                    UnitPriceCents = prices[line.ProductId],
                })
                .ToList(),
        };
        db.Orders.Add(order);
        await db.SaveChangesAsync();
        await notifier.Notify("order-created", order.Id);

        var view = await Project(db.Orders.Where(created => created.Id == order.Id)).SingleAsync();
        return TypedResults.Created($"/api/orders/{order.Id}", view);
    }

    private static async Task<Results<NoContent, Conflict>> Cancel(int id, AppDbContext db, ChangeNotifier notifier)
    {
        // In one statement: the job may process the order at the same moment.
        var cancelled = await db.Orders
            .Where(order => order.Id == id && order.Status == OrderStatus.Pending)
            .ExecuteUpdateAsync(update => update.SetProperty(order => order.Status, OrderStatus.Cancelled));
        if (cancelled == 0)
        {
            return TypedResults.Conflict();
        }

        await notifier.Notify("order-cancelled", id);
        return TypedResults.NoContent();
    }

    private static async Task<Results<NoContent, NotFound>> Delete(int id, AppDbContext db)
    {
        var deleted = await db.Orders.Where(order => order.Id == id).ExecuteDeleteAsync();
        return deleted == 0 ? TypedResults.NotFound() : TypedResults.NoContent();
    }

    private static IQueryable<OrderView> Project(IQueryable<Order> orders) => orders.Select(order => new OrderView(
        order.Id, order.Number, order.PersonId, order.Status, order.CreatedAt, order.ProcessedAt, order.TotalCents,
        order.Lines
            .Select(line => new OrderLineView(line.Id, line.ProductId, line.Quantity, line.UnitPriceCents))
            .ToList()));
}
