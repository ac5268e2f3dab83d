using App.Contracts;
using App.Data;
using App.Models;
using App.Services;
using Microsoft.AspNetCore.Http.HttpResults;
using Microsoft.AspNetCore.Mvc;
using Microsoft.EntityFrameworkCore;

namespace App.Endpoints;

public static class UploadEndpoints
{
    public static void MapUploads(this IEndpointRouteBuilder app)
    {
        var group = app.MapGroup("/api/uploads").RequireAuthorization();
        group.MapGet("/", List);
        group.MapGet("/{id:int}", Download);
        group.MapPost("/", Create).DisableAntiforgery();
        group.MapDelete("/{id:int}", Delete);
    }

    private static async Task<Ok<List<UploadView>>> List(AppDbContext db) => TypedResults.Ok(
        await db.Uploads.OrderBy(upload => upload.Id).Select(upload => View(upload)).ToListAsync());

    private static async Task<Results<FileStreamHttpResult, NotFound>> Download(
        int id, AppDbContext db, UploadStore store)
    {
        var upload = await db.Uploads.FindAsync(id);
        return upload is null || store.TryOpen(upload.StoredName) is not { } content
            ? TypedResults.NotFound()
            : TypedResults.File(content, upload.ContentType, upload.FileName, enableRangeProcessing: true);
    }

    private static async Task<Created<UploadView>> Create(
        IFormFile file, [FromForm] int? personId, AppDbContext db, UploadStore store, TimeProvider clock,
        CancellationToken token)
    {
        var upload = new Upload
        {
            FileName = Path.GetFileName(file.FileName),
            StoredName = await store.Save(file, token),
            ContentType = file.ContentType,
            Size = file.Length,
            PersonId = personId,
            UploadedAt = clock.GetUtcNow().UtcDateTime,
        };
        db.Uploads.Add(upload);
        try
        {
            await db.SaveChangesAsync(token);
        }
        catch
        {
            store.Delete(upload.StoredName);
            throw;
        }

        return TypedResults.Created($"/api/uploads/{upload.Id}", View(upload));
    }

    private static async Task<Results<NoContent, NotFound>> Delete(int id, AppDbContext db, UploadStore store)
    {
        var upload = await db.Uploads.FindAsync(id);
        if (upload is null)
        {
            return TypedResults.NotFound();
        }

        db.Uploads.Remove(upload);
        await db.SaveChangesAsync();
        store.Delete(upload.StoredName);
        return TypedResults.NoContent();
    }

    private static UploadView View(Upload upload) =>
        new(upload.Id, upload.FileName, upload.ContentType, upload.Size, upload.PersonId, upload.UploadedAt);
}
