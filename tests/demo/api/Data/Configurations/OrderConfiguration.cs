using App.Models;
using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Metadata.Builders;

namespace App.Data.Configurations;

public class OrderConfiguration : IEntityTypeConfiguration<Order>
{
    public void Configure(EntityTypeBuilder<Order> builder)
    {
        builder.Property(order => order.Number).HasMaxLength(32);
        builder.Property(order => order.Status).HasConversion<string>().HasMaxLength(16);

        // The job that processes orders must not overwrite one that was cancelled or replaced since it looked.
        builder.Property(order => order.Status).IsConcurrencyToken();
        builder.Property(order => order.CreatedAt).IsConcurrencyToken();
        builder.HasIndex(order => order.Number).IsUnique();
        builder.HasIndex(order => order.Status);

        builder.HasOne(order => order.Person)
            .WithMany(person => person.Orders)
            .HasForeignKey(order => order.PersonId)
            .OnDelete(DeleteBehavior.Cascade);
    }
}
