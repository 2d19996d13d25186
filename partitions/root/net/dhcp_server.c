/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/net/dhcp_server.h"

#include <arpa/inet.h>

#define BOOT_REQUEST   1
#define BOOT_REPLY     2
#define FLAG_BROADCAST 0x8000
#define MAGIC_COOKIE   0x63825363u

/* RFC 2131, figure 1, up to the options. */
struct dhcp_header {
    uint8_t operation;
    uint8_t hardware_type;
    uint8_t hardware_length;
    uint8_t hops;
    uint32_t transaction;
    uint16_t seconds;
    uint16_t flags;
    uint32_t client_address;
    uint32_t your_address;
    uint32_t server_address;
    uint32_t relay_address;
    uint8_t client_hardware[16];
    char server_name[64];
    char boot_file[BOOT_FILE_SIZE];
    uint32_t cookie;
} PACKET;
_Static_assert(sizeof(struct dhcp_header) == 240, "RFC 2131");

enum dhcp_message {
    DHCP_DISCOVER = 1,
    DHCP_OFFER,
    DHCP_REQUEST,
    DHCP_DECLINE,
    DHCP_ACK,
    DHCP_NAK,
    DHCP_RELEASE,
    DHCP_INFORM,
};

/* RFC 2132. */
enum dhcp_option {
    OPTION_PAD = 0,
    OPTION_SUBNET_MASK = 1,
    OPTION_ROUTER = 3,
    OPTION_DNS_SERVER = 6,
    OPTION_BROADCAST = 28,
    OPTION_REQUESTED_ADDRESS = 50,
    OPTION_LEASE_TIME = 51,
    OPTION_MESSAGE = 53,
    OPTION_SERVER = 54,
    OPTION_RENEWAL_TIME = 58,
    OPTION_REBINDING_TIME = 59,
    OPTION_BOOT_FILE = 67,
    OPTION_END = 255,
};

/* What matters of a request. */
struct dhcp_request {
    struct dhcp_header header;
    uint8_t message;
    in_addr_t requested; /* 0: none */
    in_addr_t server;    /* 0: none */
};

/* Reads an option's value of exactly `size` bytes; other sizes are as good as absent. */
static void take(const uint8_t *option, void *value, size_t size)
{
    if (option[1] == size)
        memcpy(value, option + 2, size);
}

static bool parse(const void *message, size_t length, struct dhcp_request *request)
{
    *request = (struct dhcp_request){0};
    if (length < sizeof(request->header))
        return false;
    memcpy(&request->header, message, sizeof(request->header));
    if (request->header.operation != BOOT_REQUEST || request->header.hardware_type != 1 ||
        request->header.hardware_length != sizeof(struct mac_address) ||
        request->header.cookie != htonl(MAGIC_COOKIE) || request->header.relay_address != 0)
        return false;

    const uint8_t *option = (const uint8_t *)message + sizeof(request->header);
    const uint8_t *end = (const uint8_t *)message + length;
    while (option < end && *option != OPTION_END) {
        if (*option == OPTION_PAD) {
            option++;
            continue;
        }
        if (end - option < 2 || end - option - 2 < option[1])
            return false;
        if (*option == OPTION_MESSAGE)
            take(option, &request->message, sizeof(request->message));
        else if (*option == OPTION_REQUESTED_ADDRESS)
            take(option, &request->requested, sizeof(request->requested));
        else if (*option == OPTION_SERVER)
            take(option, &request->server, sizeof(request->server));
        option += 2 + option[1];
    }
    return true;
}

static void add_option(struct dhcp_reply *reply, enum dhcp_option option, const void *value, uint8_t size)
{
    uint8_t *to = reply->message + reply->length;
    to[0] = (uint8_t)option;
    to[1] = size;
    memcpy(to + 2, value, size);
    reply->length += 2u + size;
}

static void add_number(struct dhcp_reply *reply, enum dhcp_option option, uint32_t value)
{
    value = htonl(value);
    add_option(reply, option, &value, sizeof(value));
}

static void begin_reply(const struct dhcp_server *server, const struct dhcp_request *request,
                        struct dhcp_reply *reply, enum dhcp_message type)
{
    const struct subnet *subnet = server->leases->subnet;
    *reply = (struct dhcp_reply){.length = sizeof(struct dhcp_header)};
    struct dhcp_header header = {
        .operation = BOOT_REPLY,
        .hardware_type = 1,
        .hardware_length = sizeof(struct mac_address),
        .transaction = request->header.transaction,
        .flags = request->header.flags,
        .cookie = htonl(MAGIC_COOKIE),
    };
    memcpy(header.client_hardware, request->header.client_hardware, sizeof(header.client_hardware));
    memcpy(reply->message, &header, sizeof(header));
    const uint8_t message = (uint8_t)type;
    add_option(reply, OPTION_MESSAGE, &message, sizeof(message));
    add_option(reply, OPTION_SERVER, &subnet->gateway, sizeof(subnet->gateway));
}

/*
 * What to boot, for those who ask by BOOTP's field and for those who ask by an option. Who needs a server to
 * it finds the gateway's address (RFC 2131, table 3: siaddr).
 */
static void add_boot_file(const struct dhcp_server *server, struct dhcp_reply *reply)
{
    struct dhcp_header *header = (struct dhcp_header *)reply->message;
    size_t length;
    if (!server->boot_file)
        return;
    length = strnlen(server->boot_file, sizeof(header->boot_file) - 1);
    memcpy(header->boot_file, server->boot_file, length);
    header->server_address = server->leases->subnet->gateway;
    add_option(reply, OPTION_BOOT_FILE, server->boot_file, (uint8_t)length);
}

/* The network's parameters, and where the reply goes. */
static void finish_reply(const struct dhcp_server *server, const struct dhcp_request *request,
                         struct dhcp_reply *reply, in_addr_t address, bool with_lease)
{
    const struct subnet *subnet = server->leases->subnet;
    struct dhcp_header *header = (struct dhcp_header *)reply->message;
    if (with_lease) {
        header->your_address = address;
        add_number(reply, OPTION_LEASE_TIME, LEASE_TIME);
        add_number(reply, OPTION_RENEWAL_TIME, LEASE_TIME / 2);
        add_number(reply, OPTION_REBINDING_TIME, LEASE_TIME / 8 * 7);
    }
    add_option(reply, OPTION_SUBNET_MASK, &subnet->mask, sizeof(subnet->mask));
    add_option(reply, OPTION_BROADCAST, &subnet->broadcast, sizeof(subnet->broadcast));
    add_option(reply, OPTION_ROUTER, &subnet->gateway, sizeof(subnet->gateway));
    add_option(reply, OPTION_DNS_SERVER, &subnet->gateway, sizeof(subnet->gateway));
    add_boot_file(server, reply);
    reply->message[reply->length++] = OPTION_END;
    header->client_address = request->header.client_address;
    /* RFC 2131, 4.1. */
    reply->broadcast = !request->header.client_address && (request->header.flags & htons(FLAG_BROADCAST));
    reply->destination = reply->broadcast ? INADDR_BROADCAST : address;
}

static void refuse(const struct dhcp_server *server, const struct dhcp_request *request,
                   struct dhcp_reply *reply)
{
    begin_reply(server, request, reply, DHCP_NAK);
    reply->message[reply->length++] = OPTION_END;
    reply->broadcast = true;
    reply->destination = INADDR_BROADCAST;
}

static bool discover(struct dhcp_server *server, const struct mac_address *mac,
                     const struct dhcp_request *request, uint64_t now, struct dhcp_reply *reply)
{
    const struct lease *lease = lease_assign(server->leases, mac, request->requested, now);
    if (!lease) {
        server->refused++;
        return false;
    }
    begin_reply(server, request, reply, DHCP_OFFER);
    finish_reply(server, request, reply, lease->address, true);
    return true;
}

/* Selecting, after a reboot, renewing or rebinding: RFC 2131, 4.3.2. */
static bool request_address(struct dhcp_server *server, const struct mac_address *mac,
                            const struct dhcp_request *request, uint64_t now, struct dhcp_reply *reply)
{
    if (request->server && request->server != server->leases->subnet->gateway)
        return false; /* it chose another server */
    in_addr_t address = request->requested ? request->requested : request->header.client_address;
    struct lease *lease = lease_assign(server->leases, mac, address, now);
    if (!lease)
        server->refused++;
    if (!lease || lease->address != address) {
        refuse(server, request, reply);
        return true;
    }
    lease->expires = now + LEASE_TIME;
    begin_reply(server, request, reply, DHCP_ACK);
    finish_reply(server, request, reply, address, true);
    return true;
}

bool dhcp_server_input(struct dhcp_server *server, const struct mac_address *mac, const void *message,
                       size_t length, uint64_t now, struct dhcp_reply *reply)
{
    struct dhcp_request request;
    struct lease *lease;
    if (!parse(message, length, &request) || memcmp(request.header.client_hardware, mac, sizeof(*mac)) != 0)
        return false;
    switch (request.message) {
    case DHCP_DISCOVER:
        return discover(server, mac, &request, now, reply);
    case DHCP_REQUEST:
        return request_address(server, mac, &request, now, reply);
    case DHCP_DECLINE:
        lease = lease_find(server->leases, mac);
        if (lease && lease->address == request.requested)
            lease_decline(server->leases, mac, now);
        return false;
    case DHCP_RELEASE: /* the binding stays, and may be given to another when addresses are short */
        lease = lease_find(server->leases, mac);
        if (lease)
            lease->expires = now;
        return false;
    case DHCP_INFORM:
        if (!subnet_is_host(server->leases->subnet, request.header.client_address))
            return false;
        begin_reply(server, &request, reply, DHCP_ACK);
        finish_reply(server, &request, reply, request.header.client_address, false);
        return true;
    default:
        return false;
    }
}
