/* SPDX-License-Identifier: Apache-2.0 */
#include "netns/netlink.h"

#include <errno.h>
#include <netdb.h>
#include <netlink/errno.h>
#include <netlink/socket.h>
#include <stddef.h>

#include "base/macro.h"

void netlink_close(struct nl_sock **socket)
{
	int saved_errno = errno;

	nl_socket_free(*socket);
	*socket = NULL;
	errno = saved_errno;
}

int netlink_open(struct nl_sock **ret_socket)
{
	owned_netlink opened = nl_socket_alloc();
	int result;

	if (!opened)
		return -ENOMEM;
	result = nl_connect(opened, NETLINK_ROUTE);
	if (result < 0)
		return netlink_result(result);
	*ret_socket = opened;
	opened = NULL;
	return 0;
}

/* libnl folds the kernel's errno into numbers of its own, several into one (nl_syserr2nlerr() in its error.c). */
int netlink_result(int libnl_result)
{
	static const struct {
		int libnl;
		int number;
	} numbers[] = {
		{ NLE_INTR, EINTR },	      { NLE_BAD_SOCK, EBADF },	     { NLE_AGAIN, EAGAIN },
		{ NLE_NOMEM, ENOMEM },	      { NLE_EXIST, EEXIST },	     { NLE_INVAL, EINVAL },
		{ NLE_RANGE, ERANGE },	      { NLE_OPNOTSUPP, EOPNOTSUPP }, { NLE_AF_NOSUPPORT, EAFNOSUPPORT },
		{ NLE_OBJ_NOTFOUND, ENOENT }, { NLE_PERM, EPERM },	     { NLE_NOACCESS, EACCES },
		{ NLE_BUSY, EBUSY },	      { NLE_NODEV, ENODEV },	     { NLE_PROTO_MISMATCH, EPROTONOSUPPORT },
	};
	int code = libnl_result < 0 ? -libnl_result : libnl_result;

	if (libnl_result >= 0)
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
		if (numbers[i].libnl == code)
			return -numbers[i].number;
	return -EIO;
}

/* libnl's helpers for printing refer to name look-ups. sbx makes none, and a static binary could not: they would load
 * the shared NSS libraries of the very same glibc at run time. These stand in their place in the static link, so that
 * the linker has nothing to warn of; hidden, so that a dynamic build does not put them before the C library's. They
 * must be in this object, the only way from sbx to libnl: the linker takes a member of an archive only for a name it
 * misses at that time. */
#define STANDS_IN __attribute__((visibility("hidden")))

STANDS_IN int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **ret)
{
	(void)node;
	(void)service;
	(void)hints;
	(void)ret;
	return EAI_FAIL;
}

STANDS_IN void freeaddrinfo(struct addrinfo *list)
{
	(void)list;
}

STANDS_IN struct protoent *getprotobyname(const char *name)
{
	(void)name;
	return NULL;
}

STANDS_IN struct protoent *getprotobynumber(int number)
{
	(void)number;
	return NULL;
}
