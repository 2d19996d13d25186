/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * TCP through the NAT: the table of connections, and how they begin. A child's SYN is held while the parent
 * connects to the destination: if that works, lwIP answers the SYN; if it is refused, lwIP refuses the child;
 * if there is no way, the child gets the ICMP error for it.
 */
#ifndef NET_NAT_TCP_H
#define NET_NAT_TCP_H

#include "partitions/root/net/coalesce.h"
#include "partitions/root/net/gateway.h"
#include "partitions/root/net/tcp_flow.h"

struct nat_tcp {
    struct flow_key_seed seed;
    struct tcp_flow *buckets[FLOW_KEY_BUCKETS];
    struct tcp_flow *marked; /* to be processed at the end of the round */
    struct tcp_flow *dead;   /* to be freed then */
    struct coalescer coalescer;
    unsigned count;
    uint64_t opened;
    uint64_t refused; /* by policy, or by the destination */
};

/* False without memory. */
bool nat_tcp_initialize(struct vswitch *vswitch);

/* A TCP packet of a child. */
void nat_tcp_input(const struct ipv4_packet *packet);

/* A batch of frames has been read: gives lwIP what the coalescer holds. */
void nat_tcp_batch_done(struct vswitch *vswitch);

/*
 * A connection that came to a forwarded port, from `client` to a child. Takes over the descriptor; on failure
 * it is reset.
 */
void nat_tcp_accept_forwarded(struct vswitch *vswitch, int descriptor, const struct sockaddr_in *client,
                              in_addr_t child, in_port_t child_port);

/* Ends a flow: closes the host's side, by a reset if `reset`, and the child's, and takes it out of the table.
 */
void nat_tcp_remove(struct tcp_flow *flow, bool reset);

/* The end of a round. Processing queues frames; freeing must come after they were sent. */
void nat_tcp_process(struct vswitch *vswitch);
void nat_tcp_free_dead(struct vswitch *vswitch);

/* Once a second. */
void nat_tcp_tick(struct vswitch *vswitch);

/* Ends all that is left. */
void nat_tcp_close(struct vswitch *vswitch);

void nat_tcp_port_closed(struct port *port);
/* The port takes frames again. */
void nat_tcp_port_writable(struct port *port);

#endif
