using Microsoft.AspNetCore.Diagnostics;
using Microsoft.Data.Sqlite;
using Microsoft.EntityFrameworkCore;

namespace App.Endpoints;

/// <summary>A broken foreign key, unique index or check of the database is the caller's mistake: 409.</summary>
public class ConstraintExceptionHandler(IProblemDetailsService problems) : IExceptionHandler
{
    private const int SqliteConstraint = 19;

    public async ValueTask<bool> TryHandleAsync(HttpContext context, Exception exception, CancellationToken token)
    {
        var cause = exception is DbUpdateException { InnerException: { } inner } ? inner : exception;
        if (cause is not SqliteException { SqliteErrorCode: SqliteConstraint })
        {
            return false;
        }

        context.Response.StatusCode = StatusCodes.Status409Conflict;
        return await problems.TryWriteAsync(new ProblemDetailsContext
        {
            HttpContext = context,
            ProblemDetails = { Status = StatusCodes.Status409Conflict, Detail = cause.Message },
        });
    }
}
