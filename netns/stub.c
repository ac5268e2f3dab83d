/* SPDX-License-Identifier: Apache-2.0 */
#include "netns/stub.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/fib_rules.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netlink/addr.h>
#include <netlink/route/addr.h>
#include <netlink/route/link.h>
#include <netlink/route/link/inet6.h>
#include <netlink/route/link/veth.h>
#include <netlink/route/nexthop.h>
#include <netlink/route/route.h>
#include <netlink/route/rule.h>
#include <string.h>

#include "base/macro.h"
#include "netns/netlink.h"

#define PEER_NAME "stub1"

/* Each function of the list below returns 0 or libnl's negative number. */

/* Takes over `link`. */
static int add_named(struct nl_sock *socket, struct rtnl_link *link)
{
	int result;

	rtnl_link_set_name(link, STUB_NAME);
	result = rtnl_link_add(socket, link, NLM_F_CREATE | NLM_F_EXCL);
	rtnl_link_put(link);
	return result;
}

static int add_veth(struct nl_sock *socket)
{
	struct rtnl_link *link = rtnl_link_veth_alloc();

	if (!link)
		return -NLE_NOMEM;
	rtnl_link_set_name(rtnl_link_veth_get_peer(link), PEER_NAME);
	return add_named(socket, link);
}

/* An intermediate functional block swallows what is sent through it, and has carrier whenever it is up. */
static int add_ifb(struct nl_sock *socket)
{
	struct rtnl_link *link = rtnl_link_alloc();
	int result;

	if (!link)
		return -NLE_NOMEM;
	result = rtnl_link_set_type(link, "ifb");
	if (result < 0) {
		rtnl_link_put(link);
		return result;
	}
	return add_named(socket, link);
}

static const struct {
	enum stub_type type;
	const char *name;
	int (*add)(struct nl_sock *socket);
} types[] = {
	{ STUB_VETH, "veth", add_veth },
	{ STUB_IFB, "ifb", add_ifb },
};

const char *stub_type_name(enum stub_type type)
{
	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		if (types[i].type == type)
			return types[i].name;
	return "none";
}

static int bring_up(struct nl_sock *socket, int index)
{
	struct rtnl_link *which = rtnl_link_alloc();
	struct rtnl_link *change = rtnl_link_alloc();
	int result = -NLE_NOMEM;

	if (which && change) {
		rtnl_link_set_ifindex(which, index);
		rtnl_link_set_flags(change, IFF_UP);
		/* No IPv6 address of its own: it would be a link-local one, which makes nobody online and is announced.
		 */
		rtnl_link_inet6_set_addr_gen_mode(change, rtnl_link_inet6_str2addrgenmode("none"));
		result = rtnl_link_change(socket, which, change, 0);
	}
	rtnl_link_put(which);
	rtnl_link_put(change);
	return result;
}

/* A veth end has carrier once both are up; it refuses to be made up before its peer exists (ENOTCONN). */
static int bring_peer_up(struct nl_sock *socket, int index)
{
	int peer_index = (int)if_nametoindex(PEER_NAME);

	(void)index;
	return peer_index == 0 ? 0 : bring_up(socket, peer_index);
}

static struct nl_addr *ipv4_address(const char *text, int prefix_length)
{
	struct in_addr bytes = { 0 };
	struct nl_addr *address;

	/* Not nl_addr_parse(), which looks up names. */
	(void)inet_pton(AF_INET, text, &bytes);
	address = nl_addr_build(AF_INET, &bytes, sizeof(bytes));
	if (address)
		nl_addr_set_prefixlen(address, prefix_length);
	return address;
}

static int add_address(struct nl_sock *socket, int index)
{
	struct rtnl_addr *address = rtnl_addr_alloc();
	struct nl_addr *local = ipv4_address(STUB_ADDRESS, 24);
	int result = -NLE_NOMEM;

	if (address && local) {
		rtnl_addr_set_ifindex(address, index);
		result = rtnl_addr_set_local(address, local);
		if (result >= 0)
			result = rtnl_addr_add(socket, address, 0);
	}
	rtnl_addr_put(address);
	nl_addr_put(local);
	return result;
}

static int add_default_route(struct nl_sock *socket, int index)
{
	struct rtnl_route *route = rtnl_route_alloc();
	struct rtnl_nexthop *hop = rtnl_route_nh_alloc();
	struct nl_addr *anywhere = ipv4_address("0.0.0.0", 0);
	int result = -NLE_NOMEM;

	if (route && hop && anywhere) {
		rtnl_route_nh_set_ifindex(hop, index);
		rtnl_route_set_scope(route, RT_SCOPE_LINK);
		result = rtnl_route_set_dst(route, anywhere);
		if (result >= 0) {
			rtnl_route_add_nexthop(route, hop);
			hop = NULL; /* the route's */
			result = rtnl_route_add(socket, route, NLM_F_EXCL);
		}
	}
	if (hop)
		rtnl_route_nh_free(hop);
	rtnl_route_put(route);
	nl_addr_put(anywhere);
	return result;
}

/* Looked at after the table of local addresses (preference 0) and before the main one, where the default route is: that
 * one is to be seen, not to be used. ip-rule(8). */
static int add_unreachable_rule(struct nl_sock *socket, int index)
{
	struct rtnl_rule *rule = rtnl_rule_alloc();
	int result;

	(void)index;
	if (!rule)
		return -NLE_NOMEM;
	rtnl_rule_set_family(rule, AF_INET);
	rtnl_rule_set_prio(rule, 1);
	rtnl_rule_set_action(rule, FR_ACT_UNREACHABLE);
	result = rtnl_rule_add(socket, rule, NLM_F_EXCL);
	rtnl_rule_put(rule);
	/* A kernel without rules (CONFIG_IP_MULTIPLE_TABLES): failing takes the 3 s of address resolution there. */
	return result == -NLE_OPNOTSUPP || result == -NLE_AF_NOSUPPORT ? 0 : result;
}

static const struct {
	const char *step;
	int (*run)(struct nl_sock *socket, int index);
} set_up[] = {
	{ "bring up the stub link", bring_up },
	{ "bring up the stub link's other end", bring_peer_up },
	{ "give the stub link its address", add_address },
	{ "let nothing leave by the stub link", add_unreachable_rule },
	{ "lead the default route to the stub link", add_default_route },
};

/* The first type that this kernel can make: types that it does not know are EOPNOTSUPP, or ENODEV where a module would
 * have to be loaded, which a user namespace may not ask for (since 6.x: EPERM where modules are barred). */
static int add_link(struct nl_sock *socket, enum stub_type *ret_type, struct error *error)
{
	*ret_type = STUB_NONE;
	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		int result = netlink_result(types[i].add(socket));

		if (result == 0) {
			*ret_type = types[i].type;
			return 0;
		}
		if (result != -EOPNOTSUPP && result != -ENODEV)
			return error_set(error, .number = -result, .step = "make the stub link",
					 .object = types[i].name);
	}
	return 0;
}

int stub_link_add(struct error *error)
{
	owned_netlink socket = NULL;
	enum stub_type type;
	int index;
	int result = netlink_open(&socket);

	if (result < 0)
		return error_set(error, .number = -result, .step = "open a netlink socket");
	result = add_link(socket, &type, error);
	if (result < 0 || type == STUB_NONE)
		return result < 0 ? result : (int)STUB_NONE;
	index = (int)if_nametoindex(STUB_NAME);
	if (index == 0)
		return error_set(error, .number = errno, .step = "find the stub link", .object = STUB_NAME);
	for (size_t i = 0; i < ARRAY_SIZE(set_up); i++) {
		result = netlink_result(set_up[i].run(socket, index));
		if (result < 0)
			return error_set(error, .number = -result, .step = set_up[i].step, .object = STUB_NAME);
	}
	return (int)type;
}
