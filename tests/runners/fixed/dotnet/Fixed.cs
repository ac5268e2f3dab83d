// SPDX-License-Identifier: Apache-2.0
using System.Net;
using System.Net.Sockets;
using Xunit;

namespace Fixed.Tests;

public abstract class AloneTests
{
    [Theory]
    [InlineData("a (b) & c")]
    [InlineData("d")]
    public async Task HasPortAndFile(string note)
    {
        var name = GetType().Name + note;
        using var server = new TcpListener(IPAddress.Loopback, 4444);
        server.Start();
        File.WriteAllText("ledger", name);
        await Task.Delay(200, TestContext.Current.CancellationToken);
        Assert.Equal(name, File.ReadAllText("ledger"));
    }
}

public class OneTests : AloneTests;
public class TwoTests : AloneTests;
public class ThreeTests : AloneTests;
public class FourTests : AloneTests;
