/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>

#include "base/fd.h"
#include "base/macro.h"
#include "sandbox/verbs/options.h"
#include "sandbox/worker/launch.h"

struct verb {
	const char *name;
	const char *help;
	/* @words  what follows the verb   @return the exit status, or -errno with error filled */
	int (*run)(char *const *words, int *ret_exit_code, struct error *error);
};

static int verb_run(char *const *words, int *ret_exit_code, struct error *error)
{
	struct launch_result launched = { .exit_code = EXIT_SBX_FAILED };
	struct spec spec;
	int result;

	spec_init(&spec);
	result = options_parse(words, &spec, error);
	if (result == 1) {
		(void)printf("sbx run [OPTION]… [--] COMMAND [ARGUMENT]…\n\n"
			     "Runs COMMAND in a world of its own: namespaces, a copy-on-write view of the app's directory and\n"
			     "of HOME, and consistent private copies of its SQLite databases. Nothing is left afterwards.\n\n");
		options_print_help(stdout);
		launched.exit_code = 0;
		result = 0;
	} else if (result == 0 && spec.payload.count == 0) {
		result = error_set(error, .number = EINVAL, .step = "run a worker", .cause = "the command is missing",
				   .remedy = "say what to run, as in: sbx run -- dotnet App.dll");
	} else if (result == 0) {
		result = launch_run(&spec, &launched, error);
	}
	spec_release(&spec);
	*ret_exit_code = launched.exit_code;
	return result;
}

static int verb_version(char *const *words, int *ret_exit_code, struct error *error)
{
	(void)words;
	(void)error;
	(void)printf("sbx %s\n", SBX_VERSION);
	*ret_exit_code = 0;
	return 0;
}

static int verb_help(char *const *words, int *ret_exit_code, struct error *error);

static const struct verb verbs[] = {
	{ "run", "run a command in one worker, in the foreground", verb_run },
	{ "version", "print the version", verb_version },
	{ "help", "print this text", verb_help },
};

static int verb_help(char *const *words, int *ret_exit_code, struct error *error)
{
	(void)words;
	(void)error;
	(void)printf("sbx: a rootless, daemonless sandbox runner\n\n");
	for (size_t i = 0; i < ARRAY_SIZE(verbs); i++)
		(void)printf("  sbx %-10s %s\n", verbs[i].name, verbs[i].help);
	(void)printf("\n'sbx run --help' lists the options.\n");
	*ret_exit_code = 0;
	return 0;
}

static const struct verb *find_verb(const char *name, struct error *error)
{
	owned_text remedy = NULL;
	const char *nearest = NULL;
	unsigned best = 3;

	if (text_equal(name, "--help") || text_equal(name, "-h"))
		name = "help";
	if (text_equal(name, "--version"))
		name = "version";
	for (size_t i = 0; i < ARRAY_SIZE(verbs); i++) {
		unsigned distance = text_distance(name, verbs[i].name);

		if (distance == 0)
			return &verbs[i];
		if (distance < best) {
			best = distance;
			nearest = verbs[i].name;
		}
	}
	remedy = nearest ? text_format("did you mean 'sbx %s'?", nearest) : text_duplicate("see: sbx help");
	(void)error_set(error, .number = EINVAL, .step = "understand the command", .object = name, .cause = "unknown",
			.remedy = remedy);
	return NULL;
}

int main(int argc, char **argv)
{
	const struct verb *verb = NULL;
	struct error error = { 0 };
	int exit_code = EXIT_SBX_FAILED;
	int result = fd_ensure_standard();

	if (result < 0)
		return EXIT_SBX_FAILED;
	if (argc < 2)
		(void)error_set(&error, .number = EINVAL, .step = "understand the command", .cause = "it is missing",
				.remedy = "see: sbx help");
	else
		verb = find_verb(argv[1], &error);
	if (verb)
		result = verb->run(argv + 2, &exit_code, &error);
	if (!verb || result < 0) {
		char text[4096];

		(void)error_format(&error, text, sizeof(text));
		(void)fprintf(stderr, "sbx: %s\n", text);
	}
	/* Help or version into a full disk is a failure too. */
	if (fflush(stdout) != 0 && exit_code == 0)
		exit_code = EXIT_SBX_FAILED;
	return exit_code;
}
