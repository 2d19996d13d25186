/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where the parent's kernel and initrd go, and what the kernel is told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "arch/x86_64/boot/multiboot/linux_parent.h"

#define MIB (1ull << 20)

static struct linux_image image;
static struct memory_map memory;
static struct linux_placement placement;
static unsigned long long numbers[2];

static int set_up(void **state)
{
    (void)state;
    image = (struct linux_image){
        .relocatable = true,
        .alignment = 2 * MIB,
        .preferred = 16 * MIB,
        .memory_size = 50 * MIB,
        .initrd_limit = 2048 * MIB,
    };
    memory.count = 0;
    memory_map_set(&memory, 0, 0x9FC00, MEMORY_RAM);
    memory_map_set(&memory, 1 * MIB, 256 * MIB, MEMORY_RAM);
    memory_map_set(&memory, 4096 * MIB, 8192 * MIB, MEMORY_RAM);
    return 0;
}

static const char *place(uint64_t initrd, uint64_t initrd_size)
{
    return linux_parent_place(&image, initrd, initrd_size, &memory, &placement, numbers);
}

static void take(uint64_t begin, uint64_t end)
{
    memory_map_set(&memory, begin, end, MEMORY_RESERVED);
}

static void kernel_where_it_likes_best(void **state)
{
    (void)state;
    take(2 * MIB, 3 * MIB);
    assert_null(place(2 * MIB, MIB));
    assert_int_equal(placement.kernel, 16 * MIB);
    assert_int_equal(placement.initrd, 2 * MIB); /* stays */
    assert_int_equal(memory_map_find_lowest(&memory, 1, 1, 16 * MIB, 4096 * MIB), 66 * MIB);
}

static void kernel_above_when_something_is_there(void **state)
{
    (void)state;
    take(15 * MIB, 16 * MIB + 1);
    assert_null(place(0, 0));
    assert_int_equal(placement.kernel, 18 * MIB);
}

static void never_below_and_never_above_4_gib(void **state)
{
    (void)state;
    image.memory_size = 241 * MIB;
    assert_non_null(strstr(place(0, 0), "the kernel needs %llu MiB"));
    assert_int_equal(numbers[0], 241);
    assert_int_equal(numbers[1], 16);
    image.memory_size = 240 * MIB;
    assert_null(place(0, 0));
    assert_int_equal(placement.kernel, 16 * MIB);
}

static void a_kernel_that_cannot_move(void **state)
{
    (void)state;
    image.relocatable = false;
    assert_null(place(0, 0));
    assert_int_equal(placement.kernel, 16 * MIB);
    set_up(NULL);
    image.relocatable = false;
    take(65 * MIB, 66 * MIB);
    assert_non_null(place(0, 0));
    image.preferred = ~0ull;
    assert_non_null(place(0, 0));
}

static void initrd_moves_when_it_must(void **state)
{
    (void)state;
    take(100 * MIB, 110 * MIB + 1);
    assert_null(place(100 * MIB + 1, 10 * MIB)); /* not on a page */
    assert_int_equal(placement.initrd, 246 * MIB);
    set_up(NULL);
    image.initrd_limit = 105 * MIB;
    take(100 * MIB, 110 * MIB);
    assert_null(place(100 * MIB, 10 * MIB)); /* too high */
    assert_int_equal(placement.initrd, 90 * MIB);
    assert_int_equal(memory_map_find_highest(&memory, MIB, 1, 1, 110 * MIB), 89 * MIB);
    set_up(NULL);
    image.initrd_limit = 72 * MIB;
    take(100 * MIB, 130 * MIB);
    assert_non_null(strstr(place(100 * MIB, 30 * MIB), "the initrd finds no %llu MiB"));
    assert_int_equal(numbers[0], 30);
    assert_int_equal(numbers[1], 72);
}

static void full_maps_are_refused(void **state)
{
    (void)state;
    for (uint64_t i = 0; memory.count < MEMORY_MAP_MAXIMUM - 1; i++)
        assert_true(memory_map_set(&memory, (9000 + 2 * i) * MIB, (9001 + 2 * i) * MIB, MEMORY_RAM));
    assert_non_null(strstr(place(0, 0), "too long"));
}

static uint64_t get(const uint8_t *params, unsigned offset, unsigned size)
{
    uint64_t value = 0;

    memcpy(&value, params + offset, size);
    return value;
}

static void describes_memory_and_text(void **state)
{
    static const struct multiboot2_screen unknown;
    static uint8_t params[LINUX_BOOT_PARAMS_SIZE];

    (void)state;
    take(128 * MIB, 130 * MIB);
    linux_parent_describe(params, &memory, &unknown, 7);
    assert_int_equal(params[0x1E8], 5);
    assert_int_equal(get(params, 0x2D0 + 2 * 20, 8), 128 * MIB);
    assert_int_equal(get(params, 0x2D0 + 2 * 20 + 8, 8), 2 * MIB);
    assert_int_equal(get(params, 0x2D0 + 2 * 20 + 16, 4), 2);
    assert_int_equal(params[0x01], 7);
    assert_int_equal(params[0x06], 3);
    assert_int_equal(params[0x07], 80);
    assert_int_equal(params[0x0E], 25);
    assert_int_equal(params[0x0F], 1);
    assert_int_equal(get(params, 0x10, 2), 16);
}

static void describes_a_framebuffer(void **state)
{
    static const struct multiboot2_screen screen = {
        .graphics = true,
        .address = 0x1E0000000,
        .pitch = 4096,
        .width = 1024,
        .height = 768,
        .depth = 32,
        .colours = {16, 8, 8, 8, 0, 8}
    };
    static uint8_t params[LINUX_BOOT_PARAMS_SIZE];

    (void)state;
    linux_parent_describe(params, &memory, &screen, 7);
    assert_int_equal(params[0x01], 0);
    assert_int_equal(params[0x0F], 0x23);
    assert_int_equal(get(params, 0x12, 2), 1024);
    assert_int_equal(get(params, 0x14, 2), 768);
    assert_int_equal(get(params, 0x16, 2), 32);
    assert_int_equal(get(params, 0x18, 4), 0xE0000000);
    assert_int_equal(get(params, 0x1C, 4), 48); /* 3 MiB */
    assert_int_equal(get(params, 0x24, 2), 4096);
    assert_memory_equal(params + 0x26, "\x08\x10\x08\x08\x08\x00\x08\x18", 8);
    assert_int_equal(get(params, 0x36, 4), 2);
    assert_int_equal(get(params, 0x3A, 4), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(kernel_where_it_likes_best, set_up),
        cmocka_unit_test_setup(kernel_above_when_something_is_there, set_up),
        cmocka_unit_test_setup(never_below_and_never_above_4_gib, set_up),
        cmocka_unit_test_setup(a_kernel_that_cannot_move, set_up),
        cmocka_unit_test_setup(initrd_moves_when_it_must, set_up),
        cmocka_unit_test_setup(full_maps_are_refused, set_up),
        cmocka_unit_test_setup(describes_memory_and_text, set_up),
        cmocka_unit_test_setup(describes_a_framebuffer, set_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
