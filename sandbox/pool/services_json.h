/* SPDX-License-Identifier: Apache-2.0 */
/* Services as JSON: what a kept worker and a bundle know of those that their world ran, to start them again.
 *
 * What is read may come from another machine: it is run inside a world, and nowhere else. */
#ifndef SBX_POOL_SERVICES_JSON_H
#define SBX_POOL_SERVICES_JSON_H

#include "base/json.h"
#include "base/text.h"
#include "sandbox/pool/service.h"

/** Adds the member "services" to the object that is open in `out`. */
void services_write(const struct service_list *list, struct text_buffer *out);

/** Reads it back; a missing one is an empty list. What becomes of one that ends is not in it: it stays ended.
 *  @list  empty; the caller's, also on failure   @return 0 or -EBADMSG */
int services_read(struct json_value array, struct service_list *list);

#endif
