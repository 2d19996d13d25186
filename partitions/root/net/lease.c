/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/net/lease.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_HEADER "# loam-switch leases, version 1: MAC address, IP address\n"
/* A line is 34 characters at most; more than every lease can take is not a lease file. */
#define FILE_MAXIMUM (sizeof(FILE_HEADER) + LEASE_MAXIMUM * 64u)

int lease_table_initialize(struct lease_table *table, const struct subnet *subnet,
                           bool (*in_use)(void *, in_addr_t, const struct mac_address *), void *context)
{
    *table = (struct lease_table){.subnet = subnet, .in_use = in_use, .context = context};
    table->leases = calloc(LEASE_MAXIMUM, sizeof(*table->leases));
    return table->leases ? 0 : ENOMEM;
}

void lease_table_free(struct lease_table *table)
{
    free(table->leases);
    table->leases = NULL;
    table->count = 0;
}

struct lease *lease_find(const struct lease_table *table, const struct mac_address *mac)
{
    for (unsigned i = 0; i < table->count; i++)
        if (mac_equal(&table->leases[i].mac, mac))
            return &table->leases[i];
    return NULL;
}

struct lease *lease_find_address(const struct lease_table *table, in_addr_t address)
{
    for (unsigned i = 0; i < table->count; i++)
        if (table->leases[i].address == address)
            return &table->leases[i];
    return NULL;
}

static bool is_declined(const struct lease_table *table, in_addr_t address, uint64_t now)
{
    for (unsigned i = 0; i < LEASE_DECLINED; i++)
        if (table->declined[i].address == address && table->declined[i].until > now)
            return true;
    return false;
}

static bool is_free(const struct lease_table *table, const struct mac_address *mac, in_addr_t address,
                    uint64_t now)
{
    return subnet_is_host(table->subnet, address) && !lease_find_address(table, address) &&
           !is_declined(table, address, now) && !table->in_use(table->context, address, mac);
}

static in_addr_t lowest_free(const struct lease_table *table, const struct mac_address *mac, uint64_t now)
{
    uint32_t first = ntohl(table->subnet->network) + 1;
    uint32_t last = ntohl(table->subnet->broadcast) - 1;
    /* Each lease, declined address and user of an address hides one: beyond that many, one would have been
     * found. */
    if (last - first > 2 * LEASE_MAXIMUM)
        last = first + 2 * LEASE_MAXIMUM;
    for (uint32_t address = first; address <= last; address++)
        if (is_free(table, mac, htonl(address), now))
            return htonl(address);
    return 0;
}

/* The binding that expired longest ago and whose address nobody uses. */
static struct lease *oldest_expired(const struct lease_table *table, const struct mac_address *mac,
                                    uint64_t now)
{
    struct lease *oldest = NULL;
    for (unsigned i = 0; i < table->count; i++) {
        struct lease *lease = &table->leases[i];
        if (lease->expires <= now && (!oldest || lease->expires < oldest->expires) &&
            !is_declined(table, lease->address, now) && !table->in_use(table->context, lease->address, mac))
            oldest = lease;
    }
    return oldest;
}

struct lease *lease_assign(struct lease_table *table, const struct mac_address *mac, in_addr_t wanted,
                           uint64_t now)
{
    struct lease *lease = lease_find(table, mac);
    if (lease)
        return lease;
    in_addr_t address = 0;
    if (table->count < LEASE_MAXIMUM)
        address = is_free(table, mac, wanted, now) ? wanted : lowest_free(table, mac, now);
    if (address) {
        lease = &table->leases[table->count++];
    } else {
        lease = oldest_expired(table, mac, now);
        if (!lease)
            return NULL;
        address = lease->address;
    }
    *lease = (struct lease){.mac = *mac, .address = address, .expires = now};
    table->changed = true;
    return lease;
}

void lease_decline(struct lease_table *table, const struct mac_address *mac, uint64_t now)
{
    struct lease *lease = lease_find(table, mac);
    if (!lease)
        return;
    table->declined[table->declined_next].address = lease->address;
    table->declined[table->declined_next].until = now + LEASE_DECLINED_TIME;
    table->declined_next = (table->declined_next + 1) % LEASE_DECLINED;
    *lease = table->leases[--table->count];
    table->changed = true;
}

static bool parse_line(const char *line, struct mac_address *mac, in_addr_t *address)
{
    char mac_text[18], text[INET_ADDRSTRLEN];
    struct in_addr parsed;
    int end = 0;
    if (sscanf(line, "%17s %15s%n", mac_text, text, &end) != 2 || line[end] || !mac_parse(mac_text, mac) ||
        inet_pton(AF_INET, text, &parsed) != 1)
        return false;
    *address = parsed.s_addr;
    return true;
}

unsigned lease_parse(struct lease_table *table, char *text, unsigned *bad_line)
{
    unsigned number = 0, bad = 0;
    for (char *line = strsep(&text, "\n"); line; line = strsep(&text, "\n")) {
        struct mac_address mac;
        in_addr_t address;
        number++;
        if (line[0] == '#' || line[0] == '\0')
            continue;
        if (!parse_line(line, &mac, &address)) {
            if (bad++ == 0)
                *bad_line = number;
            continue;
        }
        if (table->count < LEASE_MAXIMUM && subnet_is_host(table->subnet, address) &&
            !lease_find(table, &mac) && !lease_find_address(table, address))
            table->leases[table->count++] = (struct lease){.mac = mac, .address = address};
    }
    return bad;
}

bool lease_load(struct lease_table *table, const char *path, char *error, size_t error_size)
{
    error[0] = '\0';
    FILE *file = fopen(path, "re");
    if (!file) {
        if (errno == ENOENT)
            return true;
        snprintf(error, error_size, "%s: %s", path, strerror(errno));
        return false;
    }
    char *text = malloc(FILE_MAXIMUM + 1);
    size_t length = text ? fread(text, 1, FILE_MAXIMUM + 1, file) : 0;
    bool good = text && !ferror(file) && length <= FILE_MAXIMUM;
    if (good) {
        text[length] = '\0';
        unsigned bad_line = 0, bad = lease_parse(table, text, &bad_line);
        if (bad)
            snprintf(error, error_size, "%s:%u: not a lease (%u such lines ignored)", path, bad_line, bad);
    } else {
        snprintf(error, error_size, "%s: %s", path,
                 length > FILE_MAXIMUM ? "too long for a lease file" : "cannot be read");
    }
    free(text);
    fclose(file);
    return good;
}

static bool write_leases(const struct lease_table *table, FILE *file)
{
    bool good = fputs(FILE_HEADER, file) >= 0;
    for (unsigned i = 0; i < table->count && good; i++) {
        const struct in_addr address = {.s_addr = table->leases[i].address};
        char text[INET_ADDRSTRLEN];
        inet_ntop(AF_INET, &address, text, sizeof(text));
        good = fprintf(file, MAC_FORMAT " %s\n", MAC_ARGUMENTS(table->leases[i].mac), text) > 0;
    }
    return good && fflush(file) == 0 && fsync(fileno(file)) == 0;
}

int lease_save(struct lease_table *table, const char *path)
{
    char temporary[PATH_MAX];
    if (snprintf(temporary, sizeof(temporary), "%s.new", path) >= (int)sizeof(temporary))
        return ENAMETOOLONG;
    FILE *file = fopen(temporary, "we");
    if (!file)
        return errno;
    int error = write_leases(table, file) ? 0 : errno;
    if (fclose(file) != 0 && !error)
        error = errno;
    if (!error && rename(temporary, path) != 0)
        error = errno;
    if (error)
        unlink(temporary);
    else
        table->changed = false;
    return error;
}
