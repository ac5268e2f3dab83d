#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
load helpers

@test "--net private: loopback alone; online: a link that leads nowhere more; /sys shows the world's own" {
	run_sbx 0 run -- sh -c 'ls /sys/class/net'
	assert_same lo "$output"
	run_sbx 0 run --net online -- sh -c 'ls /sys/class/net; cat /sys/class/net/stub0/carrier; ! (echo x >/sys/class/net/stub0/mtu) 2>/dev/null'
	assert_has "$output" $'lo\nstub0'
	assert_same 1 "${lines[-1]}"
}

@test "--net online: two workers with the same port at once, and a way out fails at once" {
	for i in 1 2; do
		"$SBX" run --net online -- perl -MIO::Socket::INET -e '
			$s = IO::Socket::INET->new(LocalAddr => "127.0.0.1", LocalPort => 80, Listen => 1) or die "listen: $!\n";
			$c = IO::Socket::INET->new("127.0.0.1:80") or die "connect: $!\n";
			$SIG{ALRM} = sub { die "it waits\n" };
			alarm 2;
			!IO::Socket::INET->new("198.51.100.1:80") or die "a way out\n";
			print "ok\n"' >"out.$i" 2>&1 &
	done
	wait
	assert_same $'ok\nok' "$(cat out.1 out.2)"
}

@test "--net online: nothing of the link can be changed by the payload" {
	run_sbx 0 run --net online -- sh -c '! ip link del stub0 2>/dev/null; [ -e /sys/class/net/stub0 ]'
}

@test "finding 21: Chromium believes it is online with --net online, and only then" {
	chromium=$(command -v chromium || command -v chromium-browser || command -v google-chrome) || skip "Chromium is missing"
	echo '<p id=p></p><script>p.textContent = "online=" + navigator.onLine</script>' >page.html
	for network in private online; do
		run timeout 120 "$SBX" run --net $network -- sh -c '"$1" --headless --no-sandbox --disable-gpu --dump-dom "file://$PWD/page.html" 2>/dev/null' sh "$chromium"
		echo "$output"
		[[ $network == online ]] && want=true || want=false
		assert_has "$output" ">online=$want<"
	done
}
