/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How lwIP is made to answer for every address in the world. It accepts packets to the address of any of its
 * interfaces, so there is one without a wire, the shadow, whose address is changed to each packet's
 * destination before lwIP looks; and it accepts connections where something listens, so there is one
 * listener, whose port is changed to that of each connection that is wanted. Both by assigning the field:
 * netif_set_addr() would abort the connections of the address before, tcp_bind() would object to ports in
 * use. The hooks that lwIP has for such ends are not in Debian's build of it.
 *
 * Addresses are in network order. Call between stack_enter() and stack_leave().
 */
#ifndef NET_SHADOW_H
#define NET_SHADOW_H

#include <netinet/in.h>
#include <stdbool.h>

#include <lwip/tcp.h>

struct vswitch;

/* Adds the gateway's interface and the shadow to lwIP. `accept` is called when a child completes a handshake.
 */
bool shadow_initialize(struct vswitch *vswitch, tcp_accept_fn accept);

/*
 * Gives lwIP a TCP packet of a child. If it opens a connection, lwIP refuses it. Takes over one reference to
 * `packet`, whose payload is the IP header.
 */
void shadow_input(struct pbuf *packet);

/*
 * Gives lwIP a SYN that is to be answered. Returns the new connection, with `argument` as its callback
 * argument, or NULL if there is no memory for it; the child will send the SYN again. Takes over one reference
 * to `packet`.
 */
struct tcp_pcb *shadow_accept(struct pbuf *packet, in_port_t port, void *argument);

#endif
