/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/worker/network.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* How often a switch that went away is looked for, in milliseconds. */
#define RECONNECT_INTERVAL 1000

static void wake(struct network *network)
{
    const uint64_t one = 1;

    /* Fails only when the counter is full, and then the thread wakes up anyway. */
    if (write(network->wake, &one, sizeof one) < 0)
        return;
}

static void woken(void *owner, uint32_t events)
{
    struct network *network = owner;
    uint64_t count;

    (void)events;
    if (read(network->wake, &count, sizeof count) < 0)
        return; /* somebody was faster */
}

/* Called under the device lock, on any thread. */
static void port_lost(void *context)
{
    struct network_port *port = context;

    port->lost = true;
    wake(port->network);
}

int network_initialize(struct network *network, const char *name, pthread_mutex_t *device_lock)
{
    int error;

    *network = (struct network){
        .name = name, .device_lock = device_lock, .wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
    if (network->wake < 0)
        return errno;
    error = event_loop_initialize(&network->loop);
    if (!error)
        error = event_loop_add(&network->loop, &network->wake_source, network->wake, EPOLLIN, woken, network);
    return error;
}

struct network_port *network_add_port(struct network *network, const struct configuration_nic *configuration,
                                      struct dec21140 *card)
{
    struct network_port *port = calloc(1, sizeof *port);

    if (!port)
        return NULL;
    port->network = network;
    port->configuration = configuration;
    port->card = card;
    nic_port_initialize(&port->port, dec21140_receive, card, port_lost, port);
    network->ports[network->count++] = port;
    return port;
}

struct nic_backend network_backend(struct network_port *port)
{
    if (!configuration_file_given(&port->configuration->network))
        return (struct nic_backend){0};
    return nic_port_backend(&port->port);
}

static void receive(void *owner, uint32_t events)
{
    struct network_port *port = owner;
    pthread_mutex_t *lock = port->network->device_lock;
    enum nic_port_result result;

    (void)events;
    do {
        pthread_mutex_lock(lock);
        result = nic_port_receive(&port->port);
        pthread_mutex_unlock(lock);
    } while (result == NIC_PORT_MORE);
}

static int watch(struct network_port *port)
{
    int error = event_loop_add(&port->network->loop, &port->source, nic_port_descriptor(&port->port),
                               EPOLLIN | EPOLLET, receive, port);

    port->watched = !error;
    return error;
}

bool network_connect(struct network_port *port, char *error, size_t error_size)
{
    const struct configuration_file *network = &port->configuration->network;
    int descriptor = network->descriptor;
    int result;

    if (!configuration_file_given(network))
        return true;
    if (descriptor < 0)
        descriptor =
            nic_port_connect(network->path, port->configuration->mac, port->network->name, error, error_size);
    if (descriptor < 0)
        return false;
    nic_port_attach(&port->port, descriptor);
    result = watch(port);
    if (result)
        snprintf(error, error_size, "cannot watch the connection to the switch: %s", strerror(result));
    return !result;
}

static void unplug(struct network_port *port)
{
    if (port->watched)
        event_loop_remove(&port->network->loop, &port->source);
    port->watched = false;
    pthread_mutex_lock(port->network->device_lock);
    dec21140_set_link(port->card, false);
    nic_port_disconnect(&port->port);
    port->lost = false;
    pthread_mutex_unlock(port->network->device_lock);
}

/* The switch may be back. */
static void try_to_plug_in(struct network_port *port)
{
    char error[256];
    int descriptor = nic_port_connect(port->configuration->network.path, port->configuration->mac,
                                      port->network->name, error, sizeof error);

    if (descriptor < 0)
        return;
    pthread_mutex_lock(port->network->device_lock);
    nic_port_attach(&port->port, descriptor);
    dec21140_set_link(port->card, true);
    pthread_mutex_unlock(port->network->device_lock);
    if (watch(port))
        unplug(port);
}

static bool is_lost(struct network_port *port)
{
    bool lost;

    pthread_mutex_lock(port->network->device_lock);
    lost = port->lost;
    pthread_mutex_unlock(port->network->device_lock);
    return lost;
}

/* Looks after every port. Returns how long to wait for the next look, in milliseconds. */
static int look_after_ports(struct network *network)
{
    int timeout = -1;

    for (unsigned i = 0; i < network->count; i++) {
        struct network_port *port = network->ports[i];

        if (is_lost(port))
            unplug(port);
        else if (!port->watched && port->configuration->network.path)
            try_to_plug_in(port);
        if (!port->watched &&
            port->configuration->network.path) /* a bare descriptor cannot be connected again */
            timeout = RECONNECT_INTERVAL;
    }
    return timeout;
}

static void *network_thread(void *context)
{
    struct network *network = context;

    while (!__atomic_load_n(&network->ending, __ATOMIC_ACQUIRE)) {
        event_loop_wait(&network->loop, look_after_ports(network));
        event_loop_dispatch(&network->loop);
    }
    return NULL;
}

int network_start(struct network *network)
{
    int error = pthread_create(&network->thread, NULL, network_thread, network);

    network->started = !error;
    if (!error)
        pthread_setname_np(network->thread, "network");
    return error;
}

void network_end(struct network *network)
{
    if (network->started) {
        __atomic_store_n(&network->ending, true, __ATOMIC_RELEASE);
        wake(network);
        pthread_join(network->thread, NULL);
    }
    for (unsigned i = 0; i < network->count; i++) {
        nic_port_disconnect(&network->ports[i]->port);
        free(network->ports[i]);
    }
    network->count = 0;
    event_loop_close(&network->loop);
    close(network->wake);
    network->wake = -1;
}
