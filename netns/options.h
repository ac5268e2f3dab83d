/* SPDX-License-Identifier: Apache-2.0 */
/* What a user asks of a world's network beside its kind: the ways in and out of it. Texts as they were given, checked
 * by publish_parse(), reach_parse() and outbound_check_dns(). */
#ifndef SBX_NETNS_OPTIONS_H
#define SBX_NETNS_OPTIONS_H

#include "base/text.h"

struct network_options {
	struct text_list publish; /* -p [[IP:]HOST:]PORT */
	struct text_list reach;	  /* --reach NAME=HOST:PORT */
	struct text_list dns;	  /* --dns IP, with --net outbound */
};

static inline void network_options_release(struct network_options *options)
{
	text_list_release(&options->publish);
	text_list_release(&options->reach);
	text_list_release(&options->dns);
}

#endif
