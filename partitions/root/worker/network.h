/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The cables of a machine's network adapters: a thread that delivers what comes from the switches, and plugs
 * an adapter in again when its switch went away and came back.
 */
#ifndef WORKER_NETWORK_H
#define WORKER_NETWORK_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include "partitions/root/net/event_loop.h"
#include "partitions/root/net/nic_port.h"
#include "partitions/root/worker/configuration.h"
#include "partitions/root/worker/devices/dec21140.h"

struct network;

struct network_port {
    struct network *network;
    const struct configuration_nic *configuration;
    struct nic_port port;
    struct dec21140 *card;
    struct event_source source;
    bool watched;
    bool lost; /* under the device lock */
};

struct network {
    const char *name; /* of the machine, for the switch */
    pthread_mutex_t *device_lock;
    unsigned count;
    struct network_port *ports[CONFIGURATION_NICS];
    struct event_loop loop;
    struct event_source wake_source;
    int wake; /* eventfd */
    bool ending;
    bool started;
    pthread_t thread;
};

/* 0 or an errno. */
int network_initialize(struct network *network, const char *name, pthread_mutex_t *device_lock);

/*
 * Adds an adapter, before the thread starts. `card` is to be initialised with network_backend() afterwards;
 * it and the configuration must outlive the network. NULL: no memory.
 */
struct network_port *network_add_port(struct network *network, const struct configuration_nic *configuration,
                                      struct dec21140 *card);

/* What the card talks to; an adapter without a switch has no link. */
struct nic_backend network_backend(struct network_port *port);

/*
 * Plugs a card in for the first time; true also if it has no switch. False: `error` is one line. A switch
 * that is not there at the start is a mistake of whoever starts the machine; later it is waited for.
 */
bool network_connect(struct network_port *port, char *error, size_t error_size);

/* 0 or an errno. */
int network_start(struct network *network);
void network_end(struct network *network);

#endif
