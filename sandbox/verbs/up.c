/* SPDX-License-Identifier: Apache-2.0 */
/* sbx up: a pool of workers. What happens then stands in sandbox/pool/up.c, from top to bottom. */
#include "sandbox/pool/up.h"
#include "sandbox/worker/identity.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/path.h"
#include "sandbox/pool/document.h"
#include "sandbox/pool/pool.h"
#include "sandbox/verbs/say.h"
#include "sandbox/verbs/settings.h"
#include "sandbox/verbs/start.h"
#include "sandbox/verbs/verbs.h"
#include "sandbox/verbs/workers.h"

/* Pool worlds have a stub link by default, so that browsers believe they are online. */
static void choose_network(struct invocation *invocation, const struct project *project)
{
	const struct project_settings *lists[] = { &invocation->given, &project->settings };

	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
		for (size_t j = 0; j < lists[i]->count; j++)
			if (text_equal(lists[i]->items[j].key, "net"))
				return;
	invocation->spec.network = NETWORK_ONLINE;
}

static int choose_count(const struct invocation *invocation, const struct project *project, struct count *ret_count,
			struct error *error)
{
	const char *text = invocation->worker_count ? invocation->worker_count : project->workers;
	int result = 0;

	*ret_count = (struct count){ .number = 1 };
	if (text)
		result = count_parse(text, ret_count);
	return result < 0 ? error_set(error, .number = -result, .step = "use the number of workers", .object = text,
				      .cause = "it is not a number from 1 to 256, a share of the processors, or auto")
			  : 0;
}

/* What a world that is made anew later is made of: the line and the settings as they are now. */
static int describe(const struct invocation *invocation, const struct project *project,
		    struct pool_description *description, struct error *error)
{
	int result;

	for (char *const *argument = invocation->arguments; *argument; argument++)
		text_list_add(&description->arguments, *argument);
	result = path_find_current(&description->directory, error);
	if (result < 0)
		return result;
	if (!project->file)
		return 0;
	description->settings_file = text_duplicate(project->file);
	description->settings_directory = text_duplicate(project->directory);
	if (!invocation->refill) {
		owned_text path = path_normal(project->directory,
					      invocation->file ? path_name(invocation->file) : PROJECT_FILE_NAME);

		result = fd_read_file(AT_FDCWD, path, DOCUMENT_SIZE_MAX, &description->settings_text, NULL);
		if (result < 0)
			return error_set(error, .number = -result, .step = "read the settings", .object = path);
	}
	return 0;
}

/* A second pool of a tree is meant where it is named: without a name, w1 and `sbx down` would mean the newer one, and
 * the first would run on unseen. */
static int check_single(const struct invocation *invocation, struct error *error)
{
	const char *tree = invocation->spec.tree ? invocation->spec.tree : ".";
	owned_places places = { 0 };
	owned_pool_list list = { 0 };
	struct error ignored = { 0 };
	owned_text here = NULL;

	if (invocation->spec.name || path_canonical(tree, &here) < 0 || identity_find_places(&places, &ignored) < 0 ||
	    pool_list(&places, &list, &ignored) < 0)
		return 0;
	for (size_t i = 0; i < list.count; i++) {
		const struct pool_description *other = &list.items[i].description;
		owned_text cause = NULL;
		owned_text remedy = NULL;

		if (!list.items[i].is_alive || !text_equal(other->tree, here))
			continue;
		cause = text_format("this tree has one that lives, %s, of %u worker%s", other->name, other->workers,
				    other->workers == 1 ? "" : "s");
		remedy = text_format(
			"'sbx down --name %s' ends it, 'sbx restart' renews its workers' services; 'sbx up --name "
			"OTHER' starts a second one beside it",
			other->name);
		return error_set(error, .number = EEXIST, .step = "start a pool", .cause = cause, .remedy = remedy);
	}
	return 0;
}

/* As -p says them: of one that is not shared, in each worker. @shared  is added to: those of the others */
static void publish_ports(struct invocation *invocation, const struct project *project, struct text_list *shared)
{
	for (size_t i = 0; i < project->services.count && invocation->spec.payload.count == 0; i++) {
		const struct project_service *service = &project->services.items[i];

		for (size_t j = 0; j < service->ports.count; j++)
			text_list_add(service->shared ? shared : &invocation->spec.ways.publish,
				      service->ports.items[j]);
	}
}

static int start(struct invocation *invocation, const struct project *project, struct pool *refilled,
		 struct error *error)
{
	struct pool_description description = { 0 };
	struct up_options options = { .spec = &invocation->spec,
				      .project = project,
				      .name = invocation->spec.name,
				      .spares = (unsigned)invocation->spares,
				      .is_detached = invocation->detach,
				      .wait_timeout_ms = invocation->wait_timeout_ms,
				      .description = &description,
				      .say = say_line };
	owned_list shared = { 0 };
	owned_hold hold = SEED_HOLD_NONE;
	int exit_code = EXIT_SBX_FAILED;
	int result = refilled ? 0 : check_single(invocation, error);

	if (result == 0)
		result = choose_count(invocation, project, &options.count, error);

	choose_network(invocation, project);
	publish_ports(invocation, project, &shared);
	options.shared_publish = &shared;
	if (result == 0)
		result = refilled ? start_take_again(invocation, refilled->description.seed, &hold, error)
				  : start_choose(invocation, project, &hold, error);
	if (result == 0 && !refilled)
		result = describe(invocation, project, &description, error);
	description.seed = text_duplicate(hold.seed.path);
	if (result == 0)
		result = refilled ? up_refill(&options, refilled, error) : up_run(&options, &exit_code, error);
	pool_description_release(&description);
	if (result < 0)
		return result;
	return refilled ? 0 : exit_code;
}

/* ---- made anew ---- */

/* As the line was that made the pool, in its place. */
static int read_again(const struct pool_description *description, struct invocation *invocation,
		      struct project *project, struct error *error)
{
	int result = chdir(description->directory) < 0
			     ? error_set(error, .number = errno, .step = "go to the pool's directory",
					 .object = description->directory)
			     : invocation_parse(invocation, description->arguments.items, error);

	if (result == 0 && description->settings_text)
		result = settings_read_text(description->settings_file, description->settings_directory,
					    description->settings_text, project, error);
	project->is_above = !invocation->file && !invocation->spec.tree && description->settings_directory &&
			    !text_equal(description->settings_directory, description->directory);
	if (result == 0 && description->settings_text)
		result = invocation_add_project(invocation, project, error);
	return result;
}

static int refill(const char *id, struct error *error)
{
	owned_places places = { 0 };
	owned_pool pool = POOL_NONE;
	owned_invocation original;
	owned_project project = { 0 };
	int result = identity_find_places(&places, error);

	invocation_init(&original);
	if (result == 0)
		result = pool_open(&places, id, &pool, error);
	if (result == 0)
		result = read_again(&pool.description, &original, &project, error);
	if (result == 0) {
		original.detach = true;
		result = start(&original, &project, &pool, error);
	}
	return result;
}

int verb_up(struct invocation *invocation, struct error *error)
{
	owned_project project = { 0 };
	int result;

	if (invocation->refill)
		return refill(invocation->refill, error);
	result = settings_read(invocation, &project, error);
	if (result > 0)
		result = invocation_add_project(invocation, &project, error);
	return result < 0 ? result : start(invocation, &project, NULL, error);
}
