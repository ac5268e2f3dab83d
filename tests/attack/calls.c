/* SPDX-License-Identifier: Apache-2.0 */
/* System calls that the filter refuses, as they really arrive at the kernel: of this machine's own kind, with high bits
 * where the kernel reads an int (finding 2), by int 0x80 and as x32 (finding 3). */
#include <asm/ioctls.h>
#include <fcntl.h>
#include <linux/keyctl.h>
#include <stdlib.h>
#include <sys/personality.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/attack/attack.h"

#define HIGH_BIT (1L << 32)
#ifndef TIOCLINUX
#define TIOCLINUX 0x541C
#endif

static void families(void)
{
	static const int allowed[] = { AF_UNIX, AF_INET, AF_INET6, AF_NETLINK };

	for (long family = 0; family < 64; family++) {
		bool is_allowed = family == AF_UNSPEC;
		char what[64];

		for (size_t i = 0; i < sizeof(allowed) / sizeof(*allowed); i++)
			is_allowed = is_allowed || family == allowed[i];
		if (is_allowed)
			continue;
		(void)snprintf(what, sizeof(what), "a socket of family %ld", family);
		for (long type = SOCK_STREAM; type <= SOCK_SEQPACKET; type++) {
			must_fail_with(syscall(SYS_socket, family, type, 0), EAFNOSUPPORT, what);
			must_fail_with(syscall(SYS_socket, family | HIGH_BIT, type, 0), EAFNOSUPPORT, what);
		}
	}
}

static void keys(void)
{
	must_fail_with(syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING, 0), EPERM, "keyctl");
	must_fail_with(syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_USER_KEYRING, 0), EPERM, "keyctl");
	must_fail_with(syscall(SYS_add_key, "user", "sbx", "x", 1, KEY_SPEC_USER_KEYRING), EPERM, "add_key");
	must_fail_with(syscall(SYS_request_key, "user", "sbx", NULL, 0), EPERM, "request_key");
}

static void surface(void)
{
	char buffer[256] = "";

	must_fail_with(syscall(SYS_io_uring_setup, 1, buffer), ENOSYS, "io_uring_setup");
	must_fail_with(syscall(SYS_bpf, 0, buffer, 64), EPERM, "bpf");
	must_fail_with(syscall(SYS_perf_event_open, buffer, 0, -1, -1, 0), EPERM, "perf_event_open");
	must_fail_with(syscall(SYS_userfaultfd, 0), EPERM, "userfaultfd");
	must_fail_with(syscall(SYS_open_by_handle_at, AT_FDCWD, buffer, 0), EPERM, "open_by_handle_at");
	must_fail_with(syscall(SYS_reboot, 0xfee1dead, 0x28121969, 0, 0), EPERM, "reboot");
	must_fail_with(syscall(SYS_sethostname, "x", 1), EPERM, "sethostname");
	must_fail_with(syscall(SYS_personality, READ_IMPLIES_EXEC), EPERM, "personality");
	must_fail_with(syscall(SYS_personality, READ_IMPLIES_EXEC | HIGH_BIT), EPERM, "personality");
	must_fail_with(syscall(9999), ENOSYS, "a number that sbx does not know");
}

/* Finding 5. */
static void terminals(void)
{
	int master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
	static const long requests[] = { TIOCSTI, TIOCLINUX };

	must_fail(master < 0 ? 0 : -1, "no terminal of its own");
	for (size_t i = 0; i < sizeof(requests) / sizeof(*requests); i++) {
		must_fail_with(syscall(SYS_ioctl, master, requests[i], "x"), EPERM, "TIOCSTI or TIOCLINUX");
		must_fail_with(syscall(SYS_ioctl, master, requests[i] | HIGH_BIT, "x"), EPERM,
			       "the same with a high bit");
	}
	must_fail_with(syscall(SYS_ioctl, master, TIOCSCTTY, 1), EPERM, "TIOCSCTTY that steals");
}

#ifdef __x86_64__
static long call_i386(long number, long a, long b, long c)
{
	long result;

	__asm__ volatile("int $0x80"
			 : "=a"(result)
			 : "a"(number), "b"(a), "c"(b), "d"(c)
			 : "memory", "r8", "r9", "r10", "r11");
	result = (int)result;
	if (result < 0) {
		errno = (int)-result;
		return -1;
	}
	return result;
}

static void foreign_calls(void)
{
	enum { I386_SOCKETCALL = 102, I386_KEYCTL = 288, I386_UNSHARE = 310, I386_SOCKET = 359, I386_CLONE3 = 435 };
	pid_t pid;
	int status;

	/* A kernel without 32-bit calls answers with SIGSEGV: found out in a child. */
	pid = fork();
	if (pid == 0)
		_exit(call_i386(20, 0, 0, 0) > 0 ? 0 : 1);
	if (waitpid(pid, &status, 0) == pid && WIFEXITED(status)) {
		must_fail_with(call_i386(I386_KEYCTL, KEYCTL_GET_KEYRING_ID, KEY_SPEC_USER_KEYRING, 0), EPERM,
			       "i386 keyctl");
		must_fail_with(call_i386(I386_SOCKET, 40, SOCK_STREAM, 0), EAFNOSUPPORT, "i386 socket of VSOCK");
		must_fail_with(call_i386(I386_SOCKETCALL, 1, 0, 0), ENOSYS, "i386 socketcall");
		must_fail_with(call_i386(I386_UNSHARE, 0x10000000, 0, 0), EPERM, "i386 unshare");
		must_fail_with(call_i386(I386_CLONE3, 0, 0, 0), ENOSYS, "i386 clone3");
	}
	must_fail_with(syscall(0x40000000 + SYS_getpid), ENOSYS, "x32 getpid");
	must_fail_with(syscall(0x40000000 + SYS_keyctl, 0, KEY_SPEC_USER_KEYRING, 0), ENOSYS, "x32 keyctl");
	must_fail_with(syscall(0x40000000 + 512), ENOSYS, "x32 number 512");
}
#else
static void foreign_calls(void)
{
}
#endif

int main(void)
{
	families();
	keys();
	surface();
	terminals();
	foreign_calls();
	return attack_end();
}
