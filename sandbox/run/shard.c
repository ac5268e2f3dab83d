/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/run/shard.h"

#include <errno.h>
#include <string.h>

#include "base/macro.h"
#include "base/number.h"

/* Who tells it, and how: the services' own documents. The first that is there counts. */
static const struct teller {
	const char *name;
	const char *index;
	const char *count;
	const char *first; /* the variable that holds the least index; NULL: `base` */
	const char *step;  /* the variable that holds the distance of two; NULL: 1 */
	unsigned base;
} tellers[] = {
	{ .name = "CircleCI", .index = "CIRCLE_NODE_INDEX", .count = "CIRCLE_NODE_TOTAL" },
	{ .name = "Buildkite", .index = "BUILDKITE_PARALLEL_JOB", .count = "BUILDKITE_PARALLEL_JOB_COUNT" },
	{ .name = "Azure Pipelines",
	  .index = "SYSTEM_JOBPOSITIONINPHASE",
	  .count = "SYSTEM_TOTALJOBSINPHASE",
	  .base = 1 },
	{ .name = "GitLab", .index = "CI_NODE_INDEX", .count = "CI_NODE_TOTAL", .base = 1 },
	{ .name = "a Slurm array",
	  .index = "SLURM_ARRAY_TASK_ID",
	  .count = "SLURM_ARRAY_TASK_COUNT",
	  .first = "SLURM_ARRAY_TASK_MIN",
	  .step = "SLURM_ARRAY_TASK_STEP" },
	/* Kubernetes does not tell a pod how many there are: the manifest has to. */
	{ .name = "an indexed job", .index = "JOB_COMPLETION_INDEX", .count = "JOB_COMPLETIONS" },
};

#define OWN "SBX_SHARD"

static const char *find(char *const *environment, const char *name)
{
	size_t length = strlen(name);

	for (; *environment; environment++)
		if (strncmp(*environment, name, length) == 0 && (*environment)[length] == '=')
			return *environment + length + 1;
	return NULL;
}

int shard_parse(const char *text, struct shard *ret_shard, struct error *error)
{
	const char *slash = strchr(text, '/');
	owned_text index_text = slash ? text_format("%.*s", (int)(slash - text), text) : NULL;
	uint64_t index = 0;
	uint64_t count = 0;

	if (!slash || number_parse(slash + 1, 1, SHARDS_MAX, &count) < 0 ||
	    number_parse(index_text, 1, count, &index) < 0)
		return error_set(error, .number = EINVAL, .step = "use the shard", .object = text,
				 .cause = "it is not I/N with I from 1 to N",
				 .remedy = "as in: sbx test --shard 2/4, or --shard auto");
	*ret_shard = (struct shard){ .index = (unsigned)index, .count = (unsigned)count };
	return 0;
}

static int fail(const struct teller *teller, const char *variable, const char *value, struct error *error)
{
	owned_text object = value ? text_format("%s=%s", variable, value) : text_duplicate(variable);
	owned_text cause = value ? text_format("%s tells it, and that is out of range", teller->name)
				 : text_format("%s is set by %s, and %s is not", teller->index, teller->name, variable);
	owned_text remedy = text_format("set %s, or say it: --shard I/N", variable);

	return error_set(error, .number = EINVAL, .step = "find the shard", .object = object, .cause = cause,
			 .remedy = remedy);
}

/* @return 0 or the variable that is at fault */
static const char *read_teller(const struct teller *teller, char *const *environment, struct shard *ret_shard)
{
	const char *first_text = teller->first ? find(environment, teller->first) : NULL;
	const char *step_text = teller->step ? find(environment, teller->step) : NULL;
	const char *count_text = find(environment, teller->count);
	uint64_t first = teller->base;
	uint64_t step = 1;
	uint64_t index = 0;
	uint64_t count = 0;

	if (!count_text || number_parse(count_text, 1, SHARDS_MAX, &count) < 0)
		return teller->count;
	if (teller->first && (!first_text || number_parse(first_text, 0, UINT32_MAX, &first) < 0))
		return teller->first;
	if (step_text && number_parse(step_text, 1, UINT32_MAX, &step) < 0)
		return teller->step;
	if (number_parse(find(environment, teller->index), first, UINT32_MAX, &index) < 0 ||
	    (index - first) / step >= count)
		return teller->index;
	*ret_shard = (struct shard){ .index = (unsigned)((index - first) / step) + 1, .count = (unsigned)count };
	return NULL;
}

int shard_find(char *const *environment, struct shard *ret_shard, struct error *error)
{
	const char *own = find(environment, OWN);

	if (own)
		return shard_parse(own, ret_shard, error);
	for (size_t i = 0; i < ARRAY_SIZE(tellers); i++) {
		const char *fault;

		if (!find(environment, tellers[i].index))
			continue;
		fault = read_teller(&tellers[i], environment, ret_shard);
		return fault ? fail(&tellers[i], fault, find(environment, fault), error) : 0;
	}
	return error_set(error, .number = ENOENT, .step = "find the shard",
			 .cause = "nothing here tells one: no " OWN
				  ", GitLab, CircleCI, Buildkite, Azure, Slurm array or indexed job",
			 .remedy = "in a matrix of GitHub let the action of sbx set it, or set " OWN
				   "=I/N; or say it: --shard I/N");
}

bool shard_is_taken(const struct shard *shard, const struct text_list *arguments)
{
	owned_text option = text_format("--shard=%u/%u", shard->index, shard->count);

	for (size_t i = 0; i < arguments->count; i++)
		if (text_equal(arguments->items[i], option))
			return true;
	return false;
}
