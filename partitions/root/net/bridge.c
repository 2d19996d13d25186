/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/net/bridge.h"

#include "partitions/root/net/gateway.h"
#include "partitions/root/net/vswitch.h"

struct port *bridge_find(const struct vswitch *vswitch, const struct mac_address *mac)
{
    for (unsigned i = 0; i < vswitch->port_count; i++) {
        struct port *port = vswitch->ports[i];
        if (port->greeted && mac_equal(&port->mac, mac))
            return port;
    }
    return NULL;
}

void bridge_flood(const struct vswitch *vswitch, const struct port *except, struct pbuf *frame)
{
    for (unsigned i = 0; i < vswitch->port_count; i++) {
        struct port *port = vswitch->ports[i];
        if (port->greeted && port != except)
            port_queue(port, frame);
    }
}

void bridge_input(struct port *from, struct pbuf *frame)
{
    struct vswitch *vswitch = from->vswitch;
    const struct ethernet_header *ethernet = frame->payload;

    from->counters.received_frames++;
    from->counters.received_bytes += frame->tot_len;
    if (!mac_equal(&ethernet->source, &from->mac)) {
        from->counters.spoofed++;
        return;
    }
    if (mac_equal(&ethernet->destination, &vswitch->mac)) {
        gateway_unicast(from, frame);
        return;
    }
    if (mac_is_group(&ethernet->destination)) {
        if (gateway_group(from, frame))
            bridge_flood(vswitch, from, frame);
        return;
    }
    struct port *to = bridge_find(vswitch, &ethernet->destination);
    if (!to || to == from) {
        from->counters.unknown++;
        return;
    }
    port_queue(to, frame);
}
