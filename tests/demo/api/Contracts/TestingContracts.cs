namespace App.Contracts;

public record ResetInput(List<string> KeepUsers);

public record SchemaView(List<string> Applied, List<string> Pending, bool ModelChanged, List<string> Tables);
