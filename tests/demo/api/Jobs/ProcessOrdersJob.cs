using App.Data;
using App.Models;
using App.Services;
using Microsoft.EntityFrameworkCore;
using Quartz;

namespace App.Jobs;

/// <summary>Totals the orders that wait and marks them as processed.</summary>
[DisallowConcurrentExecution]
public class ProcessOrdersJob(
    AppDbContext db, ChangeNotifier notifier, TimeProvider clock, ILogger<ProcessOrdersJob> logger) : IJob
{
    private const int BatchSize = 100;

    public async Task Execute(IJobExecutionContext context)
    {
        var pending = await db.Orders
            .Include(order => order.Lines)
            .Where(order => order.Status == OrderStatus.Pending)
            .OrderBy(order => order.Id)
            .Take(BatchSize)
            .ToListAsync(context.CancellationToken);
        if (pending.Count == 0)
        {
            return;
        }

        var now = clock.GetUtcNow().UtcDateTime;
        foreach (var order in pending)
        {
            order.Status = OrderStatus.Processed;
            order.ProcessedAt = now;
            order.TotalCents = order.Lines.Sum(line => line.Quantity * line.UnitPriceCents);
            db.AuditEntries.Add(new AuditEntry { At = now, Action = "OrderProcessed", Details = order.Number });
        }

        await db.SaveChangesAsync(context.CancellationToken);

        foreach (var order in pending)
        {
            logger.LogInformation("Processed order {Number}: {TotalCents} cents", order.Number, order.TotalCents);
            await notifier.Notify("order-processed", order.Id);
        }
    }
}
