/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What displays are told to be new. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "tests/unit/vga_fixture.h"

static struct vga_fixture fixture;
static struct display first, second;
static struct display_area areas[DISPLAY_AREAS];

static int setup_with(bool dirty_hook)
{
    vga_fixture_initialize(&fixture, dirty_hook);
    vga_fixture_decode(&fixture);
    memset(&first, 0, sizeof first);
    memset(&second, 0, sizeof second);
    return 0;
}

static int setup(void **state)
{
    (void)state;
    return setup_with(false);
}

static int setup_dirty(void **state)
{
    (void)state;
    return setup_with(true);
}

static int teardown(void **state)
{
    (void)state;
    free(first.pixels);
    free(second.pixels);
    vga_fixture_free(&fixture);
    return 0;
}

static void assert_area(unsigned index, unsigned x, unsigned y, unsigned width, unsigned height)
{
    assert_int_equal(areas[index].x, x);
    assert_int_equal(areas[index].y, y);
    assert_int_equal(areas[index].width, width);
    assert_int_equal(areas[index].height, height);
}

/* A pixel of 32 bits in a mode 640 pixels wide. */
static void put(unsigned x, unsigned y, uint8_t value)
{
    guest_write(&fixture, VGA_FRAME_BUFFER + 4 * (640 * y + x), value);
}

static void start(void)
{
    set_mode(&fixture, 3);
    set_dispi_mode(&fixture, 640, 480, 32);
}

static void what_changed_is_told_once(void **state)
{
    (void)state;
    start();
    assert_int_equal(look(&fixture, &first, areas), 1);
    assert_area(0, 0, 0, 640, 480);
    assert_int_equal(look(&fixture, &first, areas), 0);
    put(100, 50, 1);
    put(110, 50, 1);
    put(105, 52, 1);
    put(0, 479, 1);
    put(639, 479, 1);
    assert_int_equal(look(&fixture, &first, areas), 2);
    assert_area(0, 100, 50, 11, 3);
    assert_area(1, 0, 479, 640, 1);
    assert_int_equal(pixel(&first, 105, 52), 1);
    assert_int_equal(look(&fixture, &first, areas), 0);
    put(100, 50, 1); /* the same once more */
    assert_int_equal(look(&fixture, &first, areas), 0);
}

static void there_are_never_too_many_areas(void **state)
{
    (void)state;
    start();
    set_dispi_mode(&fixture, 640, 2000, 32);
    look(&fixture, &first, areas);
    for (unsigned y = 0; y < 2000; y += 40)
        put(y % 600, y, 1);
    assert_int_equal(look(&fixture, &first, areas), DISPLAY_AREAS);
    assert_area(1, 40, 40, 1, 1);
    assert_int_equal(areas[DISPLAY_AREAS - 1].y, 1240);
    assert_int_equal(areas[DISPLAY_AREAS - 1].height, 721);
    assert_area(DISPLAY_AREAS - 1, 0, 1240, 561, 721);
}

static void a_change_of_size_is_everything(void **state)
{
    (void)state;
    start();
    look(&fixture, &first, areas);
    set_dispi_mode(&fixture, 800, 600, 32);
    assert_int_equal(look(&fixture, &first, areas), 1);
    assert_area(0, 0, 0, 800, 600);
    assert_int_equal(first.width, 800);
}

static void displays_look_in_turn(void **state)
{
    (void)state;
    start();
    look(&fixture, &first, areas);
    put(1, 1, 1);
    assert_int_equal(look(&fixture, &second, areas), 1);
    assert_area(0, 0, 0, 640, 480);
    put(2, 1, 1);
    assert_int_equal(look(&fixture, &second, areas), 1);
    assert_area(0, 2, 1, 1, 1);
    assert_int_equal(look(&fixture, &first, areas), 1);
    assert_area(0, 1, 1, 2, 1);
    assert_int_equal(look(&fixture, &second, areas), 0);
    assert_int_equal(look(&fixture, &first, areas), 0);
}

static void more_displays_than_are_remembered(void **state)
{
    struct display many[2 * VGA_WATCHERS] = {0};

    (void)state;
    start();
    for (unsigned round = 0; round < 3; round++) {
        put(round, 7, 1);
        for (unsigned i = 0; i < 2 * VGA_WATCHERS; i++) {
            assert_int_equal(look(&fixture, &many[i], areas), 1);
            if (round > 0)
                assert_area(0, round, 7, 1, 1);
        }
    }
    for (unsigned i = 0; i < 2 * VGA_WATCHERS; i++)
        free(many[i].pixels);
}

static void a_display_at_the_place_of_an_old_one(void **state)
{
    (void)state;
    start();
    look(&fixture, &first, areas);
    put(3, 3, 9);
    free(first.pixels);
    memset(&first, 0, sizeof first);
    assert_int_equal(look(&fixture, &first, areas), 1);
    assert_area(0, 0, 0, 640, 480);
    assert_int_equal(pixel(&first, 3, 3), 9);
}

static void pages_that_nobody_wrote_are_not_read(void **state)
{
    (void)state;
    start();
    look(&fixture, &first, areas);
    fixture.dirty_pages_asked = 0;
    look(&fixture, &first, areas);
    assert_int_equal(fixture.dirty_pages_asked, 640 * 480 * 4 / 4096);
    /* Behind the hook's back: not seen, and that proves that it counts. */
    fixture.memory[4 * (640 * 100 + 5)] = 1;
    assert_int_equal(look(&fixture, &first, areas), 0);
    put(6, 100, 1);
    assert_int_equal(look(&fixture, &first, areas), 1);
    assert_area(0, 5, 100, 2, 1);
    fixture.memory[4 * (640 * 200 + 5)] = 1;
    fixture.dirty_known = false; /* the hook cannot say */
    assert_int_equal(look(&fixture, &first, areas), 1);
    assert_area(0, 5, 200, 1, 1);
}

static void pages_are_remembered_for_every_display(void **state)
{
    (void)state;
    start();
    look(&fixture, &first, areas);
    look(&fixture, &second, areas);
    put(1, 1, 1);
    assert_int_equal(look(&fixture, &first, areas), 1);
    assert_int_equal(look(&fixture, &second, areas), 1);
    assert_area(0, 1, 1, 1, 1);
    assert_int_equal(look(&fixture, &second, areas), 0);
}

static void what_the_adapter_writes_is_seen(void **state)
{
    (void)state;
    start();
    look(&fixture, &first, areas);
    guest_write(&fixture, 0xa0004, 1); /* by the window, access by access */
    assert_int_equal(look(&fixture, &first, areas), 1);
    assert_area(0, 1, 0, 1, 1);
    set_dispi(&fixture, 4, 0);
    set_dispi(&fixture, 4, 0x41); /* cleared */
    assert_int_equal(look(&fixture, &first, areas), 1);
    assert_area(0, 1, 0, 1, 1);
    guest_touch(&fixture, 0xa0000);
    guest_write(&fixture, 0xa0008, 1); /* by the window, as RAM */
    assert_int_equal(look(&fixture, &first, areas), 1);
    assert_area(0, 2, 0, 1, 1);
}

static void colors_change_without_memory(void **state)
{
    (void)state;
    set_mode(&fixture, 3);
    set_dispi_mode(&fixture, 640, 480, 8);
    guest_write(&fixture, VGA_FRAME_BUFFER + 640 * 20 + 30, 5);
    look(&fixture, &first, areas);
    set_color(&fixture, 5, 0, 0x3f, 0);
    assert_int_equal(look(&fixture, &first, areas), 1);
    assert_area(0, 30, 20, 1, 1);
    assert_int_equal(pixel(&first, 30, 20), 0x00ff00);
}

static void a_picture_that_moves_in_memory(void **state)
{
    (void)state;
    start();
    put(5, 500, 1);
    look(&fixture, &first, areas);
    set_dispi(&fixture, 9, 100);
    assert_int_equal(look(&fixture, &first, areas), 1);
    assert_area(0, 5, 400, 1, 1);
}

static void text_is_told_by_letters(void **state)
{
    (void)state;
    set_mode(&fixture, 3);
    set_crtc(&fixture, 0x0a, 0x20);
    for (unsigned line = 2; line < 14; line++)
        fixture.memory[4 * ('A' * 32 + line) + 2] = 0x7e;
    look(&fixture, &first, areas);
    guest_write(&fixture, 0xb8000 + 160, 'A');
    guest_write(&fixture, 0xb8001 + 160, 7);
    assert_int_equal(look(&fixture, &first, areas), 1);
    assert_area(0, 1, 18, 6, 12);
    fixture.memory[4 * ('A' * 32 + 5) + 2] = 0x7f; /* another font */
    assert_int_equal(look(&fixture, &first, areas), 1);
    assert_area(0, 7, 21, 1, 1);
    assert_int_equal(look(&fixture, &first, areas), 0);
}

#define THREADS (VGA_WATCHERS + 2)
#define ROUNDS  60

static void *keep_looking(void *argument)
{
    struct display *display = argument;
    struct display_area own[DISPLAY_AREAS];

    for (unsigned i = 0; i < ROUNDS; i++)
        vga_update(fixture.vga, display, own);
    return NULL;
}

/* Each display has a thread of its own while the guest goes on; in the end all of them show the same. */
static void displays_look_at_once(void **state)
{
    struct display displays[THREADS] = {0};
    pthread_t threads[THREADS];

    (void)state;
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, keep_looking, &displays[i]), 0);
    for (unsigned i = 0; i < ROUNDS; i++) {
        pthread_mutex_lock(&fixture.lock);
        if (i % 3 == 0)
            set_dispi_mode(&fixture, 320, (uint16_t)(200 + i % 2), 32);
        guest_write(&fixture, 0xa0000 + i * 320, (uint8_t)i);
        pthread_mutex_unlock(&fixture.lock);
    }
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    look(&fixture, &first, areas);
    for (unsigned i = 0; i < THREADS; i++) {
        look(&fixture, &displays[i], areas);
        assert_int_equal(displays[i].height, first.height);
        assert_memory_equal(displays[i].pixels, first.pixels, sizeof *first.pixels * first.width * first.height);
        free(displays[i].pixels);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_changed_is_told_once, setup, teardown),
        cmocka_unit_test_setup_teardown(what_changed_is_told_once, setup_dirty, teardown),
        cmocka_unit_test_setup_teardown(there_are_never_too_many_areas, setup, teardown),
        cmocka_unit_test_setup_teardown(a_change_of_size_is_everything, setup_dirty, teardown),
        cmocka_unit_test_setup_teardown(displays_look_in_turn, setup, teardown),
        cmocka_unit_test_setup_teardown(displays_look_in_turn, setup_dirty, teardown),
        cmocka_unit_test_setup_teardown(more_displays_than_are_remembered, setup, teardown),
        cmocka_unit_test_setup_teardown(more_displays_than_are_remembered, setup_dirty, teardown),
        cmocka_unit_test_setup_teardown(a_display_at_the_place_of_an_old_one, setup_dirty, teardown),
        cmocka_unit_test_setup_teardown(pages_that_nobody_wrote_are_not_read, setup_dirty, teardown),
        cmocka_unit_test_setup_teardown(pages_are_remembered_for_every_display, setup_dirty, teardown),
        cmocka_unit_test_setup_teardown(what_the_adapter_writes_is_seen, setup_dirty, teardown),
        cmocka_unit_test_setup_teardown(colors_change_without_memory, setup_dirty, teardown),
        cmocka_unit_test_setup_teardown(a_picture_that_moves_in_memory, setup_dirty, teardown),
        cmocka_unit_test_setup_teardown(text_is_told_by_letters, setup, teardown),
        cmocka_unit_test_setup_teardown(displays_look_at_once, setup_dirty, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
