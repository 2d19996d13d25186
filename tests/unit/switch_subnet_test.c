/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Small parts of loam-switch: networks, checksums, rates, rules of forwarding. */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "partitions/root/net/checksum.h"
#include "partitions/root/net/forward.h"
#include "partitions/root/net/rate_limit.h"
#include "partitions/root/net/subnet.h"

#define HEADING "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"

static void expect_choice(const char *routes, const char *expected)
{
    struct subnet subnet;
    char text[SUBNET_TEXT_SIZE];
    assert_true(subnet_choose(routes, &subnet));
    subnet_format(&subnet, text);
    assert_string_equal(text, expected);
}

static void test_choose(void **state)
{
    (void)state;
    expect_choice("", "192.168.100.0/24");
    expect_choice(HEADING, "192.168.100.0/24");
    /* A default route, and halves of it, lead everywhere and mean nothing. */
    expect_choice(HEADING "eth0\t00000000\t0101A8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n", "192.168.100.0/24");
    expect_choice(HEADING "tun0\t00000080\t0101A8C0\t0003\t0\t0\t0\t00000080\t0\t0\t0\n", "192.168.100.0/24");
    /* 192.168.100.0/24 itself; 192.168.101.128/25; all of 192.168.0.0/16. */
    expect_choice(HEADING "eth0\t0064A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n", "192.168.101.0/24");
    expect_choice(HEADING "eth0\t0064A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"
                          "eth1\t8065A8C0\t00000000\t0001\t0\t0\t0\t80FFFFFF\t0\t0\t0\n",
                  "192.168.102.0/24");
    expect_choice(HEADING "eth0\t0000A8C0\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0", "172.16.100.0/24");
}

static void test_choose_none(void **state)
{
    (void)state;
    struct subnet subnet;
    assert_false(subnet_choose(HEADING "a\t0000A8C0\t0\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n"
                                       "b\t000010AC\t0\t0001\t0\t0\t0\t0000F0FF\t0\t0\t0\n"
                                       "c\t0000000A\t0\t0001\t0\t0\t0\t000000FF\t0\t0\t0\n",
                               &subnet));
}

static void test_parse(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "192.168.1.0",
        "192.168.1.0/",
        "192.168.1.0/x",
        "192.168.1.0/24x",
        "192.168.1.0/-1",
        "/24",
        "192.168.1.0/15",
        "192.168.1.0/30",
        "192.168.1.0/240",
        "192.168.1/24",
        "192.168.1.0/ 24",
        "10.0.0.1/24",
        "127.0.0.0/24",
        "224.0.0.0/24",
        "169.254.0.0/16",
        "0.0.0.0/16",
        "255.255.255.0/24",
        "1234567890.1234567890/24",
    };
    struct subnet subnet;
    char error[256];
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        error[0] = '\0';
        assert_false(subnet_parse(bad[i], &subnet, error, sizeof(error)));
        assert_true(error[0]);
    }
    assert_false(subnet_parse("10.0.0.1/24", &subnet, error, sizeof(error)));
    assert_non_null(strstr(error, "10.0.0.0/24"));

    assert_true(subnet_parse("172.20.16.0/20", &subnet, error, sizeof(error)));
    assert_int_equal(subnet.gateway, inet_addr("172.20.16.1"));
    assert_int_equal(subnet.broadcast, inet_addr("172.20.31.255"));
    assert_true(subnet_contains(&subnet, inet_addr("172.20.31.1")));
    assert_false(subnet_contains(&subnet, inet_addr("172.20.32.1")));
    assert_true(subnet_is_host(&subnet, inet_addr("172.20.16.2")));
    assert_false(subnet_is_host(&subnet, subnet.gateway));
    assert_false(subnet_is_host(&subnet, subnet.network));
    assert_false(subnet_is_host(&subnet, subnet.broadcast));
}

/* RFC 1071 as it is written. */
static uint16_t plain_checksum(const uint8_t *data, size_t length)
{
    uint32_t sum = 0;
    for (size_t i = 0; i < length; i += 2)
        sum += (uint32_t)data[i] << 8 | (i + 1 < length ? data[i + 1] : 0);
    while (sum >> 16)
        sum = (sum & 0xFFFF) + (sum >> 16);
    return htons((uint16_t)sum);
}

static void test_checksum(void **state)
{
    (void)state;
    uint8_t data[4096];
    srand(1);
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t)rand();
    for (size_t length = 0; length < 300; length++)
        for (size_t offset = 0; offset < 9; offset++)
            assert_int_equal(checksum_add(0, data + offset, length), plain_checksum(data + offset, length));
    memset(data, 0xFF, sizeof(data)); /* every addition carries */
    assert_int_equal(checksum_add(0, data, sizeof(data)), 0xFFFF);
    /* In parts. */
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t)rand();
    assert_int_equal(checksum_add(checksum_add(0, data, 1000), data + 1000, 3096),
                     plain_checksum(data, 4096));
}

static void test_rate(void **state)
{
    (void)state;
    struct rate_limit limit = {0};
    unsigned passed = 0;
    for (unsigned i = 0; i < 100; i++)
        passed += rate_limit_take(&limit, 1000000, 10, 20);
    assert_int_equal(passed, 20); /* the burst */
    assert_false(rate_limit_take(&limit, 1000099, 10, 20));
    assert_true(rate_limit_take(&limit, 1000100, 10, 20)); /* one each 100 ms */
    passed = 0;
    for (uint64_t now = 1000100; now < 1010100; now += 10)
        passed += rate_limit_take(&limit, now, 10, 20);
    assert_in_range(passed, 98, 101);
    passed = 0;
    for (unsigned i = 0; i < 100; i++)
        passed += rate_limit_take(&limit, UINT64_MAX - 5, 10, 20);
    assert_int_equal(passed, 20);
}

static void test_forward_rules(void **state)
{
    (void)state;
    static const char *const good[] = {
        "tcp:8080:192.168.100.2:80",
        "udp:127.0.0.1:53:192.168.100.2:5353",
        "tcp:65535:00-15-5D-01-02-03:1",
    };
    static const char *const bad[] = {
        "",
        "tcp",
        "tcp:80",
        "sctp:80:192.168.100.2:80",
        "tcp:0:192.168.100.2:80",
        "tcp:65536:192.168.100.2:80",
        "tcp:80:192.168.100.2:",
        "tcp:80x:192.168.100.2:80",
        "tcp:-80:192.168.100.2:80",
        "tcp:80:192.168.100:80",
        "tcp:80:00-15-5D-01-02:80",
        "tcp:host:80:192.168.100.2:80",
        "tcp:1.2.3.4:80:192.168.100.2:80:1",
        "tcp:80:192.168.100.2:80:::::::::::::::::::::::::::::::::::::::::::::::::::::::::::::::::::::::::::",
    };
    struct forward_rule rule;
    char error[256], text[FORWARD_TEXT_SIZE];
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_true(forward_parse(good[i], &rule, error, sizeof(error)));
        forward_format(&rule, text);
        assert_string_equal(text, good[i]);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        error[0] = '\0';
        assert_false(forward_parse(bad[i], &rule, error, sizeof(error)));
        assert_true(error[0]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_choose), cmocka_unit_test(test_choose_none),
        cmocka_unit_test(test_parse),  cmocka_unit_test(test_checksum),
        cmocka_unit_test(test_rate),   cmocka_unit_test(test_forward_rules),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
