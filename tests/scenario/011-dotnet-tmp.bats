#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# finding 57: what .NET leaves in a /tmp that is shared joins builds and programs that have nothing to do with each other.
load helpers

setup_file() {
	export DOTNET_CLI_TELEMETRY_OPTOUT=1 DOTNET_NOLOGO=1 DOTNET_SKIP_FIRST_TIME_EXPERIENCE=1 DOTNET_CLI_HOME=$HOME
	PROJECT=$(mktemp -d "$BATS_TMPDIR/project.XXXXXX")
	export PROJECT
	cat >"$PROJECT/app.csproj" <<'END'
<Project Sdk="Microsoft.NET.Sdk">
  <PropertyGroup>
    <OutputType>Exe</OutputType>
    <TargetFramework>net10.0</TargetFramework>
    <UseAppHost>false</UseAppHost>
  </PropertyGroup>
</Project>
END
	cat >"$PROJECT/Program.cs" <<'END'
using System;
using System.Threading;
class Program
{
    static int Main(string[] arguments)
    {
        if (arguments.Length == 0) { Console.WriteLine("made from the host's source"); return 0; }
        using var mutex = new Mutex(false, "Global\\sbx-mark");
        if (!mutex.WaitOne(0)) { Console.WriteLine("somebody has it"); return 1; }
        Console.WriteLine("it is mine");
        Console.In.ReadLine();
        mutex.ReleaseMutex();
        return 0;
    }
}
END
	# With the compiler's server, which stays and waits for more, as after any build.
	cd "$PROJECT" && dotnet build -v quiet -p:UseSharedCompilation=true
}

teardown_file() {
	dotnet build-server shutdown >/dev/null 2>&1 || true
	cd / && rm -rf "$PROJECT"
}

@test "finding 57: a build inside compiles the worker's source, whatever server of the host waits for work" {
	cd "$PROJECT"
	assert_same "made from the host's source" "$(dotnet bin/Debug/net10.0/app.dll)"
	before=$(find . -type f -exec sha256sum {} + | sort)
	run_sbx 0 run -- sh -c '
		sed -i "s/the host.s source/the source of the worker/" Program.cs
		dotnet build -v quiet --no-restore -p:UseSharedCompilation=true >/tmp/build || { cat /tmp/build; exit 1; }
		dotnet bin/Debug/net10.0/app.dll'
	assert_has "$output" "made from the source of the worker"
	assert_same "$before" "$(find . -type f -exec sha256sum {} + | sort)"
	assert_same "made from the host's source" "$(dotnet bin/Debug/net10.0/app.dll)"
}

@test "finding 18, finding 57: a named mutex is each worker's own, and the host's another" {
	mkfifo in out
	cd "$PROJECT"
	"$SBX" run -- dotnet bin/Debug/net10.0/app.dll hold <"$tree/in" >"$tree/out" 3>&- &
	exec 7>"$tree/in" 8<"$tree/out"
	read -r line <&8
	assert_same "it is mine" "$line"
	run_sbx 0 run -- dotnet bin/Debug/net10.0/app.dll hold </dev/null
	assert_same "it is mine" "$output"
	assert_same "it is mine" "$(dotnet bin/Debug/net10.0/app.dll hold </dev/null)"
	# Inside one worker it does its work.
	run_sbx 1 run -- sh -c 'mkfifo /tmp/in /tmp/out; dotnet bin/Debug/net10.0/app.dll hold </tmp/in >/tmp/out &
		exec 7>/tmp/in 8</tmp/out; read line <&8; dotnet bin/Debug/net10.0/app.dll hold </dev/null'
	assert_same "somebody has it" "$output"
	exec 7>&- 8<&-
	wait $!
}

@test "finding 57: a diagnostic socket leads to the worker's own program, though two have the same name" {
	cat >who.py <<'END'
import glob, socket, struct, sys
paths = glob.glob("/tmp/dotnet-diagnostic-*-socket")
assert len(paths) == 1, paths
one = socket.socket(socket.AF_UNIX)
one.connect(paths[0])
one.sendall(b"DOTNET_IPC_V1\0" + struct.pack("<HBBH", 20, 4, 0, 0))  # ProcessInfo
answer = b""
while len(answer) < 20 or len(answer) < struct.unpack("<H", answer[14:16])[0]:
    answer += one.recv(4096)
length, = struct.unpack("<I", answer[44:48])
print(answer[48:48 + 2 * length].decode("utf-16-le").rstrip("\0"))
END
	cp "$PROJECT"/bin/Debug/net10.0/app.* .
	for name in one two; do
		mkfifo "in.$name" "out.$name"
		"$SBX" run -- sh -c 'mkfifo /tmp/in /tmp/out; dotnet app.dll '"$name"' </tmp/in >/tmp/out &
			exec 7>/tmp/in 8</tmp/out; read line <&8; echo up; read line; python3 who.py' <"in.$name" >"out.$name" 3>&- &
	done
	exec 5>in.one 6<out.one 7>in.two 8<out.two
	read -r line <&6 && read -r line <&8
	echo >&5 && echo >&7
	read -r one <&6 && read -r two <&8
	exec 5>&- 6<&- 7>&- 8<&-
	wait
	echo "$one, $two"
	[[ $one == *"app.dll one" && $two == *"app.dll two" ]]
}
