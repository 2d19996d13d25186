/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The graphics adapter's memory in a guest: what it has written is drawn again, and nothing else is looked at. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "partitions/root/worker/graphics.h"
#include "tests/unit/device_fixture.h"
#include "tests/unit/fake_hypervisor.h"

#define MEMORY       (16u << 20)
#define FRAME_BUFFER 0xE1000000u
#define WIDTH        1024u
#define HEIGHT       768u
#define LINE         (WIDTH * 4)

static struct {
    struct device_fixture fixture;
    struct fake_hypervisor fake;
    struct guest_ram ram;
    struct platform platform;
    struct graphics graphics;
    struct display display;
    struct display_area areas[DISPLAY_AREAS];
    pthread_mutex_t lock;
    uint64_t memory_errors;
} test;

static void ignore_interrupt(void *context, unsigned slot, unsigned pin, bool level)
{
    (void)context;
    (void)slot;
    (void)pin;
    (void)level;
}

static void set_dispi(uint16_t index, uint16_t value)
{
    bus_write(&test.fixture.bus, BUS_PORTS, 0x1CE, 2, index);
    bus_write(&test.fixture.bus, BUS_PORTS, 0x1CF, 2, value);
}

static void decode(bool enabled)
{
    pci_config_write(&test.platform.pci, VGA_SLOT, 0, PCI_COMMAND, 2, enabled ? PCI_COMMAND_MEMORY : 0);
}

/* 1024x768 with 32 bits, its frame buffer in the guest. */
static int set_up(void **state)
{
    char error[GRAPHICS_ERROR_SIZE];

    (void)state;
    memset(&test, 0, sizeof test);
    fixture_initialize(&test.fixture);
    fake_hypervisor_initialize(&test.fake);
    pthread_mutex_init(&test.lock, NULL);
    assert_true(guest_ram_allocate(&test.ram, MEMORY));
    assert_int_equal(guest_ram_map(&test.ram, &test.fake.hypervisor), 0);
    test.platform.timers = &test.fixture.timers;
    assert_true(pci_bus_initialize(&test.platform.pci, &test.fixture.bus, ignore_interrupt, NULL));
    assert_true(graphics_create(&test.graphics, &test.platform, &test.ram, &test.lock, &test.memory_errors, error));
    pci_config_write(&test.platform.pci, VGA_SLOT, 0, PCI_BAR_0, 4, FRAME_BUFFER);
    decode(true);
    set_dispi(1, WIDTH);
    set_dispi(2, HEIGHT);
    set_dispi(3, 32);
    set_dispi(4, 0x41);
    out8(&test.fixture, 0x3C0, 0x20); /* the screen is on */
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    graphics_free(&test.graphics);
    guest_ram_free(&test.ram);
    free(test.display.pixels);
    pthread_mutex_destroy(&test.lock);
    fake_hypervisor_destroy(&test.fake);
    return 0;
}

static unsigned look(void)
{
    return test.graphics.screen.display.update(test.graphics.screen.display.context, &test.display, test.areas);
}

/* The guest writes a pixel of line `y`; `seen`: the hypervisor notices. */
static void draw(unsigned y, uint32_t color, bool seen)
{
    uint64_t page = (FRAME_BUFFER + y * LINE) >> HV_PAGE_SHIFT;

    memcpy(guest_ram_page(&test.ram, FRAME_BUFFER + y * LINE, MEMORY_WRITE), &color, sizeof color);
    if (seen)
        test.fake.written[page / 64 % FAKE_WRITTEN_WORDS] |= 1ull << page % 64;
}

static void test_frame_buffer_is_memory(void **state)
{
    (void)state;
    assert_int_equal(fake_region(&test.fake, FRAME_BUFFER)->size, VGA_MEMORY_SIZE);
    assert_int_equal(fake_region(&test.fake, FRAME_BUFFER)->flags, MSHV_SET_MEM_EXECUTABLE | MSHV_SET_MEM_WRITABLE);
    assert_non_null(guest_ram_page(&test.ram, FRAME_BUFFER, MEMORY_READ));
    assert_non_null(guest_ram_page(&test.ram, FRAME_BUFFER + VGA_MEMORY_SIZE - 1, MEMORY_WRITE));
    assert_null(guest_ram_page(&test.ram, FRAME_BUFFER - 1, MEMORY_READ));
    assert_null(guest_ram_page(&test.ram, FRAME_BUFFER + VGA_MEMORY_SIZE, MEMORY_READ));
    decode(false);
    assert_null(fake_region(&test.fake, FRAME_BUFFER));
    assert_null(guest_ram_page(&test.ram, FRAME_BUFFER, MEMORY_READ));
    assert_int_equal(test.memory_errors, 0);
}

static void test_what_was_written_is_drawn(void **state)
{
    (void)state;
    assert_int_equal(look(), 1);
    assert_int_equal(test.display.width, WIDTH);
    assert_int_equal(test.areas[0].height, HEIGHT);
    assert_int_equal(look(), 0);
    draw(300, 0x123456, true);
    assert_int_equal(look(), 1);
    assert_int_equal(test.areas[0].y, 300);
    assert_int_equal(test.areas[0].height, 1);
    assert_int_equal(test.display.pixels[300 * WIDTH], 0x123456);
    assert_int_equal(look(), 0);
    draw(301, 0x654321, false); /* nobody looks where the hypervisor says that nothing was written */
    assert_int_equal(look(), 0);
}

/* What the hypervisor cannot tell, and what went with a mapping, is looked at. */
static void test_unknown_writes(void **state)
{
    (void)state;
    assert_int_equal(look(), 1);
    look();
    draw(5, 1, false);
    test.fake.written_error = -EIO;
    assert_int_equal(look(), 1);
    test.fake.written_error = 0;
    assert_int_equal(look(), 0);
    draw(7, 2, false);
    decode(false);
    decode(true);
    assert_int_equal(look(), 1);
    assert_int_equal(test.areas[0].y, 7);
}

/* The guest's RAM wins where both would be. */
static void test_collision(void **state)
{
    (void)state;
    decode(false);
    pci_config_write(&test.platform.pci, VGA_SLOT, 0, PCI_BAR_0, 4, 0);
    decode(true);
    assert_ptr_equal(guest_ram_page(&test.ram, 0x200000, MEMORY_WRITE), test.ram.host + 0x200000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_frame_buffer_is_memory, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_what_was_written_is_drawn, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_unknown_writes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_collision, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
