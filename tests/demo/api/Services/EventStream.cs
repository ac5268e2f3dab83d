using System.Collections.Concurrent;
using System.Net.ServerSentEvents;
using System.Runtime.CompilerServices;
using System.Threading.Channels;

namespace App.Services;

/// <summary>Hands each published event to every open <c>/api/events</c> connection.</summary>
public class EventStream(IHostApplicationLifetime lifetime)
{
    private const int BacklogPerListener = 256;

    private readonly ConcurrentDictionary<Guid, Channel<SseItem<string>>> _listeners = new();

    public void Publish(string type, string data)
    {
        foreach (var listener in _listeners.Values)
        {
            listener.Writer.TryWrite(new SseItem<string>(data, type));
        }
    }

    public async IAsyncEnumerable<SseItem<string>> Subscribe([EnumeratorCancellation] CancellationToken token)
    {
        var id = Guid.NewGuid();
        var channel = Channel.CreateBounded<SseItem<string>>(
            new BoundedChannelOptions(BacklogPerListener) { FullMode = BoundedChannelFullMode.DropOldest });
        _listeners[id] = channel;

        // Open streams would hold back the end of the program until its time limit.
        await using var stopping = lifetime.ApplicationStopping.Register(() => channel.Writer.TryComplete());
        try
        {
            yield return new SseItem<string>("connected", "hello");
            await foreach (var item in channel.Reader.ReadAllAsync(token))
            {
                yield return item;
            }
        }
        finally
        {
            _listeners.TryRemove(id, out _);
        }
    }
}
