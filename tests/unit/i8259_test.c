/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "partitions/root/worker/devices/i8259.h"
#include "tests/unit/device_fixture.h"

#define VECTORS_1 0x30
#define VECTORS_2 0x38

#define EOI          0x20
#define SPECIFIC_EOI 0x60

static struct device_fixture fixture;
static struct i8259_pair pair;
static bool intr;
static unsigned intr_calls;

static void interrupt_request(void *context, bool level)
{
    (void)context;
    assert_true(level != intr); /* only changes are told */
    intr = level;
    intr_calls++;
}

static void initialize_chips(uint8_t icw4_first, uint8_t icw4_second)
{
    out8(&fixture, 0x20, 0x11);
    out8(&fixture, 0x21, VECTORS_1);
    out8(&fixture, 0x21, 0x04);
    out8(&fixture, 0x21, icw4_first);
    out8(&fixture, 0xa0, 0x11);
    out8(&fixture, 0xa1, VECTORS_2);
    out8(&fixture, 0xa1, 0x02);
    out8(&fixture, 0xa1, icw4_second);
}

static int setup(void **state)
{
    (void)state;
    fixture_initialize(&fixture);
    intr = false;
    assert_true(i8259_initialize(&pair, &fixture.bus, interrupt_request, NULL));
    initialize_chips(0x01, 0x01);
    return 0;
}

static void pulse(unsigned irq)
{
    i8259_set(&pair, irq, true);
    i8259_set(&pair, irq, false);
}

static uint8_t read_irr(uint16_t port)
{
    out8(&fixture, port, 0x0a);
    return in8(&fixture, port);
}

static uint8_t read_isr(uint16_t port)
{
    out8(&fixture, port, 0x0b);
    return in8(&fixture, port);
}

static void nothing_comes_before_initialization(void **state)
{
    (void)state;
    i8259_reset(&pair);
    pulse(1);
    assert_false(intr);
    out8(&fixture, 0x20, 0x11); /* half way through */
    out8(&fixture, 0x21, VECTORS_1);
    pulse(1);
    assert_false(intr);
    out8(&fixture, 0x21, 0x04);
    out8(&fixture, 0x21, 0x01);
    assert_true(intr);
}

static void an_edge_interrupts_once(void **state)
{
    (void)state;
    i8259_set(&pair, 4, true);
    assert_true(intr);
    assert_int_equal(read_irr(0x20), 0x10);
    assert_int_equal(i8259_acknowledge(&pair), VECTORS_1 + 4);
    assert_false(intr);
    assert_int_equal(read_irr(0x20), 0);
    assert_int_equal(read_isr(0x20), 0x10);
    i8259_set(&pair, 4, true); /* no edge */
    out8(&fixture, 0x20, EOI);
    assert_int_equal(read_isr(0x20), 0);
    assert_false(intr);
    i8259_set(&pair, 4, false);
    i8259_set(&pair, 4, true);
    assert_true(intr);
}

static void an_edge_outlives_its_line(void **state)
{
    (void)state;
    pulse(0);
    assert_true(intr);
    assert_int_equal(i8259_acknowledge(&pair), VECTORS_1);
}

static void the_second_chip_goes_through_input_2(void **state)
{
    (void)state;
    pulse(14);
    assert_true(intr);
    assert_int_equal(read_irr(0x20), 0x04);
    assert_int_equal(read_irr(0xa0), 0x40);
    assert_int_equal(i8259_acknowledge(&pair), VECTORS_2 + 6);
    assert_int_equal(read_isr(0x20), 0x04);
    assert_int_equal(read_isr(0xa0), 0x40);
    /* Higher on the second chip, but the first has its cascade in service: it must wait. */
    pulse(8);
    assert_false(intr);
    out8(&fixture, 0xa0, EOI);
    assert_false(intr);
    out8(&fixture, 0x20, EOI);
    assert_true(intr);
    assert_int_equal(i8259_acknowledge(&pair), VECTORS_2);
}

static void priorities(void **state)
{
    /* In falling order. */
    static const uint8_t order[] = {0, 1, 8, 9, 10, 11, 12, 13, 14, 15, 3, 4, 5, 6, 7};

    (void)state;
    for (unsigned irq = 0; irq < 16; irq++)
        if (irq != 2)
            pulse(irq);
    for (unsigned i = 0; i < sizeof order; i++) {
        uint8_t vector = order[i] < 8 ? VECTORS_1 + order[i] : VECTORS_2 + order[i] - 8;

        assert_true(intr);
        assert_int_equal(i8259_acknowledge(&pair), vector);
        if (order[i] >= 8)
            out8(&fixture, 0xa0, EOI);
        out8(&fixture, 0x20, EOI);
    }
    assert_false(intr);
}

static void a_higher_interrupt_nests(void **state)
{
    (void)state;
    pulse(4);
    assert_int_equal(i8259_acknowledge(&pair), VECTORS_1 + 4);
    pulse(5);
    assert_false(intr);
    pulse(1);
    assert_true(intr);
    assert_int_equal(i8259_acknowledge(&pair), VECTORS_1 + 1);
    assert_int_equal(read_isr(0x20), 0x12);
    out8(&fixture, 0x20, EOI); /* the highest */
    assert_int_equal(read_isr(0x20), 0x10);
    out8(&fixture, 0x20, SPECIFIC_EOI | 4);
    assert_true(intr);
    assert_int_equal(i8259_acknowledge(&pair), VECTORS_1 + 5);
}

static void masks(void **state)
{
    (void)state;
    out8(&fixture, 0x21, 0x10);
    assert_int_equal(in8(&fixture, 0x21), 0x10);
    i8259_set(&pair, 4, true);
    assert_false(intr);
    out8(&fixture, 0x21, 0x00);
    assert_true(intr);
    out8(&fixture, 0x21, 0xff);
    assert_false(intr);
    /* The cascade can be masked as well. */
    out8(&fixture, 0x21, 0x04);
    i8259_set(&pair, 4, false);
    assert_int_equal(i8259_acknowledge(&pair), VECTORS_1 + 4);
    out8(&fixture, 0x20, EOI);
    pulse(9);
    assert_false(intr);
    out8(&fixture, 0x21, 0x00);
    assert_true(intr);
}

static void spurious(void **state)
{
    (void)state;
    out8(&fixture, 0x4d1, 0x04); /* IRQ 10 by level */
    i8259_set(&pair, 10, true);
    assert_true(intr);
    i8259_set(&pair, 10, false);
    assert_false(intr);
    assert_int_equal(i8259_acknowledge(&pair), VECTORS_1 + 7);
    assert_int_equal(read_isr(0x20), 0);
    assert_int_equal(read_isr(0xa0), 0);
}

static void level_triggered_inputs_follow_their_line(void **state)
{
    (void)state;
    out8(&fixture, 0x4d0, 0xff);
    out8(&fixture, 0x4d1, 0xff);
    assert_int_equal(in8(&fixture, 0x4d0), 0xf8); /* 0 to 2, 8 and 13 are always edges */
    assert_int_equal(in16(&fixture, 0x4d0), 0xdef8);
    i8259_set(&pair, 11, true);
    assert_int_equal(i8259_acknowledge(&pair), VECTORS_2 + 3);
    assert_int_equal(read_irr(0xa0), 0x08);
    assert_false(intr);
    out8(&fixture, 0xa0, EOI);
    out8(&fixture, 0x20, EOI);
    assert_true(intr); /* still asserted */
    assert_int_equal(i8259_acknowledge(&pair), VECTORS_2 + 3);
    i8259_set(&pair, 11, false);
    out8(&fixture, 0xa0, EOI);
    out8(&fixture, 0x20, EOI);
    assert_false(intr);
    /* Changing the mode under a line that is asserted. */
    out8(&fixture, 0x4d0, 0x00);
    i8259_set(&pair, 5, true);
    assert_int_equal(i8259_acknowledge(&pair), VECTORS_1 + 5);
    out8(&fixture, 0x20, EOI);
    assert_false(intr);
    out8(&fixture, 0x4d0, 0x20);
    assert_true(intr);
    out8(&fixture, 0x4d0, 0x00);
    assert_false(intr);
}

static void rotation(void **state)
{
    (void)state;
    pulse(3);
    assert_int_equal(i8259_acknowledge(&pair), VECTORS_1 + 3);
    out8(&fixture, 0x20, 0xa0); /* rotate on non-specific EOI: 3 is the lowest now */
    pulse(3);
    pulse(2 + 2);
    pulse(0);
    assert_int_equal(i8259_acknowledge(&pair), VECTORS_1 + 4);
    out8(&fixture, 0x20, EOI);
    assert_int_equal(i8259_acknowledge(&pair), VECTORS_1 + 0);
    out8(&fixture, 0x20,
         0xe0 | 5); /* rotate on specific EOI of another: 5 is the lowest, 0 stays in service */
    assert_int_equal(read_isr(0x20), 0x01);
    out8(&fixture, 0x20, EOI);
    out8(&fixture, 0x20, 0xc0 | 7); /* set priority: as at first */
    pulse(0);
    assert_int_equal(i8259_acknowledge(&pair), VECTORS_1 + 0);
}

static void automatic_eoi(void **state)
{
    (void)state;
    initialize_chips(0x03, 0x03);
    pulse(5);
    pulse(6);
    assert_int_equal(i8259_acknowledge(&pair), VECTORS_1 + 5);
    assert_int_equal(read_isr(0x20), 0);
    assert_true(intr);
    assert_int_equal(i8259_acknowledge(&pair), VECTORS_1 + 6);
    /* Two on the second chip: the first must see the second of them too. */
    pulse(8);
    pulse(9);
    assert_int_equal(i8259_acknowledge(&pair), VECTORS_2);
    assert_true(intr);
    assert_int_equal(i8259_acknowledge(&pair), VECTORS_2 + 1);
    assert_false(intr);
    /* Rotating: whoever was served becomes the lowest. */
    out8(&fixture, 0x20, 0x80);
    pulse(1);
    assert_int_equal(i8259_acknowledge(&pair), VECTORS_1 + 1);
    pulse(1);
    pulse(7);
    assert_int_equal(i8259_acknowledge(&pair), VECTORS_1 + 7);
    assert_int_equal(i8259_acknowledge(&pair), VECTORS_1 + 1);
    out8(&fixture, 0x20, 0x00); /* no more: 1 stays the lowest */
    pulse(0);
    assert_int_equal(i8259_acknowledge(&pair), VECTORS_1);
    pulse(0);
    pulse(1);
    assert_int_equal(i8259_acknowledge(&pair), VECTORS_1);
    /* Another initialization ends the rotation, too. */
    out8(&fixture, 0x20, 0x80);
    initialize_chips(0x03, 0x03);
    pulse(0);
    assert_int_equal(i8259_acknowledge(&pair), VECTORS_1);
    pulse(0);
    pulse(1);
    assert_int_equal(i8259_acknowledge(&pair), VECTORS_1);
}

static void special_mask_mode(void **state)
{
    (void)state;
    pulse(3);
    assert_int_equal(i8259_acknowledge(&pair), VECTORS_1 + 3);
    pulse(6);
    assert_false(intr);
    out8(&fixture, 0x21, 0x08); /* masked, 3 still blocks */
    assert_false(intr);
    out8(&fixture, 0x20, 0x68);
    assert_true(intr);
    assert_int_equal(i8259_acknowledge(&pair), VECTORS_1 + 6);
    out8(&fixture, 0x20, EOI); /* leaves the masked one in service */
    assert_int_equal(read_isr(0x20), 0x08);
    out8(&fixture, 0x20, EOI);
    assert_int_equal(read_isr(0x20), 0x08);
    pulse(7);
    assert_true(intr);
    out8(&fixture, 0x20, 0x48); /* off */
    assert_false(intr);
    out8(&fixture, 0x20, SPECIFIC_EOI | 3);
    assert_true(intr);
}

static void special_fully_nested_mode(void **state)
{
    (void)state;
    initialize_chips(0x11, 0x01);
    pulse(12);
    assert_int_equal(i8259_acknowledge(&pair), VECTORS_2 + 4);
    pulse(13);
    assert_false(intr);
    pulse(9);
    assert_true(intr);
    assert_int_equal(i8259_acknowledge(&pair), VECTORS_2 + 1);
    /* Not after another initialization. */
    initialize_chips(0x01, 0x01);
    pulse(12);
    assert_int_equal(i8259_acknowledge(&pair), VECTORS_2 + 4);
    pulse(9);
    assert_false(intr);
}

static void polling(void **state)
{
    (void)state;
    out8(&fixture, 0x20, 0x0c);
    assert_int_equal(in8(&fixture, 0x20), 0x00);
    pulse(5);
    out8(&fixture, 0x20, 0x0c);
    assert_int_equal(in8(&fixture, 0x20), 0x85);
    assert_false(intr);
    assert_int_equal(read_isr(0x20), 0x20);
    assert_int_equal(in8(&fixture, 0x20), 0x20); /* one poll a command */
    out8(&fixture, 0x20, 0x08);                  /* an OCW3 that selects nothing */
    assert_int_equal(in8(&fixture, 0x20), 0x20);
    out8(&fixture, 0x20, EOI);
    pulse(15);
    out8(&fixture, 0xa0, 0x0c);
    assert_int_equal(in8(&fixture, 0xa1), 0x87);
    assert_false(intr);
}

static void initialization_forgets(void **state)
{
    (void)state;
    i8259_set(&pair, 1, true);
    assert_int_equal(i8259_acknowledge(&pair), VECTORS_1 + 1);
    pulse(3);
    out8(&fixture, 0x21, 0x55);
    out8(&fixture, 0x20, 0xc0 | 4);
    out8(&fixture, 0x20, 0x68);
    out8(&fixture, 0x20, 0x0b);
    initialize_chips(0x01, 0x01);
    assert_false(intr);
    assert_int_equal(in8(&fixture, 0x21), 0);
    i8259_set(&pair, 6, true);
    assert_int_equal(in8(&fixture, 0x20), 0x40); /* IRR is selected; a line that stays high is no edge */
    assert_int_equal(read_isr(0x20), 0);
    pulse(0);
    assert_int_equal(i8259_acknowledge(&pair), VECTORS_1);
    out8(&fixture, 0x21, 0x01);
    assert_false(intr); /* no special mask mode: masked, it blocks still */
    out8(&fixture, 0x20, 0x0c);
    initialize_chips(0x01, 0x01);
    pulse(5);
    assert_int_equal(in8(&fixture, 0x21), 0); /* no poll */
    assert_true(intr);
}

static void short_initializations(void **state)
{
    (void)state;
    out8(&fixture, 0x20, 0x12); /* single, no ICW4 */
    out8(&fixture, 0x21, 0x47);
    out8(&fixture, 0x21, 0x02); /* the mask already */
    pulse(1);
    assert_false(intr);
    pulse(3);
    assert_int_equal(i8259_acknowledge(&pair), 0x43);
}

static void reset_drops_everything(void **state)
{
    (void)state;
    pulse(1);
    assert_int_equal(i8259_acknowledge(&pair), VECTORS_1 + 1);
    out8(&fixture, 0x21, 0x40);
    out8(&fixture, 0x4d0, 0x80);
    i8259_set(&pair, 7, true);
    pulse(0);
    assert_true(intr);
    i8259_reset(&pair);
    assert_false(intr);
    assert_int_equal(read_isr(0x20), 0);
    assert_int_equal(in8(&fixture, 0x4d0), 0);
    assert_int_equal(in8(&fixture, 0x21), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(nothing_comes_before_initialization, setup),
        cmocka_unit_test_setup(an_edge_interrupts_once, setup),
        cmocka_unit_test_setup(an_edge_outlives_its_line, setup),
        cmocka_unit_test_setup(the_second_chip_goes_through_input_2, setup),
        cmocka_unit_test_setup(priorities, setup),
        cmocka_unit_test_setup(a_higher_interrupt_nests, setup),
        cmocka_unit_test_setup(masks, setup),
        cmocka_unit_test_setup(spurious, setup),
        cmocka_unit_test_setup(level_triggered_inputs_follow_their_line, setup),
        cmocka_unit_test_setup(rotation, setup),
        cmocka_unit_test_setup(automatic_eoi, setup),
        cmocka_unit_test_setup(special_mask_mode, setup),
        cmocka_unit_test_setup(special_fully_nested_mode, setup),
        cmocka_unit_test_setup(polling, setup),
        cmocka_unit_test_setup(initialization_forgets, setup),
        cmocka_unit_test_setup(short_initializations, setup),
        cmocka_unit_test_setup(reset_drops_everything, setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
