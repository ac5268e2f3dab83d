/* SPDX-License-Identifier: Apache-2.0 */
/* Runs a seccomp program on a made-up system call, as seccomp(2) describes it, without a kernel. Knows the instructions
 * that seccomp_generate makes and refuses all others; aborts on a program that the kernel would refuse. */
#ifndef SBX_TESTS_UNIT_BPF_SIMULATOR_H
#define SBX_TESTS_UNIT_BPF_SIMULATOR_H

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Noreturn static inline void bpf_refuse(const struct sock_fprog *program, unsigned next)
{
	fprintf(stderr, "bpf_simulate: instruction %u of %u would be refused by the kernel\n", next, program->len);
	abort();
}

/** @return the filter's action with its data, SECCOMP_RET_*
 *  @steps    is increased by the instructions run; may be NULL
 *  @reached  one mark for each instruction, set where it was run; may be NULL */
static inline uint32_t bpf_simulate(const struct sock_fprog *program, const struct seccomp_data *data, unsigned *steps,
				    bool *reached)
{
	uint32_t accumulator = 0;
	unsigned next = 0;

	while (next < program->len) {
		const struct sock_filter *line = &program->filter[next];

		if (reached)
			reached[next] = true;
		if (steps)
			(*steps)++;
		next++;
		switch (line->code) {
		case BPF_LD | BPF_W | BPF_ABS:
			if (line->k % sizeof(accumulator) != 0 || line->k + sizeof(accumulator) > sizeof(*data))
				bpf_refuse(program, next);
			memcpy(&accumulator, (const char *)data + line->k, sizeof(accumulator));
			break;
		case BPF_ALU | BPF_AND | BPF_K:
			accumulator &= line->k;
			break;
		case BPF_JMP | BPF_JA:
			if (line->k >= program->len - next)
				bpf_refuse(program, next);
			next += line->k;
			break;
		case BPF_JMP | BPF_JEQ | BPF_K:
			next += accumulator == line->k ? line->jt : line->jf;
			break;
		case BPF_JMP | BPF_JGE | BPF_K:
			next += accumulator >= line->k ? line->jt : line->jf;
			break;
		case BPF_JMP | BPF_JSET | BPF_K:
			next += accumulator & line->k ? line->jt : line->jf;
			break;
		case BPF_RET | BPF_K:
			return line->k;
		default:
			bpf_refuse(program, next);
		}
	}
	bpf_refuse(program, next);
}

#endif
