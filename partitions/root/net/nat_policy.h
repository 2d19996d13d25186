/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which addresses children may reach through the NAT. */
#ifndef NET_NAT_POLICY_H
#define NET_NAT_POLICY_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

struct vswitch;
struct port;

enum nat_verdict {
    NAT_ALLOWED,
    NAT_REFUSED,             /* nobody serves this there: as a closed port */
    NAT_NETWORK_UNREACHABLE, /* ICMP errors with these codes */
    NAT_HOST_UNREACHABLE,
    NAT_PROHIBITED,
};

/*
 * Whether a child may send to `destination`. `actual` is set to the address to use on the parent's side: the
 * same, except that on a switch with --allow-host the gateway's address leads to the parent's loopback.
 */
enum nat_verdict nat_policy(const struct vswitch *vswitch, in_addr_t destination, in_addr_t *actual);

/* The verdict that fits a socket's error. */
enum nat_verdict nat_policy_from_error(int error);

/* The ICMP code for a verdict that is not NAT_ALLOWED. */
uint8_t nat_policy_icmp_code(enum nat_verdict verdict);

/* Whether the port may begin one more flow now; if not, that is counted. */
bool nat_policy_new_flow(struct port *port);

/*
 * As whom a child sees a client of a forwarded port: the client itself, unless its address would lead
 * elsewhere from the child's point of view (loopback, or the child's own network); then the gateway. True:
 * itself.
 */
bool nat_policy_presentable(const struct vswitch *vswitch, in_addr_t client);

#endif
