/* SPDX-License-Identifier: Apache-2.0 */
/* A project's settings: sbx.yaml, in compose's words.
 *
 * The file is read into this and no further: services, seed, test, artifacts and workers are understood here; each
 * other key is one of the option table's, which stands higher up, so the caller names those keys and applies their
 * values (struct project_setting) by the options' own setters. What the schema scripts/schema/sbx-yaml.json says is
 * tested against this. Relative paths are below the file's directory. */
#ifndef SBX_POOL_PROJECT_H
#define SBX_POOL_PROJECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/text.h"
#include "sandbox/pool/readiness.h"

#define PROJECT_FILE_NAME "sbx.yaml"

/* A text runs in a shell, a list as it is. `{worker}` and `{workers}` stand in it: project_substitute(). */
struct project_command {
	struct text_list arguments; /* empty: none. A text is "/bin/sh", "-c", TEXT */
	bool is_text;
};

enum project_condition {
	PROJECT_READY,	   /* service_ready, service_healthy: its `ready` holds */
	PROJECT_STARTED,   /* service_started: its command runs */
	PROJECT_COMPLETED, /* service_completed_successfully: its command ended with 0 */
};

struct project_dependency {
	char *service;
	enum project_condition condition;
	unsigned line;
	unsigned column;
};

struct project_dependencies {
	struct project_dependency *items;
	size_t count;
};

enum project_restart {
	PROJECT_RESTART_NO,
	PROJECT_RESTART_ALWAYS, /* unless-stopped too: what is stopped by hand stays so in both */
	PROJECT_RESTART_ON_FAILURE,
};

struct project_service {
	char *name;
	unsigned line;
	unsigned column;
	struct project_command command;
	struct text_list environment; /* NAME=VALUE, or NAME: the caller's value */
	struct text_list env_files;
	char *working_dir;	/* NULL: the tree */
	struct text_list ports; /* [[IP:]HOST:]PORT, each a number */
	struct readiness_options ready;
	struct project_dependencies depends_on;
	enum project_restart restart;
	unsigned restart_max; /* on-failure:N; 0: without end */
	bool shared;	      /* one instance, in R, reachable at the same port in every world */
	int stop_signal;      /* 0: as the worker's */
	uint64_t stop_grace_ms;
	bool has_stop_grace;
};

struct project_services {
	struct project_service *items;
	size_t count;
};

/* A value of an option, as text. */
struct project_setting {
	char *key;
	char *value; /* NULL: a flag that is set */
	unsigned line;
	unsigned column;
};

struct project_settings {
	struct project_setting *items;
	size_t count;
};

void project_settings_release(struct project_settings *settings);
void project_settings_add(struct project_settings *settings, const char *key, const char *value, unsigned line,
			  unsigned column);
bool project_settings_has(const struct project_settings *settings, const char *key);

struct project {
	char *file;			  /* as errors call it; NULL: there is none */
	char *directory;		  /* absolute */
	bool is_above;			  /* it was found above the current directory */
	struct project_services services; /* each after those it depends on */
	struct project_seed {
		struct project_command command;
		struct text_list inputs; /* globs: the seed is made anew when one of these files changed */
	} seed;
	struct project_test {
		struct project_command command;
		char *workers; /* NULL: `workers` */
	} test;
	struct text_list artifacts;
	char *workers;			  /* N, N% or "auto"; NULL: not said */
	struct project_settings settings; /* in the file's order */
};

void project_release(struct project *project);
#define owned_project __attribute__((cleanup(project_release))) struct project

/* A key that is an option's. */
struct project_key {
	const char *name;
	bool repeats;	  /* takes a list, or a map of NAME: VALUE */
	bool takes_value; /* else true or false */
};

/** Understands a file.
 *  @name  what errors call it   @directory  absolute, where relative paths begin
 *  Errors: EINVAL, E2BIG; the object is "NAME:LINE:COLUMN". */
int project_read_text(const char *name, const char *directory, const char *text, size_t size,
		      const struct project_key *keys, size_t key_count, struct project *ret_project,
		      struct error *error);
/** Finds and reads the project's file: `file`, or sbx.yaml in `directory` where that exists.
 *  @file  NULL: look for it   @return 1 found, 0 there is none, or -errno (of open(2), or as project_read_text()) */
int project_read(const char *directory, const char *file, const struct project_key *keys, size_t key_count,
		 struct project *ret_project, struct error *error);

/** The service of that name, or NULL. */
const struct project_service *project_find_service(const struct project *project, const char *name);
/** `text` with {worker} and {workers} replaced. @return the caller's */
char *project_substitute(const char *text, unsigned worker, unsigned workers);

#endif
