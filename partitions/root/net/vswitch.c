/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/net/vswitch.h"

#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "partitions/root/net/bridge.h"
#include "partitions/root/net/host_network.h"

const struct mac_address vswitch_gateway_mac = {
    {0x00, 0x15, 0x5D, 0x00, 0x00, 0x00}
};

/* Whether another child uses an address, by static configuration. */
static bool in_use(void *context, in_addr_t address, const struct mac_address *mac)
{
    const struct vswitch *vswitch = context;
    const struct port *port = neighbour_find(vswitch, address);
    return port && !mac_equal(&port->mac, mac);
}

bool vswitch_initialize(struct vswitch *vswitch, const char *resolver_path, char *error, size_t error_size)
{
    int failure = event_loop_initialize(&vswitch->loop);
    if (!failure)
        failure = host_network_initialize();
    if (!failure)
        failure = lease_table_initialize(&vswitch->leases, &vswitch->subnet, in_use, vswitch);
    if (failure) {
        snprintf(error, error_size, "cannot start: %s", strerror(failure));
        return false;
    }
    vswitch->mac = vswitch_gateway_mac;
    vswitch->dhcp = (struct dhcp_server){.leases = &vswitch->leases, .boot_file = vswitch->boot_file};
    if (getrandom(&vswitch->identification, sizeof(vswitch->identification), 0) < 0)
        vswitch->identification = 0;
    neighbour_initialize(&vswitch->neighbours);
    dns_initialize(&vswitch->dns, resolver_path);
    nat_icmp_initialize(&vswitch->icmp);
    stack_initialize();
    stack_enter();
    bool good = nat_tcp_initialize(vswitch) && nat_udp_initialize(&vswitch->udp);
    stack_leave();
    if (!good)
        snprintf(error, error_size, "cannot start: out of memory");
    return good;
}

void vswitch_batch_done(struct vswitch *vswitch)
{
    nat_tcp_batch_done(vswitch);
}

void vswitch_port_writable(struct port *port)
{
    nat_tcp_port_writable(port);
}

void vswitch_port_closed(struct port *port)
{
    nat_tcp_port_closed(port);
    nat_udp_port_closed(port);
    nat_icmp_port_closed(port);
    dns_port_closed(port);
    neighbour_port_closed(port);
}

/* Whether something ages, so that the tick is needed. */
static bool has_state(const struct vswitch *vswitch)
{
    if (vswitch->tcp.count || vswitch->udp.count || vswitch->dns.active || vswitch->leases.changed)
        return true;
    for (unsigned i = 0; i < vswitch->port_count; i++)
        if (!vswitch->ports[i]->greeted)
            return true;
    for (const struct forward *forward = vswitch->forwards; forward; forward = forward->next)
        if (forward->paused)
            return true;
    return false;
}

static int shorter(int a, int b)
{
    return a < 0 || (b >= 0 && b < a) ? b : a;
}

static int timeout(const struct vswitch *vswitch)
{
    const uint64_t now = vswitch->loop.now;
    int result = shorter(stack_timeout(now), neighbour_timeout(vswitch));
    if (has_state(vswitch))
        result = shorter(result, vswitch->next_tick > now ? (int)(vswitch->next_tick - now) : 0);
    return result;
}

static void save_leases(struct vswitch *vswitch)
{
    if (!vswitch->leases.changed)
        return;
    int error = vswitch->lease_path ? lease_save(&vswitch->leases, vswitch->lease_path) : 0;
    if (error)
        fprintf(stderr, "loam-switch: cannot save leases: %s: %s\n", vswitch->lease_path, strerror(error));
    vswitch->leases.changed = false; /* the next change tries again */
}

static void drop_silent_ports(struct vswitch *vswitch)
{
    for (unsigned i = vswitch->port_count; i-- > 0;) {
        struct port *port = vswitch->ports[i];
        if (!port->greeted && vswitch->loop.now - port->connected_at > PORT_HELLO_TIMEOUT)
            port_close(port);
    }
}

static void tick(struct vswitch *vswitch)
{
    if (vswitch->loop.now < vswitch->next_tick)
        return;
    vswitch->next_tick = vswitch->loop.now + VSWITCH_TICK;
    nat_tcp_tick(vswitch);
    nat_udp_tick(vswitch);
    dns_tick(vswitch);
    forward_tick(vswitch);
    drop_silent_ports(vswitch);
    save_leases(vswitch);
}

static void finish_round(struct vswitch *vswitch)
{
    nat_udp_flush(vswitch);
    nat_tcp_process(vswitch);
    for (unsigned i = 0; i < vswitch->port_count; i++)
        port_flush(vswitch->ports[i]);
    nat_tcp_free_dead(vswitch);
}

void vswitch_round(struct vswitch *vswitch, int limit)
{
    stack_enter();
    limit = shorter(limit, timeout(vswitch));
    stack_leave();
    event_loop_wait(&vswitch->loop, limit);
    stack_enter();
    event_loop_dispatch(&vswitch->loop);
    stack_run_timers(vswitch->loop.now);
    neighbour_tick(vswitch);
    tick(vswitch);
    finish_round(vswitch);
    stack_leave();
}

void vswitch_close(struct vswitch *vswitch)
{
    stack_enter();
    while (vswitch->port_count)
        port_close(vswitch->ports[0]);
    while (vswitch->forwards)
        forward_remove(vswitch, vswitch->forwards->rule.protocol, vswitch->forwards->rule.host,
                       vswitch->forwards->rule.host_port);
    nat_tcp_close(vswitch);
    finish_round(vswitch);
    save_leases(vswitch);
    stack_leave();
}
