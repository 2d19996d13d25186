/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "partitions/root/worker/devices/debug_exit.h"
#include "tests/unit/device_fixture.h"

static struct device_fixture fixture;
static struct debug_exit debug_exit;
static uint32_t code;
static unsigned calls;

static void written(void *context, uint32_t value)
{
    assert_ptr_equal(context, &fixture);
    code = value;
    calls++;
}

static int setup(void **state)
{
    (void)state;
    fixture_initialize(&fixture);
    calls = 0;
    return 0;
}

static void values_of_every_width(void **state)
{
    (void)state;
    assert_true(debug_exit_initialize(&debug_exit, &fixture.bus, DEBUG_EXIT_PORT, written, &fixture));
    out8(&fixture, 0xf4, 0x42);
    assert_int_equal(code, 0x42);
    out16(&fixture, 0xf4, 0xabcd);
    assert_int_equal(code, 0xabcd);
    out32(&fixture, 0xf4, 0x89abcdef);
    assert_int_equal(code, 0x89abcdef);
    assert_int_equal(calls, 3);
    assert_int_equal(in32(&fixture, 0xf4), 0);
    out8(&fixture, 0xf3, 1);
    out8(&fixture, 0xf8, 1);
    assert_int_equal(calls, 3);
}

static void another_port(void **state)
{
    struct debug_exit second;

    (void)state;
    assert_true(debug_exit_initialize(&debug_exit, &fixture.bus, 0x501, written, &fixture));
    assert_false(debug_exit_initialize(&second, &fixture.bus, 0x504, written, &fixture));
    out8(&fixture, 0x501, 7);
    assert_int_equal(code, 7);
    assert_int_equal(calls, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(values_of_every_width, setup),
        cmocka_unit_test_setup(another_port, setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
