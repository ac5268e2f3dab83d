/* SPDX-License-Identifier: Apache-2.0 */
/* The seccomp filters: the programs as they are embedded, simulated over every number, ABI and high-bit variant against
 * a reading of the table that shares nothing with the compiler; the findings with numbers written out by hand; and a
 * few real calls. */
#include <arpa/inet.h>
#include <asm/ioctls.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/fs.h>
#include <linux/openat2.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/macro.h"
#include "sandbox/policy/seccomp.h"
#include "sandbox/policy/seccomp_aarch64.h"
#include "sandbox/policy/seccomp_x86_64.h"
#include "tests/unit/bpf_simulator.h"

#define HIGH_BIT (UINT64_C(1) << 32)
#define X32_BIT	 0x40000000u

/* -- the programs -------------------------------------------------------------------------------------------------- */

enum {
	DEFAULT = 1,
	DEFAULT_USERNS = 2,
	STRICT = 4,
	STRICT_USERNS = 8,
	FORWARDER = 16,
	READER = 32,
	CLOSED = DEFAULT | STRICT,
	OPEN_STRICT = STRICT | STRICT_USERNS,
	PAYLOAD = CLOSED | DEFAULT_USERNS | STRICT_USERNS,
	HELPERS = FORWARDER | READER,
};

enum abi { any, x86_64, i386, aarch64, arm, ABI_COUNT };

static const uint32_t audit_arch[ABI_COUNT] = {
	[x86_64] = AUDIT_ARCH_X86_64,
	[i386] = AUDIT_ARCH_I386,
	[aarch64] = AUDIT_ARCH_AARCH64,
	[arm] = AUDIT_ARCH_ARM,
};

struct subject {
	const char *name;
	unsigned set;
	enum abi native;
	enum abi narrow;
	struct sock_fprog program;
};

/* clang-format off */
#define SUBJECT(target, narrow, filter, set)                                                                           \
	{ #target " " #filter, set, target, narrow,                                                                    \
	  { ARRAY_SIZE(seccomp_##target##_##filter), (struct sock_filter *)seccomp_##target##_##filter } }
#define SUBJECTS(target, narrow)                                                                                       \
	SUBJECT(target, narrow, default, DEFAULT), SUBJECT(target, narrow, default_userns, DEFAULT_USERNS),            \
	SUBJECT(target, narrow, strict, STRICT), SUBJECT(target, narrow, strict_userns, STRICT_USERNS),                \
	SUBJECT(target, narrow, forwarder, FORWARDER), SUBJECT(target, narrow, reader, READER)
/* clang-format on */

static const struct subject subjects[] = { SUBJECTS(x86_64, i386), SUBJECTS(aarch64, arm) };

struct call {
	uint32_t arch;
	int number;
	uint64_t args[6];
};

static uint32_t simulate(const struct subject *subject, const struct call *call)
{
	struct seccomp_data data = { .nr = call->number, .arch = call->arch };

	memcpy(data.args, call->args, sizeof(data.args));
	return bpf_simulate(&subject->program, &data, NULL, NULL);
}

/* -- the table, read without the compiler -------------------------------------------------------------------------- */

#define ACTION_ALLOW	    SECCOMP_RET_ALLOW
#define ACTION_KILL	    SECCOMP_RET_KILL_PROCESS
#define ACTION_EPERM	    (SECCOMP_RET_ERRNO | EPERM)
#define ACTION_ENOSYS	    (SECCOMP_RET_ERRNO | ENOSYS)
#define ACTION_EAFNOSUPPORT (SECCOMP_RET_ERRNO | EAFNOSUPPORT)

struct row {
	const char *syscall;
	unsigned sets;
	uint32_t action;
	struct {
		unsigned argument;
		uint64_t mask;
		uint64_t value;
	} conditions[2];
	const char *reason;
	/* Filled by index_rows: the number, -1 where the ABI lacks the call, and the next row of the same number. */
	int numbers[ABI_COUNT];
	int next[ABI_COUNT];
};

#define NUMBER_MAX 600
#define NO_ROW	   -1

/* The first row of each number. */
static int first_row[ABI_COUNT][NUMBER_MAX + 1];

#define INT  0xffffffffu
#define WORD UINT64_MAX
#define ALWAYS                                                                                                         \
	{                                                                                                              \
		{                                                                                                      \
			0                                                                                              \
		}                                                                                                      \
	}
#define WHEN(a, m, v)                                                                                                  \
	{                                                                                                              \
		{                                                                                                      \
			a, m, v                                                                                        \
		}                                                                                                      \
	}
#define WHEN_BOTH(a, m, v, b, n, w)                                                                                    \
	{                                                                                                              \
		{ a, m, v },                                                                                           \
		{                                                                                                      \
			b, n, w                                                                                        \
		}                                                                                                      \
	}

static struct row rows[] = {
#define RULE(sets, syscall, conditions, action, reason)                                                                \
	{ #syscall, sets, ACTION_##action, conditions, reason, { 0 }, { 0 } },
#define ALLOWED(sets, syscall) { #syscall, sets, ACTION_ALLOW, ALWAYS, "", { 0 }, { 0 } },
#include "sandbox/policy/syscalls.def"
};

static const struct {
	enum abi abi;
	const char *syscall;
	int number;
} numbers[] = {
#define N(architecture, syscall, number) { architecture, #syscall, number },
#include "sandbox/policy/syscall_numbers.def"
#undef N
};

static const struct {
	enum abi abi;
	uint32_t first, last;
	unsigned sets;
	uint32_t action;
} ranges[] = {
#define RANGE(architecture, first, last, sets, action, reason) { architecture, first, last, sets, ACTION_##action },
#include "sandbox/policy/syscalls.def"
};

static uint32_t otherwise_action(unsigned set)
{
#define OTHERWISE(sets, action, reason)                                                                                \
	if (set & (sets))                                                                                              \
		return ACTION_##action;
#include "sandbox/policy/syscalls.def"
	abort();
}

static uint32_t unknown_action(unsigned set)
{
#define UNKNOWN(sets, action, reason)                                                                                  \
	if (set & (sets))                                                                                              \
		return ACTION_##action;
#include "sandbox/policy/syscalls.def"
	abort();
}

static uint32_t foreign_action(unsigned set)
{
#define FOREIGN(sets, action, reason)                                                                                  \
	if (set & (sets))                                                                                              \
		return ACTION_##action;
#include "sandbox/policy/syscalls.def"
	abort();
}

static uint32_t newest_number(void)
{
	uint32_t newest = 0;

#define NUMBER(architecture, syscall, number) newest = MAX(newest, (uint32_t)(number));
#include "sandbox/policy/syscalls.def"
	return newest;
}

static int number_of(enum abi abi, const char *syscall)
{
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
		if (numbers[i].abi == abi && strcmp(numbers[i].syscall, syscall) == 0)
			return numbers[i].number;
	}
	return -1;
}

static int index_rows(void **state)
{
	(void)state;
	memset(first_row, NO_ROW, sizeof(first_row));
	for (int i = ARRAY_SIZE(rows) - 1; i >= 0; i--) {
		for (enum abi abi = x86_64; abi < ABI_COUNT; abi++) {
			int number = number_of(abi, rows[i].syscall);

			rows[i].numbers[abi] = number;
			rows[i].next[abi] = NO_ROW;
			if (number < 0 || number > NUMBER_MAX)
				continue;
			rows[i].next[abi] = first_row[abi][number];
			first_row[abi][number] = i;
		}
	}
	return 0;
}

static enum abi abi_of(const struct subject *subject, uint32_t arch)
{
	if (arch == audit_arch[subject->native])
		return subject->native;
	if (arch == audit_arch[subject->narrow] && !(subject->set & HELPERS))
		return subject->narrow;
	return any;
}

/* What the table says. @ret_row the row that decided, or NO_ROW; may be NULL */
static uint32_t expect(const struct subject *subject, const struct call *call, int *ret_row)
{
	enum abi abi = abi_of(subject, call->arch);
	bool is_indexed = call->number >= 0 && call->number <= NUMBER_MAX;

	if (ret_row)
		*ret_row = NO_ROW;
	if (abi == any)
		return foreign_action(subject->set);
	for (int i = is_indexed ? first_row[abi][call->number] : NO_ROW; i != NO_ROW; i = rows[i].next[abi]) {
		const struct row *row = &rows[i];
		bool fits = row->sets & subject->set;

		for (size_t j = 0; fits && j < ARRAY_SIZE(row->conditions); j++)
			fits = (call->args[row->conditions[j].argument] & row->conditions[j].mask) ==
			       row->conditions[j].value;
		if (!fits)
			continue;
		if (ret_row)
			*ret_row = i;
		return row->action;
	}
	for (size_t i = 0; i < ARRAY_SIZE(ranges); i++) {
		if (ranges[i].abi == abi && ranges[i].sets & subject->set &&
		    (uint32_t)call->number >= ranges[i].first && (uint32_t)call->number <= ranges[i].last)
			return ranges[i].action;
	}
	return (uint32_t)call->number > newest_number() ? unknown_action(subject->set) : otherwise_action(subject->set);
}

static void assert_as_table(const struct subject *subject, const struct call *call)
{
	uint32_t want = expect(subject, call, NULL), got = simulate(subject, call);

	if (want != got)
		fail_msg("%s: arch %x, number %d, arguments %llx %llx %llx: want %x, got %x", subject->name, call->arch,
			 call->number, (unsigned long long)call->args[0], (unsigned long long)call->args[1],
			 (unsigned long long)call->args[2], want, got);
}

/* -- arguments worth trying ---------------------------------------------------------------------------------------- */

struct values {
	uint64_t items[1024];
	size_t count;
};

static void add_value(struct values *values, uint64_t value)
{
	for (size_t i = 0; i < values->count; i++) {
		if (values->items[i] == value)
			return;
	}
	assert_true(values->count < ARRAY_SIZE(values->items));
	values->items[values->count++] = value;
}

/* What a rule compares, its neighbours, each of its bits turned, and all that with high bits. */
static void fill_values(const struct subject *subject, enum abi abi, int number, unsigned argument,
			struct values *values)
{
	size_t low_count;

	values->count = 0;
	add_value(values, 0);
	add_value(values, 1);
	add_value(values, 0xffffffff);
	add_value(values, 0x80000000);
	for (int i = number < 0 ? NO_ROW : first_row[abi][number]; i != NO_ROW; i = rows[i].next[abi]) {
		if (!(rows[i].sets & subject->set))
			continue;
		for (size_t j = 0; j < ARRAY_SIZE(rows[i].conditions); j++) {
			uint64_t value = rows[i].conditions[j].value;

			if (rows[i].conditions[j].argument != argument || rows[i].conditions[j].mask == 0)
				continue;
			add_value(values, value);
			add_value(values, value + 1);
			add_value(values, value - 1);
			for (unsigned bit = 0; bit < 32; bit++)
				add_value(values, value ^ (UINT64_C(1) << bit));
		}
	}
	low_count = values->count;
	for (size_t i = 0; i < low_count; i++) {
		add_value(values, values->items[i] ^ HIGH_BIT);
		add_value(values, values->items[i] ^ (UINT64_C(1) << 63));
		add_value(values, values->items[i] ^ UINT64_C(0xffffffff00000000));
	}
}

typedef void visit_fn(const struct subject *subject, const struct call *call);

/* Calls visit with each value of each of the first three arguments, the others at 0, and then by pairs; no row looks at
 * more (tested below). */
static void for_each_variant(const struct subject *subject, enum abi abi, int number, visit_fn *visit)
{
	static struct values values[3];

	for (unsigned argument = 0; argument < 3; argument++)
		fill_values(subject, abi, number, argument, &values[argument]);
	for (unsigned first = 0; first < 3; first++) {
		unsigned second = (first + 1) % 3;

		for (size_t i = 0; i < values[first].count; i++) {
			for (size_t j = 0; j < values[second].count; j++) {
				struct call call = { .arch = audit_arch[abi], .number = number };

				call.args[first] = values[first].items[i];
				call.args[second] = values[second].items[j];
				visit(subject, &call);
			}
		}
	}
}

/* -- the programs do what the table says --------------------------------------------------------------------------- */

static void test_every_number_abi_and_high_bit_variant_does_what_the_table_says(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(subjects); i++) {
		for (int number = 0; number <= NUMBER_MAX; number++) {
			for_each_variant(&subjects[i], subjects[i].native, number, assert_as_table);
			for_each_variant(&subjects[i], subjects[i].narrow, number, assert_as_table);
		}
	}
}

static void test_numbers_out_of_the_ordinary_do_what_the_table_says(void **state)
{
	static const uint32_t archs[] = { AUDIT_ARCH_X86_64, AUDIT_ARCH_I386,	 AUDIT_ARCH_AARCH64, AUDIT_ARCH_ARM,
					  AUDIT_ARCH_S390X,  AUDIT_ARCH_PPC64LE, AUDIT_ARCH_RISCV64, 0,
					  UINT32_MAX };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(subjects); i++) {
		for (size_t j = 0; j < ARRAY_SIZE(archs); j++) {
			for (int number = 0; number <= NUMBER_MAX; number++) {
				struct call call = { .arch = archs[j], .number = number };

				assert_as_table(&subjects[i], &call);
				call.number = (int)(X32_BIT | (uint32_t)number);
				assert_as_table(&subjects[i], &call);
				call.number = (int)(0x80000000u | (uint32_t)number);
				assert_as_table(&subjects[i], &call);
				call.number = -number;
				assert_as_table(&subjects[i], &call);
				call.number = INT32_MAX - number;
				assert_as_table(&subjects[i], &call);
				call.number = 0xf0000 + number;
				assert_as_table(&subjects[i], &call);
			}
		}
	}
}

static bool decided[ARRAY_SIZE(subjects)][ARRAY_SIZE(rows)];

static void note_decision(const struct subject *subject, const struct call *call)
{
	int row;
	uint32_t want = expect(subject, call, &row);

	if (row != NO_ROW && simulate(subject, call) == want)
		decided[subject - subjects][row] = true;
}

static void test_each_row_of_the_table_decides_something(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(subjects); i++) {
		for (size_t j = 0; j < ARRAY_SIZE(rows); j++) {
			if (!(rows[j].sets & subjects[i].set))
				continue;
			for_each_variant(&subjects[i], subjects[i].native, rows[j].numbers[subjects[i].native],
					 note_decision);
			if (!(subjects[i].set & HELPERS))
				for_each_variant(&subjects[i], subjects[i].narrow, rows[j].numbers[subjects[i].narrow],
						 note_decision);
		}
	}
	for (size_t j = 0; j < ARRAY_SIZE(rows); j++) {
		for (unsigned set = DEFAULT; set <= READER; set <<= 1) {
			bool by_any = false;

			if (!(rows[j].sets & set))
				continue;
			for (size_t i = 0; i < ARRAY_SIZE(subjects); i++)
				by_any = by_any || (subjects[i].set == set && decided[i][j]);
			if (!by_any)
				fail_msg("row %zu, %s, decides nothing in set %x", j, rows[j].syscall, set);
		}
	}
}

static void test_no_row_looks_at_an_argument_the_variants_leave_out(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		for (size_t j = 0; j < ARRAY_SIZE(rows[i].conditions); j++) {
			assert_true(rows[i].conditions[j].argument < 3);
			assert_true((rows[i].conditions[j].value & ~rows[i].conditions[j].mask) == 0);
		}
	}
}

static void test_each_refusing_row_has_a_reason(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		if (rows[i].action != ACTION_ALLOW && rows[i].reason[0] == '\0')
			fail_msg("row %zu, %s, has no reason", i, rows[i].syscall);
	}
}

/* -- size: each instruction costs start time ----------------------------------------------------------------------- */

static bool reached[BPF_MAXINSNS];
static unsigned steps;

static void note_reached(const struct subject *subject, const struct call *call)
{
	struct seccomp_data data = { .nr = call->number, .arch = call->arch };

	memcpy(data.args, call->args, sizeof(data.args));
	(void)bpf_simulate(&subject->program, &data, &steps, reached);
}

/* finding 20; and finding 45: a tree, not a line, since the kernel tries it for each number when it is loaded. */
static void test_finding_20_programs_are_small_and_each_instruction_is_reached(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(subjects); i++) {
		const struct subject *subject = &subjects[i];
		unsigned calls = 0;

		memset(reached, 0, sizeof(reached));
		for (int number = 0; number <= NUMBER_MAX; number++) {
			for_each_variant(subject, subject->native, number, note_reached);
			for_each_variant(subject, subject->narrow, number, note_reached);
		}
		note_reached(subject, &(struct call){ .arch = AUDIT_ARCH_S390X });
		for (int number = 0xeffff; number < 0xf0010; number++)
			note_reached(subject, &(struct call){ .arch = audit_arch[subject->narrow], .number = number });
		for (unsigned line = 0; line < subject->program.len; line++) {
			if (!reached[line])
				fail_msg("%s: instruction %u is never reached", subject->name, line);
		}

		/* The kernel's own run over a new filter: all numbers, arguments unknown. */
		steps = 0;
		for (int number = 0; number <= (int)newest_number(); number++, calls += 2) {
			note_reached(subject, &(struct call){ .arch = audit_arch[subject->native], .number = number });
			note_reached(subject, &(struct call){ .arch = audit_arch[subject->narrow], .number = number });
		}
		print_message("%-24s %3u instructions, %.1f run for a call\n", subject->name, subject->program.len,
			      (double)steps / calls);
		assert_true(steps / calls <= 20);
		assert_true(subject->program.len <= (subject->set & OPEN_STRICT ? 180 : 150));
	}
}

/* -- the findings, with numbers written out ------------------------------------------------------------------------ */

#define EACH_SUBJECT(subject, in)                                                                                      \
	for (const struct subject *subject = subjects; subject < subjects + ARRAY_SIZE(subjects); subject++)           \
		if (subject->native == x86_64 && subject->set & (in))

#define RESULT(subject, arch, number, ...) simulate(subject, &(struct call){ arch, number, { __VA_ARGS__ } })
#define X64(subject, number, ...)	   RESULT(subject, AUDIT_ARCH_X86_64, number, __VA_ARGS__)
#define X86(subject, number, ...)	   RESULT(subject, AUDIT_ARCH_I386, number, __VA_ARGS__)

static void test_finding_1_no_call_makes_or_enters_a_namespace(void **state)
{
	static const uint64_t flags[] = {
		0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000
	};

	(void)state;
	EACH_SUBJECT(subject, CLOSED)
	{
		assert_int_equal(X64(subject, 272, 0x10000000), ACTION_EPERM); /* unshare */
		assert_int_equal(X64(subject, 308, 3, 0), ACTION_EPERM);       /* setns */
		assert_int_equal(X64(subject, 161, 0), ACTION_EPERM);	       /* chroot */
		assert_int_equal(X86(subject, 310, 0x10000000), ACTION_EPERM);
		assert_int_equal(X86(subject, 346, 3, 0), ACTION_EPERM);
		assert_int_equal(X86(subject, 61, 0), ACTION_EPERM);
		for (size_t i = 0; i < ARRAY_SIZE(flags); i++) {
			assert_int_equal(X64(subject, 56, flags[i] | SIGCHLD), ACTION_EPERM);
			assert_int_equal(X86(subject, 120, flags[i] | SIGCHLD), ACTION_EPERM);
			assert_int_equal(X64(subject, 56, flags[i] | SIGCHLD | HIGH_BIT), ACTION_EPERM);
		}
		/* fork, vfork, and a thread as glibc makes it */
		assert_int_equal(X64(subject, 56, 0x1200011), ACTION_ALLOW);
		assert_int_equal(X64(subject, 56, 0x4111), ACTION_ALLOW);
		assert_int_equal(X64(subject, 56, 0x3d0f00), ACTION_ALLOW);
		assert_int_equal(X86(subject, 120, 0x3d0f00), ACTION_ALLOW);
	}
	EACH_SUBJECT(subject, PAYLOAD & ~CLOSED)
	{
		/* Chromium's own sandbox: user namespace and chroot, but no mounts. */
		assert_int_equal(X64(subject, 56, 0x10000000 | SIGCHLD), ACTION_ALLOW);
		assert_int_equal(X64(subject, 272, 0x10000000), ACTION_ALLOW);
		assert_int_equal(X64(subject, 308, 3, 0), ACTION_ALLOW);
		assert_int_equal(X64(subject, 161, 0), ACTION_ALLOW);
		assert_int_equal(X64(subject, 165, 0), ACTION_EPERM);  /* mount */
		assert_int_equal(X64(subject, 155, 0), ACTION_EPERM);  /* pivot_root */
		assert_int_equal(X64(subject, 166, 0), ACTION_EPERM);  /* umount2 */
		assert_int_equal(X64(subject, 429, 0), ACTION_ENOSYS); /* move_mount */
	}
}

static void test_finding_2_high_bits_of_int_arguments_change_nothing(void **state)
{
	(void)state;
	EACH_SUBJECT(subject, PAYLOAD)
	{
		for (uint64_t family = 0; family < 300; family++) {
			bool is_allowed = family <= 2 || family == 10 || family == 16;
			uint32_t want = is_allowed ? ACTION_ALLOW : ACTION_EAFNOSUPPORT;

			for (unsigned bit = 32; bit < 64; bit++) {
				uint64_t high = UINT64_C(1) << bit;

				assert_int_equal(X64(subject, 41, family | high, 1), want); /* socket */
				assert_int_equal(X64(subject, 53, family | high, 1), want); /* socketpair */
				assert_int_equal(X86(subject, 359, family | high, 1), want);
				assert_int_equal(X86(subject, 360, family | high, 1), want);
			}
			assert_int_equal(X64(subject, 41, family, 1), want);
			assert_int_equal(X64(subject, 41, family | 0x80000000, 1), ACTION_EAFNOSUPPORT);
		}
		/* ioctl: TIOCSTI, TIOCLINUX, TIOCSCTTY(1); TIOCSCTTY(0), TCGETS */
		for (unsigned bit = 32; bit < 65; bit++) {
			uint64_t high = bit < 64 ? UINT64_C(1) << bit : 0;

			assert_int_equal(X64(subject, 16, 0, high | 0x5412), ACTION_EPERM);
			assert_int_equal(X64(subject, 16, 0, high | 0x541c), ACTION_EPERM);
			assert_int_equal(X64(subject, 16, 0, high | 0x540e, 1), ACTION_EPERM);
			assert_int_equal(X64(subject, 16, 0, 0x540e, high | 1), ACTION_EPERM);
			assert_int_equal(X64(subject, 16, 0, 0x540e, high), ACTION_ALLOW);
			assert_int_equal(X64(subject, 16, 0, high | 0x5401), ACTION_ALLOW);
			assert_int_equal(X86(subject, 54, 0, high | 0x5412), ACTION_EPERM);
			/* personality: ADDR_NO_RANDOMIZE; asking */
			assert_int_equal(X64(subject, 135, high | 0x40000), ACTION_EPERM);
			assert_int_equal(X64(subject, 135, high | 0xffffffff), ACTION_ALLOW);
			assert_int_equal(X86(subject, 136, high | 0x400000), ACTION_EPERM);
		}
	}
}

static void test_finding_3_the_other_abis_are_filtered_and_never_killed(void **state)
{
	(void)state;
	EACH_SUBJECT(subject, PAYLOAD)
	{
		for (int number = 286; number <= 288; number++) /* add_key, request_key, keyctl */
			assert_int_equal(X86(subject, number, 0), ACTION_EPERM);
		assert_int_equal(X86(subject, 359, 40), ACTION_EAFNOSUPPORT); /* socket(AF_VSOCK) */
		assert_int_equal(X86(subject, 102, 1), ACTION_ENOSYS);	      /* socketcall */
		assert_int_equal(X86(subject, 21, 0), ACTION_EPERM);	      /* mount */
		assert_int_equal(X86(subject, 22, 0), ACTION_EPERM);	      /* umount */
		assert_int_equal(X86(subject, 113, 0), ACTION_EPERM);	      /* vm86old */
		assert_int_equal(X86(subject, 425, 0), ACTION_ENOSYS);	      /* io_uring_setup */
		assert_int_equal(X86(subject, 4, 0), ACTION_ALLOW);	      /* write */
		for (uint32_t number = 0; number <= NUMBER_MAX; number++) {
			assert_int_equal(X64(subject, (int)(X32_BIT | number), 0), ACTION_ENOSYS);
			assert_int_equal(RESULT(subject, AUDIT_ARCH_AARCH64, (int)number, 0), ACTION_ENOSYS);
		}
		for (unsigned line = 0; line < subject->program.len; line++) {
			if (subject->program.filter[line].code == (BPF_RET | BPF_K))
				assert_true(subject->program.filter[line].k == ACTION_ALLOW ||
					    (subject->program.filter[line].k & SECCOMP_RET_ACTION_FULL) ==
						    SECCOMP_RET_ERRNO);
		}
	}
}

static void test_finding_4_clone3_looks_missing_so_that_callers_fall_back(void **state)
{
	(void)state;
	EACH_SUBJECT(subject, PAYLOAD)
	{
		assert_int_equal(X64(subject, 435, 0), ACTION_ENOSYS);
		assert_int_equal(X86(subject, 435, 0), ACTION_ENOSYS);
		for (int number = 425; number <= 433; number++) /* io_uring, new mount API */
			assert_int_equal(X64(subject, number, 0), ACTION_ENOSYS);
		assert_int_equal(X64(subject, 442, 0), ACTION_ENOSYS); /* mount_setattr */
		assert_int_equal(X64(subject, 467, 0), ACTION_ENOSYS); /* open_tree_attr */
		for (int number = 470; number <= NUMBER_MAX; number++)
			assert_int_equal(X64(subject, number, 0), ACTION_ENOSYS);
		assert_int_equal(X64(subject, 400, 0), ACTION_ENOSYS);
		assert_int_equal(X64(subject, -1, 0), ACTION_ENOSYS);
		assert_int_equal(X64(subject, INT32_MAX, 0), ACTION_ENOSYS);
	}
}

static void test_finding_40_limits_of_others_are_read_not_set(void **state)
{
	(void)state;
	EACH_SUBJECT(subject, PAYLOAD)
	{
		static const struct {
			enum abi abi;
			int number;
		} calls[] = { { x86_64, 302 }, { i386, 340 } };

		for (size_t i = 0; i < ARRAY_SIZE(calls); i++) {
			uint32_t arch = audit_arch[calls[i].abi];
			int number = calls[i].number;

			assert_int_equal(RESULT(subject, arch, number, 1, 7, 0x1000), ACTION_EPERM);
			assert_int_equal(RESULT(subject, arch, number, HIGH_BIT | 1, 7, 0x1000), ACTION_EPERM);
			/* pid_t -1 and pids with the sign bit */
			assert_int_equal(RESULT(subject, arch, number, 0xffffffff, 7, 0x1000), ACTION_EPERM);
			/* a pointer whose low half is 0 is one */
			assert_int_equal(RESULT(subject, arch, number, 1, 7, HIGH_BIT), ACTION_EPERM);
			assert_int_equal(RESULT(subject, arch, number, 1, 7, 0, 0x1000), ACTION_ALLOW);
			assert_int_equal(RESULT(subject, arch, number, 0, 7, 0x1000), ACTION_ALLOW);
			/* the kernel sees pid 0 here */
			assert_int_equal(RESULT(subject, arch, number, HIGH_BIT, 7, 0x1000), ACTION_ALLOW);
		}
	}
}

static void test_finding_41_descriptors_of_others_are_not_taken(void **state)
{
	(void)state;
	EACH_SUBJECT(subject, PAYLOAD)
	{
		assert_int_equal(X64(subject, 438, 0), ACTION_EPERM); /* pidfd_getfd */
		assert_int_equal(X64(subject, 312, 0), ACTION_EPERM); /* kcmp */
		assert_int_equal(X64(subject, 440, 0), ACTION_EPERM); /* process_madvise */
		assert_int_equal(X64(subject, 460, 0), ACTION_EPERM); /* lsm_set_self_attr */
	}
	EACH_SUBJECT(subject, FORWARDER)
	{
		assert_int_equal(X64(subject, 257, 0), ACTION_KILL); /* openat */
		assert_int_equal(X64(subject, 59, 0), ACTION_KILL);  /* execve */
		assert_int_equal(X64(subject, 41, 1), ACTION_KILL);  /* socket(AF_UNIX) */
		assert_int_equal(X64(subject, 41, 2), ACTION_ALLOW); /* socket(AF_INET) */
		assert_int_equal(X64(subject, 54, 3, 0),
				 ACTION_KILL); /* setsockopt(IPPROTO_IP): netfilter's lie there */
		assert_int_equal(X64(subject, 157, 4, 1), ACTION_KILL); /* prctl(PR_SET_DUMPABLE) */
		assert_int_equal(X64(subject, 275, 0), ACTION_ALLOW);	/* splice */
	}
}

static void test_sbx_own_processes_map_no_code_and_have_one_abi(void **state)
{
	(void)state;
	EACH_SUBJECT(subject, HELPERS)
	{
		assert_int_equal(X64(subject, 9, 0, 4096, 3), ACTION_ALLOW); /* mmap(PROT_READ | PROT_WRITE) */
		assert_int_equal(X64(subject, 9, 0, 4096, 7), ACTION_KILL);
		assert_int_equal(X64(subject, 9, 0, 4096, HIGH_BIT | 4), ACTION_KILL);
		assert_int_equal(X64(subject, 10, 0, 4096, 5), ACTION_KILL); /* mprotect */
		assert_int_equal(X64(subject, 302, 0, 7, 0x1000), ACTION_KILL);
		assert_int_equal(X64(subject, 62, 1, 9), ACTION_KILL); /* kill */
		assert_int_equal(X64(subject, 56, 0x11), ACTION_KILL); /* clone */
		assert_int_equal(X64(subject, 470, 0), ACTION_KILL);
		assert_int_equal(X86(subject, 4, 0), ACTION_KILL);
		assert_int_equal(X64(subject, (int)X32_BIT, 0), ACTION_KILL);
	}
	EACH_SUBJECT(subject, READER)
	{
		assert_int_equal(X64(subject, 41, 1), ACTION_KILL);   /* socket */
		assert_int_equal(X64(subject, 257, 0), ACTION_ALLOW); /* openat */
		assert_int_equal(X64(subject, 437, 0), ACTION_ALLOW); /* openat2 */
	}
}

static void test_strict_allows_nothing_that_default_refuses(void **state)
{
	(void)state;
	for (size_t i = 0; i + 2 < ARRAY_SIZE(subjects); i++) {
		const struct subject *open = &subjects[i], *strict = &subjects[i + 2];
		enum abi abis[] = { open->native, open->narrow };

		if (!(open->set & (DEFAULT | DEFAULT_USERNS)))
			continue;
		assert_int_equal(strict->set, open->set << 2);
		for (int number = 0; number <= NUMBER_MAX; number++) {
			for (size_t j = 0; j < ARRAY_SIZE(abis); j++) {
				struct call call = { .arch = audit_arch[abis[j]], .number = number };
				uint32_t by_default = simulate(open, &call), by_strict = simulate(strict, &call);

				/* Where default has an answer of its own, strict gives the same. */
				if (by_default != ACTION_ALLOW)
					assert_int_equal(by_strict, by_default);
				else if (by_strict != ACTION_ALLOW)
					assert_int_equal(by_strict, ACTION_EPERM);
			}
		}
	}
}

static void test_what_runtimes_cannot_do_without_is_allowed(void **state)
{
	/* mlock, membarrier, sched_setaffinity, sched_setscheduler, get_mempolicy, mknodat, memfd_create, seccomp,
	 * landlock_create_ruleset, prctl, flock, ptrace, process_vm_readv, pkey_alloc, rseq, inotify_init1, adjtimex,
	 * futex_waitv, close_range, faccessat2 */
	static const int wanted[] = { 149, 324, 203, 144, 239, 259, 319, 317, 444, 157,
				      73,  101, 310, 330, 334, 294, 159, 449, 436, 439 };

	(void)state;
	EACH_SUBJECT(subject, PAYLOAD)
	{
		for (size_t i = 0; i < ARRAY_SIZE(wanted); i++) {
			if (X64(subject, wanted[i], 0) != ACTION_ALLOW)
				fail_msg("%s refuses %d", subject->name, wanted[i]);
		}
	}
}

static void test_names_have_the_numbers_that_the_kernel_gives_them(void **state)
{
	/* clang-format off */
	static const struct {
		enum abi abi;
		const char *syscall;
		int number;
	} known[] = {
		{ i386, "keyctl", 288 }, { i386, "mount", 21 }, { i386, "umount", 22 }, { i386, "umount2", 52 },
		{ i386, "unshare", 310 }, { i386, "setns", 346 }, { i386, "clone", 120 }, { i386, "prlimit64", 340 },
		{ i386, "socketpair", 360 }, { i386, "bpf", 357 }, { i386, "stime", 25 }, { i386, "vm86", 166 },
		{ i386, "clock_settime64", 404 }, { i386, "execveat", 358 }, { i386, "ioctl", 54 },
		{ aarch64, "clone", 220 }, { aarch64, "unshare", 97 }, { aarch64, "mount", 40 },
		{ aarch64, "socket", 198 }, { aarch64, "keyctl", 219 }, { aarch64, "open", -1 },
		{ aarch64, "clone3", 435 }, { arm, "socket", 281 }, { arm, "clone", 120 },
		{ x86_64, "socketcall", -1 }, { x86_64, "open_tree_attr", 467 }, { x86_64, "lsm_set_self_attr", 460 },
#ifdef __x86_64__
#define SAME(name) { x86_64, #name, SYS_##name }
		SAME(unshare), SAME(setns), SAME(chroot), SAME(pivot_root), SAME(mount), SAME(umount2), SAME(add_key),
		SAME(keyctl), SAME(request_key), SAME(bpf), SAME(perf_event_open), SAME(userfaultfd), SAME(kcmp),
		SAME(pidfd_getfd), SAME(process_madvise), SAME(open_by_handle_at), SAME(fanotify_init), SAME(quotactl),
		SAME(quotactl_fd), SAME(acct), SAME(swapon), SAME(swapoff), SAME(reboot), SAME(kexec_load),
		SAME(kexec_file_load), SAME(init_module), SAME(finit_module), SAME(delete_module), SAME(create_module),
		SAME(query_module), SAME(get_kernel_syms), SAME(syslog), SAME(clock_settime), SAME(settimeofday),
		SAME(clock_adjtime), SAME(iopl), SAME(ioperm), SAME(modify_ldt), SAME(uselib), SAME(ustat), SAME(sysfs),
		SAME(lookup_dcookie), SAME(move_pages), SAME(migrate_pages), SAME(vhangup), SAME(nfsservctl),
		SAME(sethostname), SAME(setdomainname), SAME(prlimit64), SAME(ioctl), SAME(personality), SAME(socket),
		SAME(socketpair), SAME(clone), SAME(clone3), SAME(io_uring_setup), SAME(io_uring_enter),
		SAME(io_uring_register), SAME(open_tree), SAME(move_mount), SAME(fsopen), SAME(fsconfig), SAME(fsmount),
		SAME(fspick), SAME(mount_setattr),
#endif
	};
	/* clang-format on */

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
		if (number_of(known[i].abi, known[i].syscall) != known[i].number)
			fail_msg("%s has number %d, not %d", known[i].syscall,
				 number_of(known[i].abi, known[i].syscall), known[i].number);
	}
}

/* -- options ------------------------------------------------------------------------------------------------------- */

static void test_profiles_are_read_by_their_names_and_no_others(void **state)
{
	static const char *const wrong[] = { "", "Default", "none", "strict ", "forwarder", "reader", NULL };
	enum seccomp_profile profile = SECCOMP_READER;

	(void)state;
	assert_int_equal(seccomp_parse_profile("default", &profile), 0);
	assert_int_equal(profile, SECCOMP_DEFAULT);
	assert_int_equal(seccomp_parse_profile("strict", &profile), 0);
	assert_int_equal(profile, SECCOMP_STRICT);
	assert_int_equal(seccomp_parse_profile("off", &profile), 0);
	assert_int_equal(profile, SECCOMP_OFF);
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
		assert_int_equal(seccomp_parse_profile(wrong[i], &profile), -EINVAL);
	assert_int_equal(profile, SECCOMP_OFF);
	assert_string_equal(seccomp_profile_name(SECCOMP_FORWARDER), "forwarder");
	assert_string_equal(seccomp_profile_name(SECCOMP_OFF), "off");
}

static void test_each_profile_embeds_its_own_program(void **state)
{
	static const struct {
		struct seccomp_options options;
		unsigned set;
	} cases[] = {
		{ { .profile = SECCOMP_DEFAULT }, DEFAULT },
		{ { .profile = SECCOMP_DEFAULT, .allow_userns = true, .log = true }, DEFAULT_USERNS },
		{ { .profile = SECCOMP_STRICT }, STRICT },
		{ { .profile = SECCOMP_STRICT, .allow_userns = true }, STRICT_USERNS },
		{ { .profile = SECCOMP_FORWARDER }, FORWARDER },
		{ { .profile = SECCOMP_READER, .allow_userns = true }, READER },
	};
#ifdef __x86_64__
	enum abi native = x86_64;
#else
	enum abi native = aarch64;
#endif

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct sock_fprog *program = seccomp_program(&cases[i].options);

		for (const struct subject *subject = subjects; subject < subjects + ARRAY_SIZE(subjects); subject++) {
			if (subject->native != native || subject->set != cases[i].set)
				continue;
			assert_int_equal(program->len, subject->program.len);
			assert_memory_equal(program->filter, subject->program.filter,
					    program->len * sizeof(*program->filter));
		}
	}
	assert_null(seccomp_program(&(struct seccomp_options){ .profile = SECCOMP_OFF }));
}

/* -- a few real calls ---------------------------------------------------------------------------------------------- */

typedef int body_fn(void);

/* Runs body confined, in a child. @return its exit status, or 128 + the signal that ended it */
static int run_confined(const struct seccomp_options *options, body_fn *body)
{
	int status;
	pid_t child = fork();

	assert_true(child >= 0);
	if (child == 0) {
		struct error error = { 0 };

		if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || seccomp_load(options, &error) != 0) {
			fprintf(stderr, "cannot %s: %s\n", error.step, strerror(error.number));
			_exit(99);
		}
		_exit(body());
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

#define EXPECT_ERRNO(call, number)                                                                                     \
	do {                                                                                                           \
		errno = 0;                                                                                             \
		if ((call) != -1 || errno != (number)) {                                                               \
			fprintf(stderr, "%s: %s, not %s\n", #call, strerror(errno), strerror(number));                 \
			return 1;                                                                                      \
		}                                                                                                      \
	} while (0)

#ifdef __x86_64__
/* A system call of the i386 ABI, arguments in ebx and ecx. @return as the kernel, -errno */
static long call_i386(long number, long first, long second)
{
	long result;

	__asm__ volatile("int $0x80"
			 : "=a"(result)
			 : "a"(number), "b"(first), "c"(second)
			 : "r8", "r9", "r10", "r11", "memory");
	return (int)result;
}
#endif

static void *thread_body(void *argument)
{
	return argument;
}

static int make_forbidden_calls(void)
{
	struct rlimit limit = { 64, 64 };
	pthread_t thread;
	void *result;

	EXPECT_ERRNO(syscall(SYS_keyctl, 0, 0), EPERM);
	EXPECT_ERRNO(socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0), EAFNOSUPPORT);
	EXPECT_ERRNO(syscall(SYS_socket, HIGH_BIT | AF_VSOCK, SOCK_STREAM, 0), EAFNOSUPPORT);
	EXPECT_ERRNO(syscall(SYS_clone3, NULL, 0), ENOSYS);
	EXPECT_ERRNO(syscall(SYS_io_uring_setup, 1, NULL), ENOSYS);
	EXPECT_ERRNO(syscall(599), ENOSYS);
	EXPECT_ERRNO(syscall(-1), ENOSYS);
	EXPECT_ERRNO(unshare(CLONE_NEWUSER), EPERM);
	EXPECT_ERRNO(syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, NULL, NULL, NULL, NULL), EPERM);
	EXPECT_ERRNO(ioctl(0, TIOCSTI, "x"), EPERM);
	EXPECT_ERRNO(syscall(SYS_ioctl, 0, HIGH_BIT | TIOCSTI, "x"), EPERM);
	EXPECT_ERRNO(prlimit(getppid(), RLIMIT_NOFILE, &limit, NULL), EPERM);
	EXPECT_ERRNO(personality(ADDR_NO_RANDOMIZE), EPERM);
#ifdef __x86_64__
	EXPECT_ERRNO(syscall((long)X32_BIT | SYS_getpid), ENOSYS);
	/* A kernel without the i386 ABI faults here; such a kernel has no hole to close. */
	if (call_i386(20, 0, 0) == getpid()) {
		if (call_i386(288, 0, 0) != -EPERM || call_i386(359, AF_VSOCK, SOCK_STREAM) != -EAFNOSUPPORT ||
		    call_i386(102, 1, 0) != -ENOSYS || call_i386(435, 0, 0) != -ENOSYS)
			return 2;
	}
#endif
	/* What must go on working. */
	if (prlimit(getppid(), RLIMIT_NOFILE, NULL, &limit) != 0 || prlimit(0, RLIMIT_CORE, &limit, NULL) != 0)
		return 3;
	if (pthread_create(&thread, NULL, thread_body, &limit) != 0 || pthread_join(thread, &result) != 0 ||
	    result != &limit)
		return 4;
	if (personality(0xffffffff) == -1 || close(socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0)) != 0 ||
	    close(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, 0)) != 0)
		return 5;
	return 0;
}

static void test_the_kernel_enforces_the_payload_filters(void **state)
{
	(void)state;
	assert_int_equal(run_confined(&(struct seccomp_options){ .profile = SECCOMP_DEFAULT }, make_forbidden_calls),
			 0);
	assert_int_equal(run_confined(&(struct seccomp_options){ .profile = SECCOMP_STRICT }, make_forbidden_calls), 0);
	assert_int_equal(run_confined(&(struct seccomp_options){ .profile = SECCOMP_DEFAULT, .log = true },
				      make_forbidden_calls),
			 0);
}

static int run_a_program(void)
{
	int status;
	pid_t child = fork();

	if (child == 0) {
		execl("/bin/sh", "sh", "-c", "echo a b | { read -r x y; test \"$x$y\" = ab; } && cd / && ls >/dev/null",
		      (char *)NULL);
		_exit(127);
	}
	return waitpid(child, &status, 0) == child && status == 0 ? 0 : 1;
}

static void test_programs_run_under_the_payload_filters(void **state)
{
	(void)state;
	for (enum seccomp_profile profile = SECCOMP_DEFAULT; profile <= SECCOMP_OFF; profile++) {
		assert_int_equal(run_confined(&(struct seccomp_options){ .profile = profile }, run_a_program), 0);
		assert_int_equal(run_confined(&(struct seccomp_options){ .profile = profile, .allow_userns = true },
					      run_a_program),
				 0);
	}
}

static int make_user_namespace(void)
{
	if (unshare(CLONE_NEWUSER) != 0)
		return errno == EPERM ? 1 : 2;
	return 0;
}

static void test_user_namespaces_are_allowed_only_by_option(void **state)
{
	int without = run_confined(&(struct seccomp_options){ .profile = SECCOMP_OFF }, make_user_namespace);

	(void)state;
	assert_int_equal(run_confined(&(struct seccomp_options){ .profile = SECCOMP_DEFAULT }, make_user_namespace), 1);
	assert_int_equal(run_confined(&(struct seccomp_options){ .profile = SECCOMP_STRICT }, make_user_namespace), 1);
	/* As this machine answers without a filter. */
	assert_int_equal(run_confined(&(struct seccomp_options){ .profile = SECCOMP_DEFAULT, .allow_userns = true },
				      make_user_namespace),
			 without);
	assert_int_equal(run_confined(&(struct seccomp_options){ .profile = SECCOMP_STRICT, .allow_userns = true },
				      make_user_namespace),
			 without);
}

static int open_a_file(void)
{
	return open("/dev/null", O_RDONLY | O_CLOEXEC) < 0;
}

static int make_a_socket(void)
{
	return socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0) < 0;
}

static int map_code(void)
{
	return mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED;
}

static int start_a_child(void)
{
	return fork() < 0;
}

static void test_sbx_own_processes_die_of_any_other_call(void **state)
{
	static const struct seccomp_options forwarder = { .profile = SECCOMP_FORWARDER };
	static const struct seccomp_options reader = { .profile = SECCOMP_READER };

	(void)state;
	assert_int_equal(run_confined(&forwarder, make_a_socket), 0);
	assert_int_equal(run_confined(&forwarder, open_a_file), 128 + SIGSYS);
	assert_int_equal(run_confined(&reader, open_a_file), 0);
	assert_int_equal(run_confined(&reader, make_a_socket), 128 + SIGSYS);
	assert_int_equal(run_confined(&forwarder, map_code), 128 + SIGSYS);
	assert_int_equal(run_confined(&reader, map_code), 128 + SIGSYS);
	assert_int_equal(run_confined(&reader, start_a_child), 128 + SIGSYS);
}

/* -- sbx's own processes at work ----------------------------------------------------------------------------------- */

/* The directory that the reader is given, open; made by test_the_reader_…, as a filtered process takes no arguments. */
static int work_dir = -1;
static char work_path[64];

#define CHECK(condition)                                                                                               \
	do {                                                                                                           \
		if (!(condition)) {                                                                                    \
			fprintf(stderr, "line %d: %s: %s\n", __LINE__, #condition, strerror(errno));                   \
			return 1;                                                                                      \
		}                                                                                                      \
	} while (0)

static int execute(sqlite3 *database, const char *statement)
{
	return sqlite3_exec(database, statement, NULL, NULL, NULL);
}

/* Makes NAME in the work directory with 1,000 rows, in the journal mode given, and leaves it open. */
static sqlite3 *make_database(const char *name, const char *journal_mode)
{
	char path[128], statement[128];
	sqlite3 *database;

	snprintf(path, sizeof(path), "%s/%s", work_path, name);
	snprintf(statement, sizeof(statement), "PRAGMA journal_mode=%s", journal_mode);
	assert_int_equal(sqlite3_open(path, &database), SQLITE_OK);
	assert_int_equal(execute(database, statement), SQLITE_OK);
	assert_int_equal(execute(database, "CREATE TABLE t(a); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 "
					   "FROM n WHERE i < 1000) INSERT INTO t SELECT i FROM n"),
			 SQLITE_OK);
	return database;
}

static int back_up(const char *name, const char *copy_name)
{
	char path[128], copy_path[128];
	sqlite3 *database, *copy;
	sqlite3_backup *backup;

	snprintf(path, sizeof(path), "%s/%s", work_path, name);
	snprintf(copy_path, sizeof(copy_path), "%s/%s", work_path, copy_name);
	CHECK(sqlite3_open_v2(path, &database, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOFOLLOW, NULL) == SQLITE_OK);
	CHECK(sqlite3_busy_timeout(database, 100) == SQLITE_OK);
	CHECK(sqlite3_open(copy_path, &copy) == SQLITE_OK);
	backup = sqlite3_backup_init(copy, "main", database, "main");
	CHECK(backup && sqlite3_backup_step(backup, -1) == SQLITE_DONE);
	CHECK(sqlite3_backup_finish(backup) == SQLITE_OK);
	CHECK(execute(copy, "PRAGMA quick_check; SELECT sum(a) FROM t GROUP BY a % 7 ORDER BY random()") == SQLITE_OK);
	CHECK(execute(copy, "CREATE TABLE u(b); DROP TABLE t; VACUUM") == SQLITE_OK);
	CHECK(sqlite3_close(copy) == SQLITE_OK && sqlite3_close(database) == SQLITE_OK);
	return 0;
}

static int read_databases(void)
{
	return back_up("rollback.db", "rollback.copy") || back_up("wal.db", "wal.copy");
}

static int copy_files(void)
{
	static const struct timespec times[2] = { { 1, 0 }, { 2, 0 } };
	struct open_how how = { .flags = O_RDONLY | O_CLOEXEC, .resolve = RESOLVE_BENEATH };
	int source, target, out, entries = 0;
	struct statx status;
	char link[16];
	struct dirent *entry;
	DIR *directory;

	CHECK((source = (int)syscall(SYS_openat2, work_dir, "rollback.db", &how, sizeof(how))) >= 0);
	CHECK(statx(source, "", AT_EMPTY_PATH, STATX_ALL, &status) == 0);
	CHECK(mkdirat(work_dir, "out", 0700) == 0);
	CHECK((out = openat(work_dir, "out", O_RDONLY | O_DIRECTORY | O_CLOEXEC)) >= 0);
	CHECK((target = openat(out, "copy", O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600)) >= 0);
	/* Neither is to be had on every file system; being killed for it is what would fail here. */
	(void)ioctl(target, FICLONE, source);
	(void)fsetxattr(target, "user.overlay.opaque", "y", 1, 0);
	(void)mknodat(out, "whiteout", S_IFCHR, 0);
	CHECK(copy_file_range(source, NULL, target, NULL, 4096, 0) == 4096);
	CHECK(fchmod(target, 0640) == 0 && ftruncate(target, 1 << 20) == 0);
	CHECK(fchown(target, geteuid(), getegid()) == 0);
	CHECK(utimensat(out, "copy", times, AT_SYMLINK_NOFOLLOW) == 0);
	CHECK(symlinkat("copy", out, "symlink") == 0 && linkat(out, "copy", out, "link", 0) == 0);
	CHECK(readlinkat(out, "symlink", link, sizeof(link)) == 4);
	CHECK(mknodat(out, "fifo", S_IFIFO | 0600, 0) == 0 && renameat(out, "fifo", out, "pipe") == 0);
	CHECK((directory = fdopendir(out)) != NULL);
	while ((entry = readdir(directory)))
		entries++;
	CHECK(entries >= 6 && unlinkat(out, "pipe", 0) == 0);
	CHECK(closedir(directory) == 0 && close(source) == 0 && close(target) == 0);
	return 0;
}

static int write_a_report(void)
{
	char *large = malloc(64 << 20);
	time_t now = time(NULL);
	FILE *report;
	int out;

	CHECK(large && (large = realloc(large, 128 << 20)));
	CHECK((out = openat(work_dir, "report", O_WRONLY | O_CREAT | O_CLOEXEC, 0600)) >= 0);
	CHECK((report = fdopen(out, "w")) != NULL);
	CHECK(fprintf(report, "%s %d %ld\n", asctime(localtime(&now)), getpid(), sysconf(_SC_NPROCESSORS_ONLN)) > 0);
	CHECK(fflush(report) == 0 && fsync(out) == 0 && fclose(report) == 0);
	CHECK(printf("%s", "") == 0 && isatty(work_dir) == 0);
	CHECK(usleep(1000) == 0);
	free(large);
	return 0;
}

static void test_the_reader_can_read_databases_and_copy_files(void **state)
{
	static const struct seccomp_options reader = { .profile = SECCOMP_READER };
	sqlite3 *rollback, *wal;
	char command[96];

	(void)state;
	snprintf(work_path, sizeof(work_path), "/tmp/sbx-test-seccomp.XXXXXX");
	assert_non_null(mkdtemp(work_path));
	work_dir = open(work_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(work_dir >= 0);
	rollback = make_database("rollback.db", "DELETE");
	wal = make_database("wal.db", "WAL");

	assert_int_equal(run_confined(&reader, read_databases), 0);
	assert_int_equal(run_confined(&reader, copy_files), 0);
	assert_int_equal(run_confined(&reader, write_a_report), 0);

	sqlite3_close(rollback);
	sqlite3_close(wal);
	close(work_dir);
	snprintf(command, sizeof(command), "rm -rf %s", work_path);
	assert_int_equal(system(command), 0);
}

/* The forwarder's listening socket, and the port inside that it connects to. */
static int front = -1;
static struct sockaddr_in behind;

static int listen_on_loopback(struct sockaddr_in *ret_address)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof(address);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(listener >= 0);
	assert_int_equal(bind(listener, (struct sockaddr *)&address, size), 0);
	assert_int_equal(listen(listener, 8), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)ret_address, &size), 0);
	return listener;
}

/* Accepts one connection, makes the other, and splices the first bytes each way. */
static int forward_one_connection(void)
{
	int one = 1, error_number, ends[2], epoll, from, to;
	struct epoll_event event = { .events = EPOLLIN };
	socklen_t size = sizeof(error_number);
	ssize_t moved;

	CHECK((epoll = epoll_create1(EPOLL_CLOEXEC)) >= 0);
	CHECK(epoll_ctl(epoll, EPOLL_CTL_ADD, front, &event) == 0 && epoll_wait(epoll, &event, 1, 5000) == 1);
	CHECK((from = accept4(front, NULL, NULL, SOCK_CLOEXEC)) >= 0);
	CHECK((to = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) >= 0);
	CHECK(connect(to, (struct sockaddr *)&behind, sizeof(behind)) == 0);
	CHECK(getsockopt(to, SOL_SOCKET, SO_ERROR, &error_number, &size) == 0 && error_number == 0);
	CHECK(setsockopt(to, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) == 0);
	CHECK(pipe2(ends, O_CLOEXEC) == 0 && fcntl(ends[0], F_SETPIPE_SZ, 65536) >= 65536);
	CHECK((moved = splice(from, NULL, ends[1], NULL, 65536, SPLICE_F_MOVE)) > 0);
	CHECK(splice(ends[0], NULL, to, NULL, (size_t)moved, SPLICE_F_MOVE) == moved);
	CHECK((moved = splice(to, NULL, ends[1], NULL, 65536, SPLICE_F_MOVE)) > 0);
	CHECK(splice(ends[0], NULL, from, NULL, (size_t)moved, SPLICE_F_MOVE) == moved);
	CHECK(shutdown(from, SHUT_WR) == 0 && close(from) == 0 && close(to) == 0);
	return 0;
}

static int answer_one_connection(int listener)
{
	char question[8] = "";
	int connection = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

	return read(connection, question, sizeof(question)) == 4 && memcmp(question, "ping", 4) == 0 &&
			       write(connection, "pong", 4) == 4
		       ? 0
		       : 1;
}

static void test_the_forwarder_can_forward(void **state)
{
	static const struct seccomp_options forwarder = { .profile = SECCOMP_FORWARDER };
	struct sockaddr_in address;
	char answer[8] = "";
	int listener, client, status;
	pid_t server;

	(void)state;
	front = listen_on_loopback(&address);
	listener = listen_on_loopback(&behind);
	server = fork();
	assert_true(server >= 0);
	if (server == 0)
		_exit(answer_one_connection(listener));
	client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(client, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(write(client, "ping", 4), 4);
	assert_int_equal(run_confined(&forwarder, forward_one_connection), 0);
	assert_int_equal(read(client, answer, sizeof(answer)), 4);
	assert_memory_equal(answer, "pong", 4);
	assert_int_equal(waitpid(server, &status, 0), server);
	assert_int_equal(status, 0);
	close(client);
	close(listener);
	close(front);
}

static void test_a_filter_without_no_new_privs_is_an_error(void **state)
{
	int status;
	pid_t child = fork();

	(void)state;
	assert_true(child >= 0);
	if (child == 0) {
		struct error error = { 0 };

		/* CAP_SYS_ADMIN would do instead. */
		if (geteuid() == 0 && (setresgid(65534, 65534, 65534) != 0 || setresuid(65534, 65534, 65534) != 0))
			_exit(9);
		if (seccomp_load(&(struct seccomp_options){ .profile = SECCOMP_STRICT }, &error) != -EACCES)
			_exit(1);
		_exit(strcmp(error.step, "load the seccomp filter") != 0 || strcmp(error.object, "strict") != 0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_number_abi_and_high_bit_variant_does_what_the_table_says),
		cmocka_unit_test(test_numbers_out_of_the_ordinary_do_what_the_table_says),
		cmocka_unit_test(test_each_row_of_the_table_decides_something),
		cmocka_unit_test(test_no_row_looks_at_an_argument_the_variants_leave_out),
		cmocka_unit_test(test_each_refusing_row_has_a_reason),
		cmocka_unit_test(test_finding_1_no_call_makes_or_enters_a_namespace),
		cmocka_unit_test(test_finding_2_high_bits_of_int_arguments_change_nothing),
		cmocka_unit_test(test_finding_3_the_other_abis_are_filtered_and_never_killed),
		cmocka_unit_test(test_finding_4_clone3_looks_missing_so_that_callers_fall_back),
		cmocka_unit_test(test_finding_20_programs_are_small_and_each_instruction_is_reached),
		cmocka_unit_test(test_finding_40_limits_of_others_are_read_not_set),
		cmocka_unit_test(test_finding_41_descriptors_of_others_are_not_taken),
		cmocka_unit_test(test_sbx_own_processes_map_no_code_and_have_one_abi),
		cmocka_unit_test(test_strict_allows_nothing_that_default_refuses),
		cmocka_unit_test(test_what_runtimes_cannot_do_without_is_allowed),
		cmocka_unit_test(test_names_have_the_numbers_that_the_kernel_gives_them),
		cmocka_unit_test(test_profiles_are_read_by_their_names_and_no_others),
		cmocka_unit_test(test_each_profile_embeds_its_own_program),
		cmocka_unit_test(test_the_kernel_enforces_the_payload_filters),
		cmocka_unit_test(test_programs_run_under_the_payload_filters),
		cmocka_unit_test(test_user_namespaces_are_allowed_only_by_option),
		cmocka_unit_test(test_sbx_own_processes_die_of_any_other_call),
		cmocka_unit_test(test_the_reader_can_read_databases_and_copy_files),
		cmocka_unit_test(test_the_forwarder_can_forward),
		cmocka_unit_test(test_a_filter_without_no_new_privs_is_an_error),
	};

	return cmocka_run_group_tests_name("seccomp", tests, index_rows, NULL);
}
