/* SPDX-License-Identifier: Apache-2.0 */
/* The git repository that a tree lies in: in one with several parts the app is often beside its tests. Below HOME all
 * of it is copy-on-write anyway. */
#ifndef SBX_WORKER_REPOSITORY_H
#define SBX_WORKER_REPOSITORY_H

#include "base/error.h"
#include "sandbox/worker/spec.h"

/** The nearest directory with a .git, from `tree` upwards: below HOME where the tree lies there, else one of the
 *  caller's own, its .git as well, that does not hold HOME.
 *  @home  NULL: none   @return the caller's, NULL: there is none */
char *repository_find(const char *tree, const char *home);

/** Makes the repository around a tree outside of HOME copy-on-write, as -v DIR:DIR:O would: by a volume of the spec, so
 *  that a kept worker, or a world that is made anew, has the same. Not where a mount lies below it.
 *  @return 0 or -errno with error filled */
int repository_surround(struct spec *spec, struct error *error);

#endif
