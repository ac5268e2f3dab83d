using App.Models;
using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Metadata.Builders;

namespace App.Data.Configurations;

public class UploadConfiguration : IEntityTypeConfiguration<Upload>
{
    public void Configure(EntityTypeBuilder<Upload> builder)
    {
        builder.Property(upload => upload.FileName).HasMaxLength(256);
        builder.HasIndex(upload => upload.StoredName).IsUnique();

        // A file outlives the person who sent it.
        builder.HasOne(upload => upload.Person)
            .WithMany()
            .HasForeignKey(upload => upload.PersonId)
            .OnDelete(DeleteBehavior.SetNull);
    }
}
