/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "partitions/root/worker/devices/irq_router.h"
#include "tests/unit/device_fixture.h"

static struct device_fixture fixture;
static struct i8259_pair pic;
static struct ioapic ioapic;
static struct irq_router router;

static void interrupt_request(void *context, bool level)
{
    (void)context;
    (void)level;
}

static void deliver(void *context, const struct ioapic_message *message)
{
    (void)context;
    (void)message;
}

static int setup(void **state)
{
    (void)state;
    fixture_initialize(&fixture);
    assert_true(i8259_initialize(&pic, &fixture.bus, interrupt_request, NULL));
    assert_true(ioapic_initialize(&ioapic, &fixture.bus, deliver, NULL));
    irq_router_initialize(&router, &pic, &ioapic);
    return 0;
}

/* Inputs of both 8259As, as one word. */
static unsigned pic_lines(void)
{
    return pic.chips[0].lines | pic.chips[1].lines << 8;
}

static void isa_irqs_reach_both_controllers(void **state)
{
    (void)state;
    for (unsigned irq = 0; irq < ISA_IRQS; irq++) {
        struct interrupt_line line;

        if (irq == 2)
            continue;
        line = irq_router_isa_line(&router, irq);
        interrupt_line_set(&line, true);
        assert_int_equal(pic_lines(), 1u << irq);
        assert_int_equal(ioapic.lines, irq == 0 ? 1u << 2 : 1u << irq);
        interrupt_line_set(&line, false);
        assert_int_equal(pic_lines(), 0);
        assert_int_equal(ioapic.lines, 0);
    }
}

static void pins_are_swizzled(void **state)
{
    (void)state;
    for (unsigned slot = 0; slot < 32; slot++)
        for (unsigned pin = 0; pin < 4; pin++) {
            irq_router_set_pci(&router, slot, pin, true);
            assert_int_equal(ioapic.lines, 1u << (16 + (slot + 3 + pin) % 4));
            assert_int_equal(pic_lines(), 0); /* not routed at power-on */
            irq_router_set_pci(&router, slot, pin, false);
            assert_int_equal(ioapic.lines, 0);
        }
}

static void pirqs_are_routed_and_rerouted(void **state)
{
    (void)state;
    irq_router_set_pci(&router, 9, 0, true); /* PIRQ A */
    irq_router_set_route(&router, 0, 10);
    assert_int_equal(pic_lines(), 1u << 10);
    assert_int_equal(ioapic.lines, 1u << 10 | 1u << 16);
    irq_router_set_route(&router, 0, 5);
    assert_int_equal(pic_lines(), 1u << 5);
    assert_int_equal(ioapic.lines, 1u << 5 | 1u << 16);
    irq_router_set_route(&router, 0, PIRQ_ROUTE_DISABLED | 5);
    assert_int_equal(pic_lines(), 0);
    assert_int_equal(ioapic.lines, 1u << 16);
    for (unsigned irq = 0; irq < 16; irq++) {
        bool reserved = irq < 3 || irq == 8 || irq == 13;

        irq_router_set_route(&router, 0, (uint8_t)irq);
        assert_int_equal(pic_lines(), reserved ? 0 : 1u << irq);
    }
}

static void shared_wires_are_ored(void **state)
{
    struct interrupt_line isa = irq_router_isa_line(&router, 11);

    (void)state;
    irq_router_set_route(&router, 0, 11);
    irq_router_set_route(&router, 2, 11);
    irq_router_set_pci(&router, 5, 0, true);  /* A */
    irq_router_set_pci(&router, 9, 0, true);  /* A too */
    irq_router_set_pci(&router, 11, 0, true); /* C */
    interrupt_line_set(&isa, true);
    assert_int_equal(pic_lines(), 1u << 11);
    irq_router_set_pci(&router, 9, 0, false);
    assert_int_equal(ioapic.lines, 1u << 11 | 1u << 16 | 1u << 18);
    irq_router_set_pci(&router, 5, 0, false);
    assert_int_equal(ioapic.lines, 1u << 11 | 1u << 18);
    assert_int_equal(pic_lines(), 1u << 11);
    interrupt_line_set(&isa, false);
    assert_int_equal(pic_lines(), 1u << 11);
    assert_int_equal(ioapic.lines, 1u << 11 | 1u << 18);
    irq_router_set_pci(&router, 11, 0, false);
    assert_int_equal(pic_lines(), 0);
    assert_int_equal(ioapic.lines, 0);
}

static void reset_lowers_and_unroutes(void **state)
{
    struct interrupt_line isa = irq_router_isa_line(&router, 4);

    (void)state;
    irq_router_set_route(&router, 0, 11);
    for (unsigned slot = 4; slot < 8; slot++)
        irq_router_set_pci(&router, slot, 0, true);
    interrupt_line_set(&isa, true);
    irq_router_reset(&router);
    assert_int_equal(pic_lines(), 0);
    assert_int_equal(ioapic.lines, 0);
    irq_router_set_pci(&router, 5, 0, true);
    assert_int_equal(pic_lines(), 0);
}

static void free_inputs_reach_the_ioapic_alone(void **state)
{
    (void)state;
    for (unsigned input = 20; input < IOAPIC_INPUTS; input++) {
        struct interrupt_line line = irq_router_input_line(&router, input);

        interrupt_line_set(&line, true);
        assert_int_equal(pic_lines(), 0);
        assert_int_equal(ioapic.lines, 1u << input);
        if (input % 2)
            irq_router_reset(&router);
        else
            interrupt_line_set(&line, false);
        assert_int_equal(ioapic.lines, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(isa_irqs_reach_both_controllers, setup),
        cmocka_unit_test_setup(free_inputs_reach_the_ioapic_alone, setup),
        cmocka_unit_test_setup(pins_are_swizzled, setup),
        cmocka_unit_test_setup(pirqs_are_routed_and_rerouted, setup),
        cmocka_unit_test_setup(shared_wires_are_ored, setup),
        cmocka_unit_test_setup(reset_lowers_and_unroutes, setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
