/* SPDX-License-Identifier: Apache-2.0 */
/* Which TCP ports something listens on in this network namespace: what a service that is not ready may have taken in
 * place of the one that is waited for. */
#ifndef SBX_POOL_OPEN_PORTS_H
#define SBX_POOL_OPEN_PORTS_H

#include <stddef.h>

enum { OPEN_PORTS_MAX = 8 };

/** Adds those of one table of the kernel's, proc_net_tcp.rst, each once, in ascending order.
 *  @ports, @count  those so far; what does not fit is left out */
void open_ports_read(const char *table, unsigned ports[static OPEN_PORTS_MAX], size_t *count);

/** "4445, 9229". @return the caller's, NULL: there is none, or it cannot be told */
char *open_ports_list(void);

#endif
