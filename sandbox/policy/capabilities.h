/* SPDX-License-Identifier: Apache-2.0 */
/* No capability for the payload, in any set, for ever. capabilities(7). */
#ifndef SBX_POLICY_CAPABILITIES_H
#define SBX_POLICY_CAPABILITIES_H

#include "base/error.h"

/** Empties the bounding, ambient, inheritable, permitted and effective set of this process and locks the securebits, so
 *  that uid 0 gains nothing by exec. In a child that is about to exec. @return 0 or -errno */
int capabilities_drop_all(struct error *error);

#endif
