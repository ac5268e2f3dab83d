/* SPDX-License-Identifier: Apache-2.0 */
#include "base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/macro.h"
#include "base/text.h"

/* Where errno misleads: what it means in truth at this step. `step` is a prefix of the error's step. */
struct explanation {
	const char *step;
	int number;
	const char *cause;
	const char *remedy;
};

static const struct explanation explanations[] = {
#define E(step, number, cause, remedy) { step, number, cause, remedy },
#include "base/error.def"
#undef E
};

static void copy_part(char *part, size_t size, const char *text)
{
	text_copy(part, size, text ? text : "");
}

void error_explain(struct error *error)
{
	for (size_t i = 0; i < ARRAY_SIZE(explanations); i++) {
		const struct explanation *row = &explanations[i];

		if (row->number != error->number || strncmp(row->step, error->step, strlen(row->step)) != 0)
			continue;
		if (error->cause[0] == '\0')
			copy_part(error->cause, sizeof(error->cause), row->cause);
		if (error->remedy[0] == '\0')
			copy_part(error->remedy, sizeof(error->remedy), row->remedy);
		return;
	}
}

int error_set_parts(struct error *error, struct error_parts parts)
{
	int saved_errno = errno;
	int number = parts.number > 0 ? parts.number : EINVAL;

	if (error) {
		memset(error, 0, sizeof(*error));
		error->number = number;
		copy_part(error->step, sizeof(error->step), parts.step);
		copy_part(error->object, sizeof(error->object), parts.object);
		copy_part(error->cause, sizeof(error->cause), parts.cause);
		copy_part(error->remedy, sizeof(error->remedy), parts.remedy);
		error_explain(error);
	}
	errno = saved_errno;
	return -number;
}

int error_context(struct error *error, const char *format, ...)
{
	char added[sizeof(error->context)];
	char inner[sizeof(error->context)];
	va_list arguments;

	if (!error)
		return -EINVAL;
	va_start(arguments, format);
	(void)vsnprintf(added, sizeof(added), format, arguments);
	va_end(arguments);
	memcpy(inner, error->context, sizeof(inner));
	/* Cut where it is too long: the context is a help, the error's own parts are kept whole. */
	text_copy(error->context, sizeof(error->context), added);
	if (inner[0] != '\0') {
		text_append(error->context, sizeof(error->context), ": ");
		text_append(error->context, sizeof(error->context), inner);
	}
	return error->number > 0 ? -error->number : -EINVAL;
}

size_t error_format(const struct error *error, char *text, size_t size)
{
	char context[2 * sizeof(error->context)];
	char object[2 * sizeof(error->object)];
	char cause[2 * sizeof(error->cause)];
	char remedy[2 * sizeof(error->remedy)]; /* the last lines of a log may be in it */
	int length;

	text_escape(context, sizeof(context), error->context);
	text_escape(object, sizeof(object), error->object);
	text_escape(cause, sizeof(cause), error->cause[0] ? error->cause : strerror(error->number));
	text_escape_lines(remedy, sizeof(remedy), error->remedy);
	length = snprintf(text, size, "%s%scannot %s%s%s%s: %s%s%s", context, context[0] ? ": " : "", error->step,
			  object[0] ? " '" : "", object, object[0] ? "'" : "", cause, remedy[0] ? "\n  " : "", remedy);
	return length < 0 ? 0 : (size_t)length;
}
