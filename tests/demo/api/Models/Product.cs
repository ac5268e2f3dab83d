namespace App.Models;

public class Product
{
    public int Id { get; set; }

    public required string Name { get; set; }

    public int PriceCents { get; set; }
}
