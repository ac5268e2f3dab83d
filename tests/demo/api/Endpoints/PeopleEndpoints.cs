using App.Contracts;
using App.Data;
using App.Models;
using App.Services;
using Microsoft.AspNetCore.Http.HttpResults;
using Microsoft.EntityFrameworkCore;

namespace App.Endpoints;

public static class PeopleEndpoints
{
    public static void MapPeople(this IEndpointRouteBuilder app)
    {
        var group = app.MapGroup("/api/people");
        group.MapGet("/", List);
        group.MapGet("/{id:int}", Get);
        group.MapPost("/", Create).RequireAuthorization();
        group.MapPut("/{id:int}", Update).RequireAuthorization();
        group.MapDelete("/{id:int}", Delete).RequireAuthorization();
    }

    private static async Task<Ok<List<PersonView>>> List(AppDbContext db, string? search)
    {
        var people = db.People.AsQueryable();
        if (!string.IsNullOrEmpty(search))
        {
            people = people.Where(person => person.Name.Contains(search) || person.Email.Contains(search));
        }

        return TypedResults.Ok(await Project(people.OrderBy(person => person.Id)).ToListAsync());
    }

    private static async Task<Results<Ok<PersonView>, NotFound>> Get(int id, AppDbContext db)
    {
        var view = await Project(db.People.Where(person => person.Id == id)).SingleOrDefaultAsync();
        return view is null ? TypedResults.NotFound() : TypedResults.Ok(view);
    }

    private static async Task<Created<PersonView>> Create(
        PersonInput input, AppDbContext db, ChangeNotifier notifier, TimeProvider clock)
    {
        var person = new Person
        {
            Name = input.Name,
            Email = input.Email,
            RoleId = input.RoleId,
            ExpiresAt = input.ExpiresAt?.UtcDateTime,
            CreatedAt = clock.GetUtcNow().UtcDateTime,
        };
        db.People.Add(person);
        await db.SaveChangesAsync();
        await notifier.Notify("person-created", person.Id);

        var view = await Project(db.People.Where(created => created.Id == person.Id)).SingleAsync();
        return TypedResults.Created($"/api/people/{person.Id}", view);
    }

    private static async Task<Results<NoContent, NotFound>> Update(
        int id, PersonInput input, AppDbContext db, ChangeNotifier notifier)
    {
        var person = await db.People.FindAsync(id);
        if (person is null)
        {
            return TypedResults.NotFound();
        }

        person.Name = input.Name;
        person.Email = input.Email;
        person.RoleId = input.RoleId;
        person.ExpiresAt = input.ExpiresAt?.UtcDateTime;
        await db.SaveChangesAsync();
        await notifier.Notify("person-updated", id);
        return TypedResults.NoContent();
    }

    private static async Task<Results<NoContent, NotFound>> Delete(int id, AppDbContext db, ChangeNotifier notifier)
    {
        if (await db.People.Where(person => person.Id == id).ExecuteDeleteAsync() == 0)
        {
            return TypedResults.NotFound();
        }

        await notifier.Notify("person-deleted", id);
        return TypedResults.NoContent();
    }

    private static IQueryable<PersonView> Project(IQueryable<Person> people) => people.Select(person => new PersonView(
        person.Id, person.Name, person.Email, person.RoleId, person.Role!.Name, person.Orders.Count, person.ExpiresAt));
}
