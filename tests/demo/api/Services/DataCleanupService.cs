using App.Data;
using App.Models;
using Microsoft.EntityFrameworkCore;

namespace App.Services;

/// <summary>Removes people whose time is over, and writes down whom.</summary>
public class DataCleanupService(
    IServiceScopeFactory scopes, ChangeNotifier notifier, TimeProvider clock, ILogger<DataCleanupService> logger)
    : BackgroundService
{
    private static readonly TimeSpan Interval = TimeSpan.FromSeconds(1);

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        using var timer = new PeriodicTimer(Interval, clock);
        while (!stoppingToken.IsCancellationRequested)
        {
            try
            {
                await timer.WaitForNextTickAsync(stoppingToken);
                await RemoveExpiredPeople(stoppingToken);
            }
            catch (OperationCanceledException) when (stoppingToken.IsCancellationRequested)
            {
                break;
            }
            catch (Exception exception)
            {
                logger.LogError(exception, "Cleanup failed, the next round tries again");
            }
        }
    }

    private async Task RemoveExpiredPeople(CancellationToken token)
    {
        using var scope = scopes.CreateScope();
        var db = scope.ServiceProvider.GetRequiredService<AppDbContext>();
        var now = clock.GetUtcNow().UtcDateTime;

        var expired = await db.People.Where(person => person.ExpiresAt < now).ToListAsync(token);
        if (expired.Count == 0)
        {
            return;
        }

        db.People.RemoveRange(expired);
        db.AuditEntries.AddRange(expired.Select(person => new AuditEntry
        {
            At = now,
            Action = "PersonExpired",
            Details = $"{person.Id} {person.Name}",
        }));
        await db.SaveChangesAsync(token);

        foreach (var person in expired)
        {
            logger.LogInformation("Removed {Name}, expired at {ExpiresAt:u}", person.Name, person.ExpiresAt);
            await notifier.Notify("person-expired", person.Id);
        }
    }
}
