namespace App.Endpoints;

public static class PageEndpoints
{
    /// <summary>Pages behind the login; the public ones are static files.</summary>
    public static void MapPages(this IEndpointRouteBuilder app)
    {
        app.MapGet("/dashboard", (IWebHostEnvironment environment, HttpResponse response) =>
            {
                // Without this a browser shows it from its cache to whoever logged out.
                response.Headers.CacheControl = "no-store";
                return TypedResults.PhysicalFile(
                    Path.Combine(environment.ContentRootPath, "Views", "dashboard.html"), "text/html");
            })
            .RequireAuthorization();
    }
}
