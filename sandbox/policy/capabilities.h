/* SPDX-License-Identifier: Apache-2.0 */
/* No capability for a payload, now or later: capabilities(7). */
#ifndef SBX_POLICY_CAPABILITIES_H
#define SBX_POLICY_CAPABILITIES_H

#include "base/error.h"

/** Empties the bounding, ambient, permitted, effective and inheritable sets of this process for good, and locks the
 *  secure bits so that uid 0 means nothing to exec either.
 *
 *  In a spawned child, after everything that needs a capability and before the filter; needs CAP_SETPCAP. Takes no
 * memory and changes no data: it may run in a child that shares its parent's memory. Applying it twice is an error
 * (EPERM), for the second time nothing can be proved. @return 0 or -errno */
int capabilities_drop_all(struct error *error);

#endif
