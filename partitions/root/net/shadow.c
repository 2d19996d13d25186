/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/net/shadow.h"

#include <lwip/ip4.h>
#include <lwip/netif.h>
#include <lwip/priv/tcp_priv.h>

#include "partitions/root/net/packet.h"
#include "partitions/root/net/vswitch.h"

static struct netif gateway_interface;
static struct netif shadow_interface;
static struct tcp_pcb *listener;

/* lwIP sends a packet to a child. If that is congested it keeps it, and sends when vswitch_port_writable()
 * says so. */
static err_t output(struct netif *interface, struct pbuf *packet, const ip4_addr_t *address)
{
    const struct port *port = neighbour_find(interface->state, address->addr);
    if (port && port_congested(port))
        return ERR_MEM;
    /* Every pbuf that lwIP sends from has room for the link's header in front. */
    if (pbuf_add_header(packet, sizeof(struct ethernet_header)) != 0)
        return ERR_BUF;
    neighbour_send(interface->state, address->addr, packet);
    return ERR_OK;
}

static err_t no_link_output(struct netif *interface, struct pbuf *packet)
{
    LWIP_UNUSED_ARG(interface);
    LWIP_UNUSED_ARG(packet);
    return ERR_IF;
}

/* Frames do not come this way: shadow_input() calls lwIP's IP layer itself. */
static err_t no_input(struct pbuf *packet, struct netif *interface)
{
    LWIP_UNUSED_ARG(interface);
    pbuf_free(packet);
    return ERR_OK;
}

static err_t initialize_interface(struct netif *interface)
{
    interface->name[0] = 'l';
    interface->name[1] = 'm';
    interface->mtu = PACKET_MTU;
    interface->output = output;
    interface->linkoutput = no_link_output;
    interface->flags = NETIF_FLAG_LINK_UP;
    return ERR_OK;
}

bool shadow_initialize(struct vswitch *vswitch, tcp_accept_fn accept)
{
    const ip4_addr_t any = {0};
    const ip4_addr_t host_mask = {0xFFFFFFFFu};
    const ip4_addr_t address = {vswitch->subnet.gateway};
    const ip4_addr_t mask = {vswitch->subnet.mask};
    if (!netif_add(&shadow_interface, &any, &host_mask, &any, vswitch, initialize_interface, no_input) ||
        !netif_add(&gateway_interface, &address, &mask, &any, vswitch, initialize_interface, no_input))
        return false;
    netif_set_up(&shadow_interface);
    netif_set_up(&gateway_interface);
    netif_set_default(&gateway_interface);

    struct tcp_pcb *unbound = tcp_new();
    if (!unbound)
        return false;
    ip_set_option(unbound, SOF_REUSEADDR); /* inherited: tcp_bind() of forwarded connections looks at it */
    listener = tcp_listen(unbound);
    if (!listener)
        return false;
    tcp_accept(listener, accept);
    listener->local_port = 0; /* no packet has this port: they are checked */
    return true;
}

void shadow_input(struct pbuf *packet)
{
    const struct ipv4_header *header = packet->payload;
    ip_2_ip4(&shadow_interface.ip_addr)->addr = header->destination;
    ip4_input(packet, &gateway_interface);
}

struct tcp_pcb *shadow_accept(struct pbuf *packet, in_port_t port, void *argument)
{
    listener->local_port = ntohs(port);
    listener->callback_arg = argument;
    shadow_input(packet);
    listener->local_port = 0;
    listener->callback_arg = NULL;
    /* lwIP puts a new connection at the head of its list. */
    struct tcp_pcb *pcb = tcp_active_pcbs;
    return pcb && pcb->callback_arg == argument && pcb->state == SYN_RCVD ? pcb : NULL;
}
