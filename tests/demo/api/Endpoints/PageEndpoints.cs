namespace App.Endpoints;

public static class PageEndpoints
{
    /// <summary>Pages behind the login; the public ones are static files.</summary>
    public static void MapPages(this IEndpointRouteBuilder app)
    {
        app.MapGet("/dashboard", (IWebHostEnvironment environment) => TypedResults.PhysicalFile(
                Path.Combine(environment.ContentRootPath, "Views", "dashboard.html"), "text/html"))
            .RequireAuthorization();
    }
}
