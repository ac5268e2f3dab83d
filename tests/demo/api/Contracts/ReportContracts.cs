namespace App.Contracts;

public record Totals(int Roles, int People, int Users, int Products, int Orders, int OrderLines, int Uploads, int AuditEntries);

public record AuditView(int Id, DateTime At, string Action, string Details);

public record UploadView(int Id, string FileName, string ContentType, long Size, int? PersonId, DateTime UploadedAt);
