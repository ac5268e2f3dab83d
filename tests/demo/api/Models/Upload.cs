namespace App.Models;

/// <summary>A file that somebody sent; its bytes lie in the uploads folder under <see cref="StoredName"/>.</summary>
public class Upload
{
    public int Id { get; set; }

    public required string FileName { get; set; }

    public required string StoredName { get; set; }

    public required string ContentType { get; set; }

    public long Size { get; set; }

    public int? PersonId { get; set; }

    public Person? Person { get; set; }

    public DateTime UploadedAt { get; set; }
}
