using System.ComponentModel.DataAnnotations;

namespace App.Contracts;

public record Credentials(
    [Required, StringLength(64, MinimumLength = 2)] string UserName,
    [Required, StringLength(128, MinimumLength = 4)] string Password);

public record CurrentUser(int Id, string UserName);
