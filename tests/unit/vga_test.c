/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The adapter on its buses: configuration space, ports, registers, colours, retrace, reset. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "tests/unit/config_space.h"
#include "tests/unit/vga_fixture.h"

#define LINE 31778ull /* nanoseconds */

static struct vga_fixture fixture;

static int setup(void **state)
{
    (void)state;
    vga_fixture_initialize(&fixture, false);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    vga_fixture_free(&fixture);
    return 0;
}

static void configuration_space(void **state)
{
    static const struct config_bytes rows[] = {
        {0x00, 4, 0x11111234, 0         },
        {0x04, 2, 0,          0x0003    },
        {0x08, 4, 0x03000002, 0         },
        {0x10, 4, 0x00000008, 0xff000000},
        {0x18, 4, 0,          0xfffff000},
        {0x2c, 4, 0x11001af4, 0         },
    };

    (void)state;
    check_config_space(&fixture.pci, VGA_SLOT, 0, rows, sizeof rows / sizeof rows[0]);
}

static void the_frame_buffer_is_mapped_where_it_is_decoded(void **state)
{
    struct vga_mapping *mapping;

    (void)state;
    assert_null(vga_fixture_mapping(&fixture, VGA_FRAME_BUFFER));
    vga_fixture_decode(&fixture);
    mapping = vga_fixture_mapping(&fixture, VGA_FRAME_BUFFER);
    assert_non_null(mapping);
    assert_int_equal(mapping->gpa, VGA_FRAME_BUFFER);
    assert_int_equal(mapping->length, 16 << 20);
    assert_ptr_equal(mapping->host, fixture.memory);
    pci_config_write(&fixture.pci, VGA_SLOT, 0, PCI_BAR_0, 4, 0xe8000000);
    assert_null(vga_fixture_mapping(&fixture, VGA_FRAME_BUFFER));
    assert_non_null(vga_fixture_mapping(&fixture, 0xe8000000));
    /* What does not go by the mapping finds the same memory. */
    bus_write(&fixture.device.bus, BUS_MEMORY, 0xe8fffff8, 8, 0x1122334455667788);
    assert_int_equal(fixture.memory[0xffffff], 0x11);
    assert_int_equal(bus_read(&fixture.device.bus, BUS_MEMORY, 0xe8fffffa, 4), 0x33445566);
    pci_config_write(&fixture.pci, VGA_SLOT, 0, PCI_COMMAND, 2, 0);
    assert_null(vga_fixture_mapping(&fixture, 0xe8000000));
}

static void places_that_are_taken(void **state)
{
    static struct vga second;
    struct vga_configuration configuration = fixture.vga->configuration;

    (void)state;
    memset(&second, 0, sizeof second);
    assert_false(vga_initialize(&second, &fixture.pci, VGA_SLOT + 1, &configuration));
}

static void registers_have_the_bits_that_exist(void **state)
{
    static const uint8_t sequencer[] = {0x03, 0x3d, 0x0f, 0x3f, 0x0e, 0x00};
    static const uint8_t graphics[] = {0x0f, 0x0f, 0x0f, 0x1f, 0x03, 0x7b, 0x0f, 0x0f, 0xff, 0x00};

    (void)state;
    for (uint8_t i = 0; i < sizeof sequencer; i++) {
        set_sequencer(&fixture, i, 0xff);
        assert_int_equal(in8(&fixture.device, 0x3c5), sequencer[i]);
    }
    for (uint8_t i = 0; i < sizeof graphics; i++) {
        set_graphics(&fixture, i, 0xff);
        assert_int_equal(in8(&fixture.device, 0x3cf), graphics[i]);
    }
    assert_int_equal(in8(&fixture.device, 0x3ce), 9);
    set_sequencer(&fixture, 200, 1);
    assert_int_equal(in8(&fixture.device, 0x3c4), 200);
    assert_int_equal(in8(&fixture.device, 0x3c5), 0);
}

static void the_crt_controller_is_in_one_of_two_places(void **state)
{
    (void)state;
    out8(&fixture.device, 0x3b4, 0x0e);
    out8(&fixture.device, 0x3b5, 0x12);
    assert_int_equal(in8(&fixture.device, 0x3b5), 0x12);
    assert_int_equal(in8(&fixture.device, 0x3d5), 0xff);
    assert_int_equal(in8(&fixture.device, 0x3da), 0xff);
    out8(&fixture.device, 0x3c2, 0x01);
    assert_int_equal(in8(&fixture.device, 0x3cc), 0x01);
    assert_int_equal(in8(&fixture.device, 0x3d5), 0x12);
    assert_int_equal(in8(&fixture.device, 0x3b5), 0xff);
    out8(&fixture.device, 0x3b5, 0x34);
    assert_int_equal(in8(&fixture.device, 0x3d5), 0x12);
    set_crtc(&fixture, 0x20, 1);
    assert_int_equal(in8(&fixture.device, 0x3d5), 0);
    assert_int_equal(in8(&fixture.device, 0x3bc), 0xff); /* a parallel port's */
}

static void registers_0_to_7_can_be_protected(void **state)
{
    (void)state;
    out8(&fixture.device, 0x3c2, 0x01);
    set_crtc(&fixture, 0x00, 0x5f);
    set_crtc(&fixture, 0x07, 0x1f);
    set_crtc(&fixture, 0x11, 0x8e);
    for (uint8_t i = 0; i <= 8; i++)
        set_crtc(&fixture, i, 0xa0);
    out8(&fixture.device, 0x3d4, 0x00);
    assert_int_equal(in8(&fixture.device, 0x3d5), 0x5f);
    out8(&fixture.device, 0x3d4, 0x07);
    assert_int_equal(in8(&fixture.device, 0x3d5), 0x0f); /* bit 4, of the line compare, can be written */
    out8(&fixture.device, 0x3d4, 0x08);
    assert_int_equal(in8(&fixture.device, 0x3d5), 0xa0);
}

static void the_attribute_controllers_flip_flop(void **state)
{
    (void)state;
    out8(&fixture.device, 0x3c2, 0x01);
    in8(&fixture.device, 0x3da);
    out8(&fixture.device, 0x3c0, 0x10);
    out8(&fixture.device, 0x3c0, 0xff);
    out8(&fixture.device, 0x3c0, 0x30); /* an index again */
    assert_int_equal(in8(&fixture.device, 0x3c0), 0x30);
    assert_int_equal(in8(&fixture.device, 0x3c1), 0xef);
    in8(&fixture.device, 0x3da);
    out8(&fixture.device, 0x3c0, 0x03);
    in8(&fixture.device, 0x3da); /* begins anew */
    out8(&fixture.device, 0x3c0, 0x04);
    out8(&fixture.device, 0x3c0, 0x7f);
    assert_int_equal(in8(&fixture.device, 0x3c1), 0x3f);
    in8(&fixture.device, 0x3da);
    out8(&fixture.device, 0x3c0, 0x1f); /* does not exist */
    out8(&fixture.device, 0x3c0, 0xff);
    assert_int_equal(in8(&fixture.device, 0x3c1), 0);
}

static void colors(void **state)
{
    (void)state;
    assert_int_equal(in8(&fixture.device, 0x3c6), 0xff);
    set_color(&fixture, 0xff, 1, 2, 3);
    out8(&fixture.device, 0x3c9, 4); /* index 0 comes next */
    out8(&fixture.device, 0x3c9, 5);
    assert_int_equal(in8(&fixture.device, 0x3c8), 0);
    assert_int_equal(in8(&fixture.device, 0x3c7), 0); /* writing */
    out8(&fixture.device, 0x3c9, 0xff);
    assert_int_equal(in8(&fixture.device, 0x3c8), 1);
    out8(&fixture.device, 0x3c7, 0xff);
    assert_int_equal(in8(&fixture.device, 0x3c7), 3); /* reading */
    for (uint8_t i = 1; i <= 5; i++)
        assert_int_equal(in8(&fixture.device, 0x3c9), i);
    assert_int_equal(in8(&fixture.device, 0x3c9), 0x3f); /* six bits */
    /* Two components do not make a colour. */
    out8(&fixture.device, 0x3c8, 7);
    out8(&fixture.device, 0x3c9, 9);
    out8(&fixture.device, 0x3c9, 9);
    out8(&fixture.device, 0x3c7, 7);
    assert_int_equal(in8(&fixture.device, 0x3c9), 0);
}

static void set_line(unsigned line, uint64_t nanoseconds)
{
    uint64_t now = timer_now(&fixture.device.timers);
    uint64_t frame = 449 * LINE;

    fixture.device.host_time += (now / frame + 1) * frame - now + line * LINE + nanoseconds;
}

static void retrace_comes_with_time(void **state)
{
    (void)state;
    set_mode(&fixture, 3);
    set_line(0, 0);
    assert_int_equal(in8(&fixture.device, 0x3da), 0);
    set_line(399, 20000);
    assert_int_equal(in8(&fixture.device, 0x3da), 0);
    set_line(399, 30000); /* between lines */
    assert_int_equal(in8(&fixture.device, 0x3da), 0x01);
    set_line(400, 0);
    assert_int_equal(in8(&fixture.device, 0x3da), 0x09);
    set_line(448, 30000);
    assert_int_equal(in8(&fixture.device, 0x3da), 0x09);
    set_line(449, 0);
    assert_int_equal(in8(&fixture.device, 0x3da), 0);
    /* With registers that make no sense, time goes on all the same. */
    set_crtc(&fixture, 0x11, 0);
    set_crtc(&fixture, 0x06, 0);
    set_crtc(&fixture, 0x07, 0);
    set_line(400, 0);
    assert_int_equal(in8(&fixture.device, 0x3da), 0x09);
}

static void other_ports(void **state)
{
    (void)state;
    out8(&fixture.device, 0x3c2, 0x67);
    assert_int_equal(in8(&fixture.device, 0x3c2), 0x10);
    assert_int_equal(in8(&fixture.device, 0x3c3), 0x01);
    out8(&fixture.device, 0x3da, 0x02);
    assert_int_equal(in8(&fixture.device, 0x3ca), 0x02);
    assert_int_equal(in8(&fixture.device, 0x3cd), 0xff);
}

static void reset(void **state)
{
    (void)state;
    vga_fixture_decode(&fixture);
    set_mode(&fixture, 3);
    guest_touch(&fixture, 0xb8000);
    guest_write(&fixture, 0xb8000, 'x');
    set_dispi(&fixture, 4, 0x81);
    pci_bus_reset(&fixture.pci);
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(fixture.mappings[i].length, 0);
    assert_int_equal(in8(&fixture.device, 0x3cc), 0);
    assert_int_equal(in8(&fixture.device, 0x3c4), 0);
    set_sequencer(&fixture, 2, 0);
    assert_int_equal(get_dispi(&fixture, 4), 0);
    assert_int_equal(get_dispi(&fixture, 0), 0xb0c5);
    assert_int_equal(fixture.memory[0], 'x'); /* memory keeps what it has */
    out8(&fixture.device, 0x3c7, 5);
    assert_int_equal(in8(&fixture.device, 0x3c9), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(configuration_space, setup, teardown),
        cmocka_unit_test_setup_teardown(the_frame_buffer_is_mapped_where_it_is_decoded, setup, teardown),
        cmocka_unit_test_setup_teardown(places_that_are_taken, setup, teardown),
        cmocka_unit_test_setup_teardown(registers_have_the_bits_that_exist, setup, teardown),
        cmocka_unit_test_setup_teardown(the_crt_controller_is_in_one_of_two_places, setup, teardown),
        cmocka_unit_test_setup_teardown(registers_0_to_7_can_be_protected, setup, teardown),
        cmocka_unit_test_setup_teardown(the_attribute_controllers_flip_flop, setup, teardown),
        cmocka_unit_test_setup_teardown(colors, setup, teardown),
        cmocka_unit_test_setup_teardown(retrace_comes_with_time, setup, teardown),
        cmocka_unit_test_setup_teardown(other_ports, setup, teardown),
        cmocka_unit_test_setup_teardown(reset, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
