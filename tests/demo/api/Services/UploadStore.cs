namespace App.Services;

/// <summary>The bytes of uploaded files, in the folder <c>uploads</c> beside the program.</summary>
public class UploadStore
{
    private readonly string _folder;

    public UploadStore(IWebHostEnvironment environment)
    {
        _folder = Path.Combine(environment.ContentRootPath, "uploads");
        Directory.CreateDirectory(_folder);
    }

    /// <summary>Stores the file and returns the name it has in the folder. A half-written file is never seen under it.</summary>
    public async Task<string> Save(IFormFile file, CancellationToken token)
    {
        var name = Guid.NewGuid().ToString("N");
        var partial = Path.Combine(_folder, name + ".partial");
        try
        {
            await using (var content = File.Create(partial))
            {
                await file.CopyToAsync(content, token);
            }

            File.Move(partial, Path.Combine(_folder, name));
        }
        catch
        {
            File.Delete(partial);
            throw;
        }

        return name;
    }

    public Stream? TryOpen(string name)
    {
        var path = Path.Combine(_folder, name);
        return File.Exists(path) ? File.OpenRead(path) : null;
    }

    public void DeleteAll()
    {
        foreach (var file in Directory.EnumerateFiles(_folder))
        {
            File.Delete(file);
        }
    }

    public void Delete(string name) => File.Delete(Path.Combine(_folder, name));
}
