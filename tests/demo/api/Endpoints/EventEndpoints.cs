using App.Services;
using Microsoft.AspNetCore.Http.HttpResults;

namespace App.Endpoints;

public static class EventEndpoints
{
    /// <summary>What changes, as server-sent events (EventSource in the browser).</summary>
    public static void MapEvents(this IEndpointRouteBuilder app)
    {
        app.MapGet("/api/events", ServerSentEventsResult<string> (EventStream events, CancellationToken token) =>
            TypedResults.ServerSentEvents(events.Subscribe(token)));
    }
}
