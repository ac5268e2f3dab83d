using System.Security.Claims;
using App.Contracts;
using App.Data;
using App.Models;
using Microsoft.AspNetCore.Authentication;
using Microsoft.AspNetCore.Authentication.Cookies;
using Microsoft.AspNetCore.Http.HttpResults;
using Microsoft.AspNetCore.Identity;
using Microsoft.EntityFrameworkCore;

namespace App.Endpoints;

public static class AuthEndpoints
{
    public static void MapAuth(this IEndpointRouteBuilder app)
    {
        var group = app.MapGroup("/api/auth");
        group.MapPost("/register", Register);
        group.MapPost("/login", Login);
        group.MapPost("/logout", Logout);
        group.MapGet("/me", Me).RequireAuthorization();
    }

    private static async Task<Created<CurrentUser>> Register(
        Credentials credentials, AppDbContext db, IPasswordHasher<User> hasher, TimeProvider clock)
    {
        var user = new User
        {
            UserName = credentials.UserName,
            PasswordHash = "",
            CreatedAt = clock.GetUtcNow().UtcDateTime,
        };
        user.PasswordHash = hasher.HashPassword(user, credentials.Password);
        db.Users.Add(user);
        await db.SaveChangesAsync();
        return TypedResults.Created("/api/auth/me", new CurrentUser(user.Id, user.UserName));
    }

    private static async Task<Results<Ok<CurrentUser>, UnauthorizedHttpResult>> Login(
        Credentials credentials, AppDbContext db, IPasswordHasher<User> hasher, HttpContext context)
    {
        var user = await db.Users.SingleOrDefaultAsync(candidate => candidate.UserName == credentials.UserName);
        if (user is null || hasher.VerifyHashedPassword(user, user.PasswordHash, credentials.Password)
            == PasswordVerificationResult.Failed)
        {
            return TypedResults.Unauthorized();
        }

        var identity = new ClaimsIdentity(
            [new Claim(ClaimTypes.NameIdentifier, user.Id.ToString()), new Claim(ClaimTypes.Name, user.UserName)],
            CookieAuthenticationDefaults.AuthenticationScheme);
        await context.SignInAsync(new ClaimsPrincipal(identity));
        return TypedResults.Ok(new CurrentUser(user.Id, user.UserName));
    }

    private static SignOutHttpResult Logout() => TypedResults.SignOut();

    private static Ok<CurrentUser> Me(ClaimsPrincipal principal) => TypedResults.Ok(new CurrentUser(
        int.Parse(principal.FindFirstValue(ClaimTypes.NameIdentifier)!), principal.Identity!.Name!));
}
