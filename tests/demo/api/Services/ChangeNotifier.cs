using App.Hubs;
using Microsoft.AspNetCore.SignalR;

namespace App.Services;

/// <summary>Tells browsers that a row changed, over both roads: SignalR and server-sent events.</summary>
public class ChangeNotifier(IHubContext<NotificationHub> hub, EventStream events)
{
    public async Task Notify(string type, int id)
    {
        events.Publish(type, id.ToString());
        await hub.Clients.All.SendAsync("Changed", type, id);
    }
}
