using App.Models;
using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Metadata.Builders;

namespace App.Data.Configurations;

public class PersonConfiguration : IEntityTypeConfiguration<Person>
{
    public void Configure(EntityTypeBuilder<Person> builder)
    {
        builder.Property(person => person.Name).HasMaxLength(128);
        builder.Property(person => person.Email).HasMaxLength(256);
        builder.HasIndex(person => person.Email).IsUnique();
        builder.HasIndex(person => person.ExpiresAt);

        // A role that somebody has cannot be removed.
        builder.HasOne(person => person.Role)
            .WithMany(role => role.People)
            .HasForeignKey(person => person.RoleId)
            .OnDelete(DeleteBehavior.Restrict);
    }
}
