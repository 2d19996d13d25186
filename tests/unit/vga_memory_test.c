/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The window at A0000h: the graphics controller's ways of reading and writing, and when the window is RAM. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "tests/unit/vga_fixture.h"

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

/* Plane bytes 0 to 3 at an offset. */
static void assert_planes(uint32_t offset, uint8_t p0, uint8_t p1, uint8_t p2, uint8_t p3)
{
    const uint8_t *bytes = fixture.memory + 4 * offset;

    assert_int_equal(bytes[0], p0);
    assert_int_equal(bytes[1], p1);
    assert_int_equal(bytes[2], p2);
    assert_int_equal(bytes[3], p3);
}

/* Fills the latches with these bytes, from A0001h. */
static void latch(uint8_t p0, uint8_t p1, uint8_t p2, uint8_t p3)
{
    const uint8_t bytes[4] = {p0, p1, p2, p3};

    memcpy(fixture.memory + 4, bytes, 4);
    guest_read(&fixture, 0xa0001);
}

static void write_mode_0(void **state)
{
    (void)state;
    set_mode(&fixture, 0x12);
    latch(0x0f, 0x33, 0x55, 0xff);
    guest_write(&fixture, 0xa0010, 0xc1);
    assert_planes(0x10, 0xc1, 0xc1, 0xc1, 0xc1);
    set_sequencer(&fixture, 2, 0x05); /* planes 0 and 2 */
    guest_write(&fixture, 0xa0010, 0x11);
    assert_planes(0x10, 0x11, 0xc1, 0x11, 0xc1);
    set_sequencer(&fixture, 2, 0x0f);
    set_graphics(&fixture, 3, 0x03); /* rotated by three */
    guest_write(&fixture, 0xa0010, 0x81);
    assert_planes(0x10, 0x30, 0x30, 0x30, 0x30);
    set_graphics(&fixture, 3, 0x00);
    set_graphics(&fixture, 0, 0x02); /* set/reset in planes 0 and 1 */
    set_graphics(&fixture, 1, 0x03);
    guest_write(&fixture, 0xa0010, 0x81);
    assert_planes(0x10, 0x00, 0xff, 0x81, 0x81);
    set_graphics(&fixture, 1, 0x00);
    set_graphics(&fixture, 8, 0xf0); /* the rest comes from the latches */
    guest_write(&fixture, 0xa0010, 0xaa);
    assert_planes(0x10, 0xaf, 0xa3, 0xa5, 0xaf);
}

static void logical_operations(void **state)
{
    static const uint8_t expected[4][2] = {
        {0x3c, 0x3c},
        {0x0c, 0x30},
        {0x3f, 0xfc},
        {0x33, 0xcc}
    };

    (void)state;
    set_mode(&fixture, 0x12);
    for (uint8_t i = 0; i < 4; i++) {
        set_graphics(&fixture, 3, (uint8_t)(i << 3));
        latch(0x0f, 0xf0, 0x0f, 0xf0);
        guest_write(&fixture, 0xa0010, 0x3c);
        assert_planes(0x10, expected[i][0], expected[i][1], expected[i][0], expected[i][1]);
    }
}

static void write_mode_1(void **state)
{
    (void)state;
    set_mode(&fixture, 0x12);
    set_graphics(&fixture, 5, 0x01);
    latch(0x12, 0x34, 0x56, 0x78);
    set_graphics(&fixture, 8, 0x00); /* counts for nothing */
    guest_write(&fixture, 0xa0010, 0xff);
    assert_planes(0x10, 0x12, 0x34, 0x56, 0x78);
}

static void write_mode_2(void **state)
{
    (void)state;
    set_mode(&fixture, 0x12);
    set_graphics(&fixture, 5, 0x02);
    set_graphics(&fixture, 8, 0x3c);
    latch(0x81, 0x81, 0x81, 0x81);
    guest_write(&fixture, 0xa0010, 0xf6);
    assert_planes(0x10, 0x81, 0xbd, 0xbd, 0x81);
}

static void write_mode_3(void **state)
{
    (void)state;
    set_mode(&fixture, 0x12);
    set_graphics(&fixture, 5, 0x03);
    set_graphics(&fixture, 0, 0x09);
    set_graphics(&fixture, 8, 0x0f);
    set_graphics(&fixture, 3, 0x01);
    latch(0x00, 0xff, 0x00, 0xff);
    guest_write(&fixture, 0xa0010, 0x1e); /* becomes the bit mask 0Fh */
    assert_planes(0x10, 0x0f, 0xf0, 0x00, 0xff);
}

static void read_modes(void **state)
{
    (void)state;
    set_mode(&fixture, 0x12);
    latch(0x12, 0x34, 0x56, 0x78);
    for (uint8_t i = 0; i < 4; i++) {
        set_graphics(&fixture, 4, i);
        assert_int_equal(guest_read(&fixture, 0xa0001), 0x12 + 0x22 * i);
    }
    set_graphics(&fixture, 5, 0x08);
    latch(0xf0, 0xcc, 0xaa, 0xff);
    set_graphics(&fixture, 2, 0x0d); /* color 1101: planes 0, 2 and 3 set, 1 clear */
    assert_int_equal(guest_read(&fixture, 0xa0001), 0x20);
    set_graphics(&fixture, 7, 0x01); /* only plane 0 matters */
    assert_int_equal(guest_read(&fixture, 0xa0001), 0xf0);
    set_graphics(&fixture, 7, 0x00);
    assert_int_equal(guest_read(&fixture, 0xa0001), 0xff);
}

static void odd_and_even(void **state)
{
    (void)state;
    set_mode(&fixture, 3);
    set_sequencer(&fixture, 2, 0x0f);
    guest_write(&fixture, 0xb8002, 'A');
    assert_planes(1, 'A', 0, 'A', 0);
    guest_write(&fixture, 0xb8003, 0x1f);
    assert_planes(1, 'A', 0x1f, 'A', 0x1f);
    fixture.memory[6] = 'C';
    assert_int_equal(guest_read(&fixture, 0xb8002), 'A');
    assert_int_equal(guest_read(&fixture, 0xb8003), 0x1f);
    set_graphics(&fixture, 4, 2); /* planes 2 and 3 */
    assert_int_equal(guest_read(&fixture, 0xb8002), 'C');
}

static void memory_maps(void **state)
{
    static const struct {
        uint8_t map;
        uint32_t first, length;
    } maps[] = {
        {0x01, 0xa0000, 0x20000},
        {0x05, 0xa0000, 0x10000},
        {0x09, 0xb0000, 0x8000 },
        {0x0d, 0xb8000, 0x8000 },
    };

    (void)state;
    set_mode(&fixture, 0x12);
    for (unsigned i = 0; i < 4; i++) {
        uint32_t last = maps[i].first + maps[i].length - 1;

        set_graphics(&fixture, 6, maps[i].map);
        memset(fixture.memory, 0, 0x80000);
        guest_write(&fixture, maps[i].first, 0x11);
        assert_int_equal(fixture.memory[0], 0x11);
        if (last < 0xbffff) {
            guest_write(&fixture, last + 1, 0x22);
            assert_int_equal(guest_read(&fixture, last + 1), 0xff);
        }
        if (maps[i].first > 0xa0000)
            assert_int_equal(guest_read(&fixture, maps[i].first - 1), 0xff);
        guest_write(&fixture, last, 0x33);
        assert_int_equal(fixture.memory[4 * ((maps[i].length - 1) & 0xffff)], 0x33);
    }
    out8(&fixture.device, 0x3c2, 0xe1); /* memory off */
    assert_int_equal(guest_read(&fixture, 0xb8000), 0xff);
}

static void chain_4_is_ram(void **state)
{
    struct vga_mapping *mapping;

    (void)state;
    set_mode(&fixture, 0x13);
    for (unsigned i = 0; i < VGA_ACCESSES_TO_MAP; i++) {
        assert_null(vga_fixture_mapping(&fixture, 0xa0000));
        guest_write(&fixture, 0xa0000 + i, (uint8_t)i);
    }
    mapping = vga_fixture_mapping(&fixture, 0xa0000);
    assert_non_null(mapping);
    assert_int_equal(mapping->gpa, 0xa0000);
    assert_int_equal(mapping->length, 0x10000);
    fixture.bus_accesses = 0;
    guest_write(&fixture, 0xaffff, 0x77);
    for (unsigned i = 0; i < VGA_ACCESSES_TO_MAP; i++)
        assert_int_equal(guest_read(&fixture, 0xa0000 + i), i);
    assert_int_equal(fixture.bus_accesses, 0);
    assert_int_equal(fixture.memory[0xffff], 0x77);
    /* Mode X: the planes are what the chained bytes were. */
    set_sequencer(&fixture, 4, 0x06);
    assert_null(vga_fixture_mapping(&fixture, 0xa0000));
    set_graphics(&fixture, 4, 3);
    assert_int_equal(guest_read(&fixture, 0xa0002), 11);
    guest_touch(&fixture, 0xa0000);
    assert_null(vga_fixture_mapping(&fixture, 0xa0000)); /* never */
}

static void chain_4_with_the_graphics_controller(void **state)
{
    (void)state;
    set_mode(&fixture, 0x13);
    guest_touch(&fixture, 0xa0000);
    set_graphics(&fixture, 5, 0x41); /* write mode 1 copies four pixels */
    assert_null(vga_fixture_mapping(&fixture, 0xa0000));
    latch(1, 2, 3, 4);
    guest_read(&fixture, 0xa0004);
    for (unsigned i = 0; i < 4; i++)
        guest_write(&fixture, 0xa0040 + i, 0);
    assert_planes(0x10, 1, 2, 3, 4);
    set_graphics(&fixture, 5, 0x40);
    set_sequencer(&fixture, 2, 0x07);
    guest_write(&fixture, 0xa0043, 9);
    guest_write(&fixture, 0xa0042, 9);
    assert_planes(0x10, 1, 2, 9, 4);
}

static void text_is_ram(void **state)
{
    const struct vga_mapping *mapping;

    (void)state;
    set_mode(&fixture, 3);
    guest_write(&fixture, 0xb8000, 'a');
    guest_write(&fixture, 0xb8001, 7);
    guest_touch(&fixture, 0xb8000);
    mapping = vga_fixture_mapping(&fixture, 0xb8000);
    assert_non_null(mapping);
    assert_int_equal(mapping->gpa, 0xb8000);
    assert_int_equal(mapping->length, 0x8000);
    assert_ptr_equal(mapping->host, fixture.memory + VGA_MEMORY_SIZE);
    assert_int_equal(guest_read(&fixture, 0xb8000), 'a');
    assert_int_equal(guest_read(&fixture, 0xb8001), 7);
    guest_write(&fixture, 0xbfffe, 'z');
    guest_write(&fixture, 0xbffff, 0x70);
    fixture.memory[4 * 0x3fff + 2] = 0x99; /* planes 2 and 3 keep theirs */
    /* A font is loaded: plane 2, byte after byte. */
    set_sequencer(&fixture, 2, 0x04);
    set_sequencer(&fixture, 4, 0x06);
    set_graphics(&fixture, 5, 0x00);
    set_graphics(&fixture, 6, 0x04);
    assert_null(vga_fixture_mapping(&fixture, 0xb8000));
    assert_planes(0, 'a', 7, 0, 0);
    assert_planes(0x3fff, 'z', 0x70, 0x99, 0);
    guest_write(&fixture, 0xa0000, 0x81);
    assert_planes(0, 'a', 7, 0x81, 0);
    /* And back: a few accesses are not worth a mapping. */
    set_mode(&fixture, 3);
    assert_int_equal(guest_read(&fixture, 0xb8000), 'a');
    guest_write(&fixture, 0xb8000, 'b');
    assert_null(vga_fixture_mapping(&fixture, 0xb8000));
    guest_touch(&fixture, 0xb8000);
    assert_int_equal(guest_read(&fixture, 0xb8000), 'b');
    assert_int_equal(guest_read(&fixture, 0xbffff), 0x70);
}

static void what_is_not_usual_text_is_no_ram(void **state)
{
    static const uint8_t changes[][2] = {
        {1, 0x01}, /* set/reset */
        {3, 0x01}, /* rotation */
        {3, 0x08}, /* AND */
        {4, 0x02}, /* reads of planes 2 and 3 */
        {5, 0x00}, /* reads of one plane */
        {5, 0x12}, /* write mode 2 */
        {5, 0x18}, /* read mode 1 */
        {6, 0x06}, /* 64 KiB at A0000h */
        {8, 0x0f}, /* bit mask */
    };

    (void)state;
    for (unsigned i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        set_mode(&fixture, 3);
        guest_touch(&fixture, 0xb8000);
        assert_non_null(vga_fixture_mapping(&fixture, 0xb8000));
        set_graphics(&fixture, changes[i][0], changes[i][1]);
        guest_touch(&fixture, 0xb8000);
        assert_null(vga_fixture_mapping(&fixture, 0xb8000));
    }
    set_mode(&fixture, 3);
    set_sequencer(&fixture, 2, 0x01);
    guest_touch(&fixture, 0xb8000);
    assert_null(vga_fixture_mapping(&fixture, 0xb8000));
}

static void a_monochrome_screen_is_ram_too(void **state)
{
    (void)state;
    set_mode(&fixture, 3);
    set_graphics(&fixture, 6, 0x0a);
    guest_touch(&fixture, 0xb0000);
    assert_non_null(vga_fixture_mapping(&fixture, 0xb7fff));
    assert_null(vga_fixture_mapping(&fixture, 0xb8000));
    assert_int_equal(guest_read(&fixture, 0xb8000), 0xff);
}

static void registers_that_change_and_change_back_map_nothing(void **state)
{
    (void)state;
    set_mode(&fixture, 3);
    for (unsigned i = 0; i < 1000; i++) {
        set_graphics(&fixture, 5, 0x00);
        guest_read(&fixture, 0xb8000);
        set_graphics(&fixture, 5, 0x10);
        guest_read(&fixture, 0xb8000);
    }
    assert_int_equal(fixture.maps, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(write_mode_0, setup, teardown),
        cmocka_unit_test_setup_teardown(logical_operations, setup, teardown),
        cmocka_unit_test_setup_teardown(write_mode_1, setup, teardown),
        cmocka_unit_test_setup_teardown(write_mode_2, setup, teardown),
        cmocka_unit_test_setup_teardown(write_mode_3, setup, teardown),
        cmocka_unit_test_setup_teardown(read_modes, setup, teardown),
        cmocka_unit_test_setup_teardown(odd_and_even, setup, teardown),
        cmocka_unit_test_setup_teardown(memory_maps, setup, teardown),
        cmocka_unit_test_setup_teardown(chain_4_is_ram, setup, teardown),
        cmocka_unit_test_setup_teardown(chain_4_with_the_graphics_controller, setup, teardown),
        cmocka_unit_test_setup_teardown(text_is_ram, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_not_usual_text_is_no_ram, setup, teardown),
        cmocka_unit_test_setup_teardown(a_monochrome_screen_is_ram_too, setup, teardown),
        cmocka_unit_test_setup_teardown(registers_that_change_and_change_back_map_nothing, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
