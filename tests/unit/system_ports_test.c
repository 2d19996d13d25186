/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "partitions/root/worker/devices/system_ports.h"
#include "tests/unit/device_fixture.h"

static struct device_fixture fixture;
static struct system_ports ports;
static bool a20;
static unsigned a20_changes, resets;

static void set_a20(void *context, bool enabled)
{
    (void)context;
    a20 = enabled;
    a20_changes++;
}

static void reset(void *context)
{
    (void)context;
    resets++;
}

static int setup(void **state)
{
    (void)state;
    fixture_initialize(&fixture);
    a20 = false;
    a20_changes = resets = 0;
    assert_true(system_ports_initialize(&ports, &fixture.bus, set_a20, reset, NULL));
    return 0;
}

static void port_92(void **state)
{
    (void)state;
    assert_int_equal(in8(&fixture, 0x92), 0);
    out8(&fixture, 0x92, 0xfe);
    assert_true(a20);
    assert_int_equal(in8(&fixture, 0x92), 0x02);
    out8(&fixture, 0x92, 0x02);
    assert_int_equal(a20_changes, 1);
    out8(&fixture, 0x92, 0x03);
    assert_int_equal(resets, 1);
    out8(&fixture, 0x92, 0x03);
    assert_int_equal(resets, 1); /* no edge */
    out8(&fixture, 0x92, 0x00);
    assert_false(a20);
    assert_int_equal(a20_changes, 2);
}

static void coprocessor_error(void **state)
{
    (void)state;
    out8(&fixture, 0xf0, 0);
    assert_int_equal(fixture.bus.counters[BUS_PORTS].unclaimed_writes, 0);
    assert_int_equal(in8(&fixture, 0xf0), 0xff);
    assert_int_equal(fixture.bus.counters[BUS_PORTS].unclaimed_reads, 0);
}

static void reset_forgets(void **state)
{
    (void)state;
    out8(&fixture, 0x92, 0x02);
    system_ports_reset(&ports);
    assert_int_equal(in8(&fixture, 0x92), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(port_92, setup),
        cmocka_unit_test_setup(coprocessor_error, setup),
        cmocka_unit_test_setup(reset_forgets, setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
