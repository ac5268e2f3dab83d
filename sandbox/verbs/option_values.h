/* SPDX-License-Identifier: Apache-2.0 */
/* Setters of the option table: each checks one kind of value and puts it where the row says.
 *
 * All have the type option_setter. `value` is NULL for an option that takes none, or that may go without. Errors:
 * -EINVAL, or -errno of what was looked at, with the option as the error's step and the value as its object. */
#ifndef SBX_VERBS_OPTION_VALUES_H
#define SBX_VERBS_OPTION_VALUES_H

#include "sandbox/verbs/options.h"

/* Of any option; `field` names the member. */
option_setter option_set_flag;	   /* bool */
option_setter option_set_text;	   /* char *, not empty */
option_setter option_set_choice;   /* an enum; without a value the first choice */
option_setter option_set_number;   /* uint64_t in min..max */
option_setter option_set_size;	   /* uint64_t, bytes in min..max */
option_setter option_set_duration; /* uint64_t, milliseconds in min..max */
option_setter option_set_signal;   /* int */
option_setter option_set_pair;	   /* KEY=VALUE, added to a struct text_list */

option_setter option_set_nothing; /* NULL or one of the choices; leaves a note that it has no effect */

/* Of one option. */
option_setter option_set_name;
option_setter option_set_hostname;
option_setter option_set_label;
option_setter option_set_add_host;
option_setter option_set_publish;
option_setter option_set_reach;
option_setter option_set_dns;
option_setter option_set_database;
option_setter option_set_volume;
option_setter option_set_bind;
option_setter option_set_read_only_bind;
option_setter option_set_copy;
option_setter option_set_tmpfs;
option_setter option_set_scratch_size;
option_setter option_set_scratch_inodes;
option_setter option_set_env;
option_setter option_set_env_file;
option_setter option_set_unset_env;
option_setter option_set_ulimit;
option_setter option_set_pids_limit;
option_setter option_set_cpus;
option_setter option_set_pass_fd;
option_setter option_set_status_fd;
option_setter option_set_slot;
option_setter option_set_worker_count;
option_setter option_set_artifact;
option_setter option_set_input;
option_setter option_set_seed;
option_setter option_set_tail;
option_setter option_set_since;
option_setter option_set_doctor_tree;

/** Fills `error` for a value that the option cannot take. @return -EINVAL */
int option_refuse_value(const struct option *option, const char *value, const char *cause, const char *remedy,
			struct error *error);

#endif
