using System.Text.Json.Serialization;
using App.Data;
using App.Endpoints;
using App.Hubs;
using App.Jobs;
using App.Services;
using Microsoft.AspNetCore.Authentication.Cookies;
using Microsoft.AspNetCore.Identity;
using Microsoft.EntityFrameworkCore;
using Quartz;

var builder = WebApplication.CreateBuilder(args);
var services = builder.Services;
var configuration = builder.Configuration;

services.AddDbContext<AppDbContext>(options => options.UseSqlite(configuration.GetConnectionString("Default")));
services.AddHealthChecks().AddDbContextCheck<AppDbContext>("database");
services.AddSingleton(TimeProvider.System);

services.AddAuthentication(CookieAuthenticationDefaults.AuthenticationScheme).AddCookie(options =>
{
    options.Cookie.Name = "auth";
    options.LoginPath = "/login.html";
    options.Events.OnRedirectToLogin = LoginRedirect.OnlyForPages;
});
services.AddAuthorization();
services.AddSingleton<IPasswordHasher<App.Models.User>, PasswordHasher<App.Models.User>>();

services.AddCors(options => options.AddDefaultPolicy(policy => policy
    .WithOrigins(configuration["FrontEnd"]!)
    .AllowAnyHeader()
    .AllowAnyMethod()
    .AllowCredentials()));

services.AddSignalR();
services.AddSingleton<EventStream>();
services.AddSingleton<ChangeNotifier>();
services.AddSingleton<UploadStore>();
services.AddHostedService<DataCleanupService>();
services.AddQuartz(quartz => quartz.ScheduleJob<ProcessOrdersJob>(trigger => trigger
    .WithIdentity("process-orders")
    .WithSimpleSchedule(schedule => schedule.WithInterval(TimeSpan.FromSeconds(1)).RepeatForever())));
services.AddQuartzHostedService(options => options.WaitForJobsToComplete = true);

services.AddValidation();
services.AddProblemDetails();
services.AddExceptionHandler<ConstraintExceptionHandler>();
services.ConfigureHttpJsonOptions(options =>
    options.SerializerOptions.Converters.Add(new JsonStringEnumConverter()));

var app = builder.Build();

using (var scope = app.Services.CreateScope())
{
    scope.ServiceProvider.GetRequiredService<AppDbContext>().Database.Migrate();
}

// `dotnet App.dll migrate` only prepares the database.
if (args is ["migrate"])
{
    return;
}

app.UseExceptionHandler();
app.UseDefaultFiles();
app.UseStaticFiles();
app.UseCors();
app.UseAuthentication();
app.UseAuthorization();

app.MapHealthChecks("/health");
app.MapHub<NotificationHub>("/hub");
app.MapAuth();
app.MapRoles();
app.MapPeople();
app.MapProducts();
app.MapOrders();
app.MapUploads();
app.MapEvents();
app.MapReports();
app.MapPages();
if (app.Environment.IsEnvironment("E2E"))
{
    app.MapTesting();
}

app.Run();
