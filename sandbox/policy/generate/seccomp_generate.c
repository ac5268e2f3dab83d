/* SPDX-License-Identifier: Apache-2.0 */
/* Compiles sandbox/policy/syscalls.def to BPF, while sbx is built: `seccomp_generate x86_64|aarch64` writes a header
 * with one array for each filter, `seccomp_generate numbers` the numbers that the names of the table have.
 *
 * How it works. For each filter and each of its two ABIs, every number from 0 to the newest known gets a decision: a
 * return, or a chain of argument tests that ends in returns. Numbers in a row with one decision form an interval, and
 * a binary search over the intervals, lone numbers inside a wider one tested at its leaves, finds the decision in about
 * eight jumps. Numbers above the newest known, x32's among them, are the last interval.
 *
 * Names and their numbers come from libseccomp; the search does not. What its own compiler (2.5.4, binary tree) makes
 * of this deny list has 277 instructions without the rows it cannot express: it has no range on the number, no "none of
 * these values" on an argument (socket families, personality), and below 2.6.1 it merges argument tests wrongly
 * (finding 20). The kernel runs a new filter over every number to find those it need not filter, so each instruction
 * costs start time (finding 45).
 *
 * Instructions are made from the last to the first, so that the target of a jump is known when the jump is made:
 * classic BPF jumps forward only, bpf(4), and 255 instructions at most. */
#include <arpa/inet.h>
#include <asm/ioctls.h>
#include <errno.h>
#include <limits.h>
#include <linux/fs.h>
#include <netinet/in.h>
#include <sched.h>
#include <seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include <linux/filter.h>

#include "base/macro.h"

/* -- the table ----------------------------------------------------------------------------------------------------- */

enum {
	DEFAULT = 1 << 0,
	DEFAULT_USERNS = 1 << 1,
	STRICT = 1 << 2,
	STRICT_USERNS = 1 << 3,
	FORWARDER = 1 << 4,
	READER = 1 << 5,
	CLOSED = DEFAULT | STRICT,
	OPEN_STRICT = STRICT | STRICT_USERNS,
	PAYLOAD = DEFAULT | DEFAULT_USERNS | OPEN_STRICT,
	HELPERS = FORWARDER | READER,
};

static const struct filter {
	const char *name;
	unsigned set;
	bool native_only; /* sbx's own code has one ABI */
} filters[] = {
	{ "default", DEFAULT, false },	  { "default_userns", DEFAULT_USERNS, false },
	{ "strict", STRICT, false },	  { "strict_userns", STRICT_USERNS, false },
	{ "forwarder", FORWARDER, true }, { "reader", READER, true },
};

enum architecture { any, x86_64, i386, aarch64, arm };

static const struct abi {
	const char *name;
	uint32_t token; /* libseccomp's, equal to the kernel's AUDIT_ARCH_* */
} abis[] = {
	[x86_64] = { "x86_64", SCMP_ARCH_X86_64 },
	[i386] = { "i386", SCMP_ARCH_X86 },
	[aarch64] = { "aarch64", SCMP_ARCH_AARCH64 },
	[arm] = { "arm", SCMP_ARCH_ARM },
};

static const struct target {
	const char *name;
	enum architecture native;
	enum architecture narrow; /* the 32-bit ABI of the same machine */
} targets[] = {
	{ "x86_64", x86_64, i386 },
	{ "aarch64", aarch64, arm },
};

#define ACTION_ALLOW	    SCMP_ACT_ALLOW
#define ACTION_KILL	    SCMP_ACT_KILL_PROCESS
#define ACTION_EPERM	    SCMP_ACT_ERRNO(EPERM)
#define ACTION_ENOSYS	    SCMP_ACT_ERRNO(ENOSYS)
#define ACTION_EAFNOSUPPORT SCMP_ACT_ERRNO(EAFNOSUPPORT)

/* (argument & mask) == value; a mask of 0 always holds. */
struct condition {
	unsigned argument;
	uint64_t mask;
	uint64_t value;
};

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

static const struct rule {
	unsigned sets;
	const char *syscall;
	struct condition conditions[2];
	uint32_t action;
} rules[] = {
#define RULE(sets, syscall, conditions, action, reason) { sets, #syscall, conditions, ACTION_##action },
#define ALLOWED(sets, syscall)				{ sets, #syscall, ALWAYS, ACTION_ALLOW },
#include "sandbox/policy/syscalls.def"
};

static const struct number {
	enum architecture architecture;
	const char *syscall;
	int number;
} numbers[] = {
#define NUMBER(architecture, syscall, number) { architecture, #syscall, number },
#include "sandbox/policy/syscalls.def"
};

static const struct range {
	enum architecture architecture;
	uint32_t first;
	uint32_t last;
	unsigned sets;
	uint32_t action;
} ranges[] = {
#define RANGE(architecture, first, last, sets, action, reason) { architecture, first, last, sets, ACTION_##action },
#include "sandbox/policy/syscalls.def"
};

/* What a filter does where no rule decides. */
struct fallback {
	unsigned sets;
	uint32_t action;
};

static const struct fallback otherwise_rows[] = {
#define OTHERWISE(sets, action, reason) { sets, ACTION_##action },
#include "sandbox/policy/syscalls.def"
};

static const struct fallback unknown_rows[] = {
#define UNKNOWN(sets, action, reason) { sets, ACTION_##action },
#include "sandbox/policy/syscalls.def"
};

static const struct fallback foreign_rows[] = {
#define FOREIGN(sets, action, reason) { sets, ACTION_##action },
#include "sandbox/policy/syscalls.def"
};

static _Noreturn void fail(const char *what, const char *object)
{
	(void)fprintf(stderr, "seccomp_generate: %s: %s\n", what, object);
	exit(EXIT_FAILURE);
}

static uint32_t fallback_action(const struct fallback *rows, size_t count, const struct filter *filter)
{
	for (size_t i = 0; i < count; i++) {
		if (rows[i].sets & filter->set)
			return rows[i].action;
	}
	fail("no fallback for the filter", filter->name);
}

/* The number of a call, or -1 where the architecture lacks it. */
static int syscall_number(enum architecture architecture, const char *name)
{
	int number;

	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
		const struct number *row = &numbers[i];

		if ((row->architecture == any || row->architecture == architecture) && strcmp(row->syscall, name) == 0)
			return row->number;
	}
	number = seccomp_syscall_resolve_name_arch(abis[architecture].token, name);
	/* A name that no architecture has is a slip of the pen, and would be a hole. */
	if (number == __NR_SCMP_ERROR)
		fail("no such system call", name);
	return number < 0 ? -1 : number;
}

static uint32_t newest_number(void)
{
	int newest = 0;

	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
		newest = MAX(newest, numbers[i].number);
	return (uint32_t)newest;
}

/* -- programs, last instruction first ------------------------------------------------------------------------------ */

#define REACH 255 /* of jt and jf, which are one byte each */

struct program {
	struct sock_filter code[BPF_MAXINSNS];
	unsigned count;
};

/* An instruction of a program, counted from its end. */
typedef unsigned node;

static node append(struct program *program, unsigned code, uint32_t k, unsigned jt, unsigned jf)
{
	if (program->count == BPF_MAXINSNS)
		fail("program too long", "BPF_MAXINSNS");
	if (jt > REACH || jf > REACH)
		fail("jump too far", "REACH");
	program->code[program->count] = (struct sock_filter){ (uint16_t)code, (uint8_t)jt, (uint8_t)jf, k };
	return program->count++;
}

static node make_return(struct program *program, uint32_t action)
{
	for (node i = 0; i < program->count; i++) {
		if (program->code[i].code == (BPF_RET | BPF_K) && program->code[i].k == action)
			return i;
	}
	return append(program, BPF_RET | BPF_K, action, 0, 0);
}

/* The same place, near enough for a jump made `slack` instructions later: a copy of a return, or a long jump. */
static node bring_near(struct program *program, node target, unsigned slack)
{
	const struct sock_filter *there = &program->code[target];

	if (program->count + slack - target - 1 <= REACH)
		return target;
	if (there->code == (BPF_RET | BPF_K))
		return append(program, there->code, there->k, 0, 0);
	return append(program, BPF_JMP | BPF_JA, program->count - target - 1, 0, 0);
}

static node make_jump(struct program *program, unsigned test, uint32_t k, node yes, node no)
{
	unsigned code = BPF_JMP | BPF_K | test;

	if (yes == no)
		return yes;
	/* The same question with the same answers may stand there already: both ABIs ask about socket families. */
	for (node i = 0; i < program->count; i++) {
		const struct sock_filter *there = &program->code[i];

		if (there->code == code && there->k == k && i - 1 - there->jt == yes && i - 1 - there->jf == no)
			return i;
	}
	yes = bring_near(program, yes, 1);
	no = bring_near(program, no, 0);
	return append(program, code, k, program->count - yes - 1, program->count - no - 1);
}

/* An instruction that goes on to the next one. */
static node make_step(struct program *program, unsigned code, uint32_t k, node next)
{
	node before = next + 1;

	if (before < program->count && program->code[before].code == code && program->code[before].k == k)
		return before;
	if (before != program->count)
		append(program, BPF_JMP | BPF_JA, program->count - next - 1, 0, 0);
	return append(program, code, k, 0, 0);
}

static node make_load(struct program *program, size_t offset, node next)
{
	return make_step(program, BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset, next);
}

/* -- decisions ----------------------------------------------------------------------------------------------------- */

#define NO_WORD SIZE_MAX

/* A place to go on at, and the word of struct seccomp_data that must have been loaded before; loads are made at need,
 * so that a chain of questions about one argument loads it once. */
struct place {
	node node;
	size_t word;
};

/* The place as seen from where `loaded` is in the accumulator. */
static node enter(struct program *program, struct place place, size_t loaded)
{
	return place.word == NO_WORD || place.word == loaded ? place.node : make_load(program, place.word, place.node);
}

/* (half & mask) == value of one 32-bit half of an argument, the word at `offset`. */
static struct place make_half_test(struct program *program, size_t offset, uint32_t mask, uint32_t value,
				   struct place yes, struct place no)
{
	bool is_plain = mask == UINT32_MAX;
	bool is_overwritten = !is_plain && value != 0; /* by the AND that it takes then */
	node yes_node, no_node, test;

	if (mask == 0)
		return yes;
	yes_node = enter(program, yes, is_overwritten ? NO_WORD : offset);
	no_node = enter(program, no, is_overwritten ? NO_WORD : offset);
	if (!is_plain && value == 0)
		test = make_jump(program, BPF_JSET, mask, no_node, yes_node);
	else
		test = make_jump(program, BPF_JEQ, value, yes_node, no_node);
	if (is_overwritten)
		test = make_step(program, BPF_ALU | BPF_AND | BPF_K, mask, test);
	return (struct place){ test, offset };
}

static struct place make_condition_test(struct program *program, const struct condition *condition, struct place yes,
					struct place no)
{
	/* Both targets are little-endian: the low half comes first. */
	size_t low = offsetof(struct seccomp_data, args) + condition->argument * sizeof(uint64_t);

	yes = make_half_test(program, low + sizeof(uint32_t), (uint32_t)(condition->mask >> 32),
			     (uint32_t)(condition->value >> 32), yes, no);
	return make_half_test(program, low, (uint32_t)condition->mask, (uint32_t)condition->value, yes, no);
}

/* The chain of the rules for one number; later rules first, as the program grows backwards. */
static node make_decision(struct program *program, const struct filter *filter, enum architecture architecture,
			  uint32_t number)
{
	uint32_t otherwise = fallback_action(otherwise_rows, ARRAY_SIZE(otherwise_rows), filter);
	struct place decision = { make_return(program, otherwise), NO_WORD };

	for (size_t i = ARRAY_SIZE(ranges); i-- > 0;) {
		const struct range *range = &ranges[i];

		if (range->architecture == architecture && (range->sets & filter->set) && number >= range->first &&
		    number <= range->last)
			decision.node = make_return(program, range->action);
	}
	for (size_t i = ARRAY_SIZE(rules); i-- > 0;) {
		const struct rule *rule = &rules[i];
		struct place yes;

		if (!(rule->sets & filter->set) || syscall_number(architecture, rule->syscall) != (int)number)
			continue;
		yes = (struct place){ make_return(program, rule->action), NO_WORD };
		for (size_t j = ARRAY_SIZE(rule->conditions); j-- > 0;)
			yes = make_condition_test(program, &rule->conditions[j], yes, decision);
		decision = yes;
	}
	return enter(program, decision, NO_WORD);
}

/* -- intervals ----------------------------------------------------------------------------------------------------- */

#define INTERVALS_MAX 512

/* Numbers with one decision. */
struct interval {
	uint32_t first;
	uint32_t last;
	node decision;
};

struct intervals {
	struct interval rows[INTERVALS_MAX];
	size_t count;
};

static void add_interval(struct intervals *intervals, uint32_t first, uint32_t last, node decision)
{
	if (intervals->count > 0 && intervals->rows[intervals->count - 1].decision == decision) {
		intervals->rows[intervals->count - 1].last = last;
		return;
	}
	if (intervals->count == INTERVALS_MAX)
		fail("too many intervals", "INTERVALS_MAX");
	intervals->rows[intervals->count++] = (struct interval){ first, last, decision };
}

static void fill_intervals(struct program *program, const struct filter *filter, enum architecture architecture,
			   struct intervals *intervals)
{
	uint32_t next = newest_number() + 1;
	node unknown = make_return(program, fallback_action(unknown_rows, ARRAY_SIZE(unknown_rows), filter));

	intervals->count = 0;
	for (uint32_t number = 0; number < next; number++)
		add_interval(intervals, number, number, make_decision(program, filter, architecture, number));
	for (size_t i = 0; i < ARRAY_SIZE(ranges); i++) {
		const struct range *range = &ranges[i];

		if (range->architecture != architecture || !(range->sets & filter->set) || range->first < next)
			continue;
		add_interval(intervals, next, range->first - 1, unknown);
		add_interval(intervals, range->first, range->last, make_return(program, range->action));
		next = range->last + 1;
	}
	add_interval(intervals, next, UINT32_MAX, unknown);
}

/* -- the search ---------------------------------------------------------------------------------------------------- */

/* How to find the interval of a number known to lie in rows[first..last]. The cheapest way for each first and last is
 * made of the cheapest ways for less, so they are found from short to long. */
struct plan {
	unsigned cost;
	/* 0: ask for the lone numbers one by one, the rest is one decision. Else `number >= split` leads to
	 * rows[above..last], the others to rows[first..below]; an interval cut in two is in both. */
	uint32_t split;
	size_t below;
	size_t above;
};

static struct plan plans[INTERVALS_MAX][INTERVALS_MAX];

/* Load time in steps of the kernel's run over all numbers: an instruction costs as much to check and to translate as
 * about this many steps (measured on 6.18, x86_64). */
#define INSTRUCTION_COST 32
#define NO_PLAN		 UINT_MAX

static bool is_lone(const struct interval *interval)
{
	return interval->first == interval->last;
}

static unsigned count_numbers(const struct interval *rows, size_t first, size_t last)
{
	uint32_t newest = newest_number();
	unsigned count = 0;

	/* What lies above the newest number is not run over. */
	for (size_t i = first; i <= last && rows[i].first <= newest; i++)
		count += MIN(rows[i].last, newest) - rows[i].first + 1;
	return count;
}

/* The decision of rows[first..last] but for the lone numbers in it. */
static node leaf_decision(const struct interval *rows, size_t first, size_t last)
{
	return rows[first < last && is_lone(&rows[first]) ? first + 1 : first].decision;
}

static struct plan plan_leaf(const struct interval *rows, size_t first, size_t last)
{
	node decision = leaf_decision(rows, first, last);
	unsigned questions = 0, steps = 0;

	for (size_t i = first; i <= last; i++) {
		if (rows[i].decision == decision)
			continue;
		if (!is_lone(&rows[i]))
			return (struct plan){ .cost = NO_PLAN };
		steps += ++questions;
	}
	steps += (count_numbers(rows, first, last) - questions) * questions;
	return (struct plan){ .cost = questions * INSTRUCTION_COST + steps };
}

static void plan_search(const struct interval *rows, size_t first, size_t last)
{
	unsigned here = INSTRUCTION_COST + count_numbers(rows, first, last);
	struct plan best = plan_leaf(rows, first, last);

	for (size_t i = first; i < last; i++) {
		/* Between two intervals, or in the middle of one that is wide enough. */
		unsigned between = here + plans[first][i].cost + plans[i + 1][last].cost;
		unsigned within = here + plans[first][i].cost + plans[i][last].cost;

		if (between < best.cost)
			best = (struct plan){ between, rows[i + 1].first, i, i + 1 };
		if (i > first && !is_lone(&rows[i]) && within < best.cost)
			best = (struct plan){ within, rows[i].first + (rows[i].last - rows[i].first + 1) / 2, i, i };
	}
	plans[first][last] = best;
}

static node make_search(struct program *program, const struct interval *rows, size_t first, size_t last)
{
	const struct plan *plan = &plans[first][last];
	node rest, above;

	if (plan->split != 0) {
		above = make_search(program, rows, plan->above, last);
		return make_jump(program, BPF_JGE, plan->split, above, make_search(program, rows, first, plan->below));
	}
	rest = leaf_decision(rows, first, last);
	for (size_t i = last + 1; i-- > first;) {
		if (rows[i].decision != leaf_decision(rows, first, last))
			rest = make_jump(program, BPF_JEQ, rows[i].first, rows[i].decision, rest);
	}
	return rest;
}

static node make_abi(struct program *program, const struct filter *filter, enum architecture architecture)
{
	static struct intervals intervals;

	fill_intervals(program, filter, architecture, &intervals);
	for (size_t length = 0; length < intervals.count; length++) {
		for (size_t first = 0; first + length < intervals.count; first++)
			plan_search(intervals.rows, first, first + length);
	}
	return make_load(program, offsetof(struct seccomp_data, nr),
			 make_search(program, intervals.rows, 0, intervals.count - 1));
}

static void make_program(struct program *program, const struct filter *filter, const struct target *target)
{
	node rest;

	program->count = 0;
	rest = make_return(program, fallback_action(foreign_rows, ARRAY_SIZE(foreign_rows), filter));
	if (!filter->native_only)
		rest = make_jump(program, BPF_JEQ, abis[target->narrow].token,
				 make_abi(program, filter, target->narrow), rest);
	rest = make_jump(program, BPF_JEQ, abis[target->native].token, make_abi(program, filter, target->native), rest);
	make_load(program, offsetof(struct seccomp_data, arch), rest);
}

/* -- output -------------------------------------------------------------------------------------------------------- */

static void print_program(const struct program *program, const struct filter *filter, const struct target *target)
{
	printf("\nstatic const struct sock_filter seccomp_%s_%s[%u] = {\n", target->name, filter->name, program->count);
	for (unsigned i = program->count; i-- > 0;) {
		const struct sock_filter *line = &program->code[i];

		printf("\t{ 0x%02x, %u, %u, 0x%08x },\n", line->code, line->jt, line->jf, line->k);
	}
	printf("};\n");
}

static void print_target(const struct target *target)
{
	static struct program program;

	printf("/* Made by seccomp_generate from sandbox/policy/syscalls.def. */\n#include <linux/filter.h>\n");
	for (size_t i = 0; i < ARRAY_SIZE(filters); i++) {
		make_program(&program, &filters[i], target);
		print_program(&program, &filters[i], target);
	}
}

static void print_numbers(void)
{
	printf("/* Made by seccomp_generate: N(architecture, syscall, number) for each name in "
	       "sandbox/policy/syscalls.def. */\n");
	for (enum architecture architecture = x86_64; architecture <= arm; architecture++) {
		for (size_t i = 0; i < ARRAY_SIZE(rules); i++) {
			int number = syscall_number(architecture, rules[i].syscall);

			if (number >= 0)
				printf("N(%s, %s, %d)\n", abis[architecture].name, rules[i].syscall, number);
		}
	}
}

int main(int argc, char **argv)
{
	if (argc != 2)
		fail("usage", "seccomp_generate x86_64|aarch64|numbers");
	if (strcmp(argv[1], "numbers") == 0) {
		print_numbers();
		return EXIT_SUCCESS;
	}
	for (size_t i = 0; i < ARRAY_SIZE(targets); i++) {
		if (strcmp(argv[1], targets[i].name) == 0) {
			print_target(&targets[i]);
			return EXIT_SUCCESS;
		}
	}
	fail("no such target", argv[1]);
}
