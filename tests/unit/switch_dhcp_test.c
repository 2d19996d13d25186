/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The lease table and the DHCP server of loam-switch. */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "partitions/root/net/dhcp_server.h"

#define NOW 1000u

static struct subnet subnet;
static struct lease_table leases;
static struct dhcp_server server;
static in_addr_t squatted; /* used by somebody without a lease */

static bool in_use(void *context, in_addr_t address, const struct mac_address *mac)
{
    (void)context;
    (void)mac;
    return address == squatted;
}

static struct mac_address mac_number(unsigned number)
{
    return (struct mac_address){
        {0x00, 0x15, 0x5D, 0x01, (uint8_t)(number >> 8), (uint8_t)number}
    };
}

static void begin(const char *network)
{
    char error[100];
    assert_true(subnet_parse(network, &subnet, error, sizeof(error)));
    assert_int_equal(lease_table_initialize(&leases, &subnet, in_use, NULL), 0);
    server = (struct dhcp_server){.leases = &leases};
    squatted = 0;
}

static int end(void **state)
{
    (void)state;
    lease_table_free(&leases);
    return 0;
}

/* A request being written; `options` ends it. */
struct message {
    uint8_t bytes[400];
    size_t length;
};

static struct message request(uint8_t type, struct mac_address mac)
{
    struct message message = {.length = 240};
    memcpy(message.bytes, (uint8_t[]){1, 1, 6, 0, 0xDE, 0xAD, 0xBE, 0xEF}, 8);
    memcpy(message.bytes + 28, &mac, sizeof(mac));
    memcpy(message.bytes + 236, (uint8_t[]){0x63, 0x82, 0x53, 0x63}, 4);
    memcpy(message.bytes + 240, (uint8_t[]){53, 1, type}, 3);
    message.length = 243;
    return message;
}

static void add_address(struct message *message, uint8_t option, in_addr_t address)
{
    message->bytes[message->length] = option;
    message->bytes[message->length + 1] = 4;
    memcpy(message->bytes + message->length + 2, &address, 4);
    message->length += 6;
}

static bool serve(struct message message, struct mac_address mac, struct dhcp_reply *reply)
{
    message.bytes[message.length++] = 255;
    /* On the heap, so that reading past the end is found. */
    uint8_t *exact = malloc(message.length);
    memcpy(exact, message.bytes, message.length);
    bool answered = dhcp_server_input(&server, &mac, exact, message.length, NOW, reply);
    free(exact);
    return answered;
}

/* An option's value in a reply, which must be there. */
static const uint8_t *option(const struct dhcp_reply *reply, uint8_t wanted, uint8_t size)
{
    const uint8_t *at = reply->message + 240;
    while (*at != 255) {
        assert_true(at + 2 + at[1] < reply->message + reply->length);
        if (*at == wanted) {
            assert_int_equal(at[1], size);
            return at + 2;
        }
        at += 2 + at[1];
    }
    fail_msg("option %u is missing", wanted);
    return NULL;
}

static in_addr_t address_option(const struct dhcp_reply *reply, uint8_t wanted)
{
    in_addr_t address;
    memcpy(&address, option(reply, wanted, 4), 4);
    return address;
}

static in_addr_t your_address(const struct dhcp_reply *reply)
{
    in_addr_t address;
    memcpy(&address, reply->message + 16, 4);
    return address;
}

/* The whole exchange of a new client. */
static in_addr_t obtain(unsigned number)
{
    struct mac_address mac = mac_number(number);
    struct dhcp_reply reply;
    assert_true(serve(request(1, mac), mac, &reply));
    assert_int_equal(*option(&reply, 53, 1), 2);
    in_addr_t address = your_address(&reply);
    struct message second = request(3, mac);
    add_address(&second, 50, address);
    add_address(&second, 54, subnet.gateway);
    assert_true(serve(second, mac, &reply));
    assert_int_equal(*option(&reply, 53, 1), 5);
    assert_int_equal(your_address(&reply), address);
    return address;
}

static void test_exchange(void **state)
{
    (void)state;
    begin("192.168.100.0/24");
    struct mac_address mac = mac_number(1);
    struct dhcp_reply reply;
    assert_true(serve(request(1, mac), mac, &reply));
    assert_memory_equal(reply.message, ((uint8_t[]){2, 1, 6, 0, 0xDE, 0xAD, 0xBE, 0xEF}), 8);
    assert_memory_equal(reply.message + 28, &mac, sizeof(mac));
    assert_int_equal(*option(&reply, 53, 1), 2);
    assert_int_equal(address_option(&reply, 54), subnet.gateway);
    assert_int_equal(address_option(&reply, 1), inet_addr("255.255.255.0"));
    assert_int_equal(address_option(&reply, 3), subnet.gateway);
    assert_int_equal(address_option(&reply, 6), subnet.gateway);
    assert_int_equal(ntohl(address_option(&reply, 51)), LEASE_TIME);
    assert_int_equal(your_address(&reply), inet_addr("192.168.100.2"));
    assert_false(reply.broadcast);
    assert_int_equal(reply.destination, inet_addr("192.168.100.2"));
    assert_in_range(reply.length, 241, DHCP_REPLY_SIZE);

    assert_int_equal(obtain(1), inet_addr("192.168.100.2"));
    assert_int_equal(lease_find(&leases, &mac)->expires, NOW + LEASE_TIME);
    assert_int_equal(obtain(2), inet_addr("192.168.100.3"));
    assert_int_equal(obtain(1), inet_addr("192.168.100.2"));
    assert_int_equal(leases.count, 2);
}

static void expect_boot_file(const struct dhcp_reply *reply, const char *file)
{
    in_addr_t next_server;
    memcpy(&next_server, reply->message + 20, 4);
    assert_int_equal(next_server, subnet.gateway);
    assert_string_equal((const char *)reply->message + 108, file);
    assert_memory_equal(option(reply, 67, (uint8_t)strlen(file)), file, strlen(file));
    assert_in_range(reply->length, 241, DHCP_REPLY_SIZE);
}

static void test_boot_file(void **state)
{
    (void)state;
    char longest[BOOT_FILE_SIZE];
    memset(longest, 'x', sizeof(longest) - 1);
    longest[sizeof(longest) - 1] = '\0';
    const char *files[] = {"http://192.168.100.1/boot.ipxe", longest};
    begin("192.168.100.0/24");
    struct mac_address mac = mac_number(1);
    struct dhcp_reply reply;
    assert_true(serve(request(1, mac), mac, &reply));
    for (unsigned i = 20; i < 24; i++)
        assert_int_equal(reply.message[i], 0);
    assert_int_equal(reply.message[108], 0);

    for (unsigned i = 0; i < 2; i++) {
        server.boot_file = files[i];
        assert_true(serve(request(1, mac), mac, &reply));
        expect_boot_file(&reply, files[i]);
        struct message second = request(3, mac);
        add_address(&second, 50, your_address(&reply));
        assert_true(serve(second, mac, &reply));
        assert_int_equal(*option(&reply, 53, 1), 5);
        expect_boot_file(&reply, files[i]);
    }
    /* A refusal says no more than that. */
    struct message wrong = request(3, mac);
    add_address(&wrong, 50, inet_addr("10.0.0.1"));
    assert_true(serve(wrong, mac, &reply));
    assert_int_equal(*option(&reply, 53, 1), 6);
    assert_int_equal(reply.message[108], 0);
}

static void test_valid_boot_files(void **state)
{
    (void)state;
    char text[BOOT_FILE_SIZE + 1];
    memset(text, 'x', sizeof(text) - 1);
    text[BOOT_FILE_SIZE] = '\0';
    assert_false(boot_file_is_valid(text));
    text[BOOT_FILE_SIZE - 1] = '\0';
    assert_true(boot_file_is_valid(text));
    assert_true(boot_file_is_valid("!"));
    assert_true(boot_file_is_valid("~"));
    assert_false(boot_file_is_valid(""));
    assert_false(boot_file_is_valid("a b"));
    assert_false(boot_file_is_valid("a\n"));
    assert_false(boot_file_is_valid("\x7f"));
    assert_false(boot_file_is_valid("\xc3\xa4"));
}

static void test_broadcast_flag(void **state)
{
    (void)state;
    begin("192.168.100.0/24");
    struct mac_address mac = mac_number(1);
    struct message message = request(1, mac);
    struct dhcp_reply reply;
    message.bytes[10] = 0x80;
    assert_true(serve(message, mac, &reply));
    assert_true(reply.broadcast);
    assert_int_equal(reply.destination, INADDR_BROADCAST);
}

static void test_request_states(void **state)
{
    (void)state;
    begin("192.168.100.0/24");
    struct mac_address mac = mac_number(1);
    struct dhcp_reply reply;
    in_addr_t address = obtain(1);

    struct message renew = request(3, mac); /* renewing: in ciaddr */
    memcpy(renew.bytes + 12, &address, 4);
    assert_true(serve(renew, mac, &reply));
    assert_int_equal(*option(&reply, 53, 1), 5);
    assert_int_equal(reply.destination, address);

    struct message reboot = request(3, mac); /* with another network's address, after a move */
    add_address(&reboot, 50, inet_addr("10.1.2.3"));
    assert_true(serve(reboot, mac, &reply));
    assert_int_equal(*option(&reply, 53, 1), 6);
    assert_true(reply.broadcast);
    assert_int_equal(your_address(&reply), 0);

    struct message other = request(3, mac); /* to another server */
    add_address(&other, 50, address);
    add_address(&other, 54, inet_addr("192.168.100.9"));
    assert_false(serve(other, mac, &reply));

    struct message inform = request(8, mac);
    memcpy(inform.bytes + 12, &address, 4);
    assert_true(serve(inform, mac, &reply));
    assert_int_equal(*option(&reply, 53, 1), 5);
    assert_int_equal(your_address(&reply), 0);

    assert_false(serve(request(7, mac), mac, &reply)); /* release: the binding stays */
    assert_int_equal(obtain(1), address);
}

static void test_wanted_address(void **state)
{
    (void)state;
    begin("192.168.100.0/24");
    struct mac_address mac = mac_number(1);
    struct message message = request(1, mac);
    struct dhcp_reply reply;
    add_address(&message, 50, inet_addr("192.168.100.77"));
    assert_true(serve(message, mac, &reply));
    assert_int_equal(your_address(&reply), inet_addr("192.168.100.77"));
    static const char *const impossible[] = {"192.168.100.1", "192.168.100.0", "192.168.100.255",
                                             "192.168.100.77", "192.168.101.5"};
    for (unsigned i = 0; i < 5; i++) {
        struct mac_address next = mac_number(i + 2);
        struct message wish = request(1, next);
        add_address(&wish, 50, inet_addr(impossible[i]));
        assert_true(serve(wish, next, &reply));
        assert_int_equal(ntohl(your_address(&reply)), ntohl(inet_addr("192.168.100.2")) + i);
    }
}

static void test_decline(void **state)
{
    (void)state;
    begin("192.168.100.0/24");
    struct mac_address mac = mac_number(1);
    struct dhcp_reply reply;
    in_addr_t address = obtain(1);
    struct message decline = request(4, mac);
    add_address(&decline, 50, address);
    assert_false(serve(decline, mac, &reply));
    assert_int_not_equal(obtain(1), address);
    assert_int_not_equal(obtain(2), address);
    assert_null(lease_find_address(&leases, address));
}

static void test_squatter(void **state)
{
    (void)state;
    begin("192.168.100.0/24");
    squatted = inet_addr("192.168.100.2");
    assert_int_equal(obtain(1), inet_addr("192.168.100.3"));
}

static void test_exhaustion(void **state)
{
    (void)state;
    begin("192.168.100.0/29"); /* five addresses */
    for (unsigned i = 0; i < 5; i++)
        obtain(i);
    struct mac_address mac = mac_number(5);
    struct dhcp_reply reply;
    assert_false(serve(request(1, mac), mac, &reply));
    assert_int_equal(server.refused, 1);
    /* The lease that has ended gives its address up. */
    struct mac_address second = mac_number(1);
    in_addr_t address = lease_find(&leases, &second)->address;
    assert_false(serve(request(7, second), second, &reply));
    assert_int_equal(obtain(5), address);
    assert_int_equal(leases.count, 5);
    assert_null(lease_find(&leases, &second));
}

static void test_malformed(void **state)
{
    (void)state;
    begin("192.168.100.0/24");
    struct mac_address mac = mac_number(1);
    struct message good = request(1, mac);
    struct dhcp_reply reply;
    good.bytes[good.length++] = 255;
    for (size_t length = 0; length < 242; length++) {
        uint8_t *cut = malloc(length + 1);
        memcpy(cut, good.bytes, length);
        assert_false(dhcp_server_input(&server, &mac, cut, length, NOW, &reply));
        free(cut);
    }
    static const struct {
        size_t offset;
        uint8_t value;
    } damages[] = {
        {0,   2  },
        {1,   6  },
        {2,   16 },
        {24,  1  },
        {28,  1  },
        {236, 0  },
        {242, 9  },
        {242, 0  },
        {241, 200},
        {241, 2  }
    };
    for (size_t i = 0; i < sizeof(damages) / sizeof(damages[0]); i++) {
        struct message bad = good;
        bad.bytes[damages[i].offset] = damages[i].value;
        assert_false(dhcp_server_input(&server, &mac, bad.bytes, bad.length, NOW, &reply));
    }
    assert_int_equal(leases.count, 0);
    /* Somebody else's hardware address. */
    struct mac_address other = mac_number(2);
    assert_false(dhcp_server_input(&server, &other, good.bytes, good.length, NOW, &reply));
}

static void test_file(void **state)
{
    (void)state;
    begin("192.168.100.0/24");
    char path[] = "/tmp/leases-XXXXXX", error[200];
    int descriptor = mkstemp(path);
    assert_true(descriptor >= 0);
    close(descriptor);
    for (unsigned i = 0; i < 40; i++)
        obtain(i);
    assert_true(leases.changed);
    assert_int_equal(lease_save(&leases, path), 0);
    assert_false(leases.changed);
    in_addr_t addresses[40];
    for (unsigned i = 0; i < 40; i++)
        addresses[i] = obtain(i);
    end(NULL);

    begin("192.168.100.0/24");
    assert_true(lease_load(&leases, path, error, sizeof(error)));
    assert_string_equal(error, "");
    assert_int_equal(leases.count, 40);
    for (unsigned i = 40; i-- > 0;)
        assert_int_equal(obtain(i), addresses[i]);
    end(NULL);

    begin("10.9.0.0/16"); /* leases of the network that was */
    assert_true(lease_load(&leases, path, error, sizeof(error)));
    assert_int_equal(leases.count, 0);
    unlink(path);
    assert_true(lease_load(&leases, path, error, sizeof(error)));
    assert_false(lease_load(&leases, "/", error, sizeof(error)));
    assert_int_not_equal(lease_save(&leases, "/nowhere/leases"), 0);
}

static void test_damaged_file(void **state)
{
    (void)state;
    begin("192.168.100.0/24");
    char text[] = "# leases\n"
                  "00-15-5D-01-00-01 192.168.100.9\n"
                  "\n"
                  "00-15-5D-01-00 192.168.100.10\n"
                  "00-15-5D-01-00-02 192.168.100.10 more\n"
                  "00-15-5D-01-00-02 192.168.100.256\n"
                  "00-15-5D-01-00-02 192.168.100.9\n"  /* taken */
                  "00-15-5D-01-00-01 192.168.100.11\n" /* a second one */
                  "00-15-5D-01-00-02 192.168.100.1\n"  /* the gateway's */
                  "\x01\xFF\n"
                  "00-15-5D-01-00-03 192.168.100.12";
    unsigned bad_line = 0;
    assert_int_equal(lease_parse(&leases, text, &bad_line), 4);
    assert_int_equal(bad_line, 4);
    assert_int_equal(leases.count, 2);
    assert_int_equal(obtain(1), inet_addr("192.168.100.9"));
    assert_int_equal(obtain(3), inet_addr("192.168.100.12"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_exchange, end),
        cmocka_unit_test_teardown(test_boot_file, end),
        cmocka_unit_test(test_valid_boot_files),
        cmocka_unit_test_teardown(test_broadcast_flag, end),
        cmocka_unit_test_teardown(test_request_states, end),
        cmocka_unit_test_teardown(test_wanted_address, end),
        cmocka_unit_test_teardown(test_decline, end),
        cmocka_unit_test_teardown(test_squatter, end),
        cmocka_unit_test_teardown(test_exhaustion, end),
        cmocka_unit_test_teardown(test_malformed, end),
        cmocka_unit_test_teardown(test_file, end),
        cmocka_unit_test_teardown(test_damaged_file, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
