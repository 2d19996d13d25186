/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which MAC address has which IPv4 address. A binding stays for good, over releases, expiry and restarts, and
 * is given to another only when the network has no other address left.
 */
#ifndef NET_LEASE_H
#define NET_LEASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "partitions/root/net/packet.h"
#include "partitions/root/net/subnet.h"

#define LEASE_MAXIMUM  4096u
#define LEASE_TIME     86400u /* seconds */
#define LEASE_DECLINED 16u
/* Seconds for which an address that a child found in use is not offered. */
#define LEASE_DECLINED_TIME 600u

struct lease {
    struct mac_address mac;
    in_addr_t address;
    uint64_t expires; /* seconds of CLOCK_MONOTONIC */
};

struct lease_table {
    const struct subnet *subnet;
    struct lease *leases;
    unsigned count;
    bool changed; /* since the last save: a binding was made or lost */
    struct {
        in_addr_t address; /* 0: none */
        uint64_t until;
    } declined[LEASE_DECLINED]; /* the newest ones */
    unsigned declined_next;
    /* Whether somebody other than `mac` uses an address without a lease. */
    bool (*in_use)(void *context, in_addr_t address, const struct mac_address *mac);
    void *context;
};

/* 0 or ENOMEM. `subnet` must outlive the table. */
int lease_table_initialize(struct lease_table *table, const struct subnet *subnet,
                           bool (*in_use)(void *, in_addr_t, const struct mac_address *), void *context);
void lease_table_free(struct lease_table *table);

struct lease *lease_find(const struct lease_table *table, const struct mac_address *mac);
struct lease *lease_find_address(const struct lease_table *table, in_addr_t address);

/*
 * The binding of `mac`, made now if there was none: `wanted` if that is possible, else the lowest free
 * address. NULL if every address is taken. `now` in seconds.
 */
struct lease *lease_assign(struct lease_table *table, const struct mac_address *mac, in_addr_t wanted,
                           uint64_t now);

/* The child says that its address is in use by somebody else: it gets another. */
void lease_decline(struct lease_table *table, const struct mac_address *mac, uint64_t now);

/*
 * Reads bindings from the text of a lease file: a line each, MAC and IP address; lines of addresses outside
 * the subnet are left out, as are second bindings. Returns how many lines were not understood; `bad_line` is
 * the first.
 */
unsigned lease_parse(struct lease_table *table, char *text, unsigned *bad_line);

/* Loads from a file, if there is one. False, with a message, if it cannot be read; damage is reported but
 * survived. */
bool lease_load(struct lease_table *table, const char *path, char *error, size_t error_size);

/* Replaces the file in one step. 0 or an errno. */
int lease_save(struct lease_table *table, const char *path);

#endif
