/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/pool/service.h"

#include <signal.h>
#include <stdlib.h>

struct service *service_list_add(struct service_list *list)
{
	list->items = reallocarray(list->items, list->count + 1, sizeof(*list->items));
	if (!list->items)
		abort();
	list->items[list->count] = (struct service){ .stop_signal = SIGTERM };
	return &list->items[list->count++];
}

void service_list_release(struct service_list *list)
{
	for (size_t i = 0; i < list->count; i++) {
		struct service *service = &list->items[i];

		text_free(&service->name);
		text_list_release(&service->command);
		text_list_release(&service->set);
		text_list_release(&service->unset);
		text_free(&service->directory);
		readiness_options_release(&service->ready);
		text_list_release(&service->after);
		text_list_release(&service->after_start);
		text_list_release(&service->after_end);
	}
	free(list->items);
	*list = (struct service_list){ 0 };
}
