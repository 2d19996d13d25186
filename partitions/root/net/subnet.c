/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/net/subnet.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Routes with a shorter prefix stand for "everywhere", like the default route. */
#define EVERYWHERE_PREFIX 4u

static in_addr_t prefix_mask(unsigned prefix)
{
    return prefix ? htonl(0xFFFFFFFFu << (32 - prefix)) : 0;
}

static void fill(struct subnet *subnet, in_addr_t network, in_addr_t mask)
{
    *subnet = (struct subnet){
        .network = network,
        .mask = mask,
        .broadcast = network | ~mask,
        .gateway = htonl(ntohl(network) + 1),
    };
}

/* Networks that belong to no site: this host, loopback, link-local, groups and above. */
static bool is_special(uint32_t network, uint32_t mask)
{
    static const struct {
        uint32_t network, mask;
    } special[] = {
        {0x00000000, 0xFF000000},
        {0x7F000000, 0xFF000000},
        {0xA9FE0000, 0xFFFF0000},
        {0xE0000000, 0xE0000000},
    };
    for (size_t i = 0; i < sizeof(special) / sizeof(special[0]); i++) {
        uint32_t common = mask & special[i].mask;
        if ((network & common) == (special[i].network & common))
            return true;
    }
    return false;
}

bool subnet_parse(const char *text, struct subnet *subnet, char *error, size_t error_size)
{
    char address_text[INET_ADDRSTRLEN];
    const char *slash = strchr(text, '/');
    size_t length = slash ? (size_t)(slash - text) : 0;
    struct in_addr address;
    unsigned prefix = 0;
    int end = 0;
    if (!slash || length >= sizeof(address_text) ||
        (memcpy(address_text, text, length), address_text[length] = '\0',
         inet_pton(AF_INET, address_text, &address) != 1) ||
        slash[1] < '0' || slash[1] > '9' || sscanf(slash + 1, "%2u%n", &prefix, &end) != 1 ||
        slash[1 + end]) {
        snprintf(error, error_size, "'%s' is not a network: write it as 192.168.100.0/24", text);
        return false;
    }
    if (prefix < SUBNET_MINIMUM_PREFIX || prefix > SUBNET_MAXIMUM_PREFIX) {
        snprintf(error, error_size, "the prefix of '%s' must be from %u to %u", text, SUBNET_MINIMUM_PREFIX,
                 SUBNET_MAXIMUM_PREFIX);
        return false;
    }
    in_addr_t mask = prefix_mask(prefix);
    if (address.s_addr & ~mask) {
        struct in_addr network = {.s_addr = address.s_addr & mask};
        char right[INET_ADDRSTRLEN];
        snprintf(error, error_size, "'%s' is an address, not a network: did you mean %s/%u?", text,
                 inet_ntop(AF_INET, &network, right, sizeof(right)), prefix);
        return false;
    }
    if (is_special(ntohl(address.s_addr), ntohl(mask))) {
        snprintf(error, error_size, "'%s' is reserved and cannot be used for virtual machines", text);
        return false;
    }
    fill(subnet, address.s_addr, mask);
    return true;
}

void subnet_format(const struct subnet *subnet, char text[SUBNET_TEXT_SIZE])
{
    char address[INET_ADDRSTRLEN];
    const struct in_addr network = {.s_addr = subnet->network};
    snprintf(text, SUBNET_TEXT_SIZE, "%s/%u", inet_ntop(AF_INET, &network, address, sizeof(address)),
             (unsigned)__builtin_popcount(subnet->mask));
}

/* Whether a route of the parent leads into the network. */
static bool is_routed(const char *routes, in_addr_t network, in_addr_t mask)
{
    for (const char *line = routes; line && *line; line = strchr(line, '\n'), line = line ? line + 1 : NULL) {
        unsigned destination, gateway, flags, references, use, metric, route_mask;
        /* The kernel prints the fields of addresses as numbers of the machine's byte order. */
        if (sscanf(line, "%*15s %x %x %x %u %u %u %x", &destination, &gateway, &flags, &references, &use,
                   &metric, &route_mask) != 7)
            continue;
        if ((unsigned)__builtin_popcount(route_mask) < EVERYWHERE_PREFIX)
            continue;
        in_addr_t common = mask & route_mask;
        if ((network & common) == (destination & common))
            return true;
    }
    return false;
}

static bool try_range(const char *routes, uint32_t first, uint32_t step, unsigned count,
                      struct subnet *subnet)
{
    const in_addr_t mask = prefix_mask(24);
    for (unsigned i = 0; i < count; i++) {
        in_addr_t network = htonl(first + i * step);
        if (!is_routed(routes, network, mask)) {
            fill(subnet, network, mask);
            return true;
        }
    }
    return false;
}

bool subnet_choose(const char *routes, struct subnet *subnet)
{
    /* From 192.168.100.0/24 up, where home and office routers rarely are; then one network of each larger
     * block. */
    return try_range(routes, 0xC0A86400, 0x100, 155, subnet) ||
           try_range(routes, 0xAC106400, 0x10000, 16, subnet) ||
           try_range(routes, 0x0A006400, 0x10000, 256, subnet);
}
