using Microsoft.AspNetCore.Authorization;
using Microsoft.AspNetCore.SignalR;

namespace App.Hubs;

[Authorize]
public class NotificationHub : Hub
{
    public override async Task OnConnectedAsync()
    {
        await Clients.All.SendAsync("UserJoined", Context.User!.Identity!.Name);
        await base.OnConnectedAsync();
    }

    public override async Task OnDisconnectedAsync(Exception? exception)
    {
        await Clients.Others.SendAsync("UserLeft", Context.User!.Identity!.Name);
        await base.OnDisconnectedAsync(exception);
    }

    public Task Say(string text) => Clients.All.SendAsync("Said", Context.User!.Identity!.Name, text);
}
