/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "partitions/root/worker/devices/debug_port.h"
#include "tests/unit/device_fixture.h"

static struct device_fixture fixture;
static struct debug_port port;
static uint8_t said[64];
static size_t said_length;

static void listen(void *context, const uint8_t *characters, size_t length)
{
    assert_ptr_equal(context, said);
    assert_in_range(length, 1, sizeof said - said_length);
    memcpy(said + said_length, characters, length);
    said_length += length;
}

static void it_is_found_and_heard(void **state)
{
    (void)state;
    fixture_initialize(&fixture);
    assert_true(debug_port_initialize(&port, &fixture.bus, listen, said));
    assert_int_equal(in8(&fixture, 0x402), 0xe9);
    out8(&fixture, 0x402, 'S');
    out8(&fixture, 0x402, 'e');
    assert_int_equal(bus_block_out(&fixture.bus, 0x402, 1, "aBIOS", 5), 5);
    out16(&fixture, 0x402, '!'); /* the other half has no device */
    assert_int_equal(said_length, 8);
    assert_memory_equal(said, "SeaBIOS!", 8);
    assert_false(debug_port_initialize(&port, &fixture.bus, listen, said));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_found_and_heard),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
