/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The VNC server with viewers that are as they should be, slow, or something else. The server's loop runs when a
 * viewer finds nothing to read; its clock is moved by hand.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <rfb/rfb.h>
#include <cmocka.h>

#include "partitions/root/worker/vnc_server.h"
#include "tests/unit/rfb_client.h"

#define VIEWERS 10u

static struct {
    struct event_loop loop;
    struct key_queue keys;
    struct pointer pointer;
    struct vnc_server server;
    uint64_t offset; /* of the clock */
    bool no_memory;

    /* The machine */
    unsigned width, height;
    uint32_t *screen;
    struct display_area changed[DISPLAY_AREAS];
    unsigned changed_count, asked;

    struct rfb_client viewers[VIEWERS];
} test;

/* display_source.update */
static unsigned update(void *context, struct display *display, struct display_area areas[DISPLAY_AREAS])
{
    unsigned count = test.changed_count;

    (void)context;
    test.asked++;
    if (test.no_memory)
        return 0;
    if (display->width != test.width || display->height != test.height) {
        free(display->pixels);
        display->pixels = malloc((size_t)test.width * test.height * sizeof *display->pixels);
        assert_non_null(display->pixels);
        display->width = test.width;
        display->height = test.height;
        test.changed[0] = (struct display_area){.width = test.width, .height = test.height};
        count = 1;
    }
    memcpy(display->pixels, test.screen, (size_t)test.width * test.height * sizeof *test.screen);
    memcpy(areas, test.changed, count * sizeof areas[0]);
    test.changed_count = 0;
    return count;
}

static const struct display_source source = {.update = update};

static void set_screen(unsigned width, unsigned height, uint32_t seed)
{
    test.width = width;
    test.height = height;
    free(test.screen);
    test.screen = malloc((size_t)width * height * sizeof *test.screen);
    assert_non_null(test.screen);
    for (size_t i = 0; i < (size_t)width * height; i++)
        test.screen[i] = (seed = seed * 1664525u + 1013904223u) >> 8;
}

static void fill(unsigned x, unsigned y, unsigned width, unsigned height, uint32_t colour)
{
    for (unsigned row = y; row < y + height && row < test.height; row++)
        for (unsigned column = x; column < x + width && column < test.width; column++)
            test.screen[row * test.width + column] = colour;
    test.changed[test.changed_count++] = (struct display_area){x, y, width, height};
}

/* A round of the server, and 40 ms. */
static void turn(void)
{
    test.offset += 40;
    event_loop_wait(&test.loop, 0);
    test.loop.now += test.offset;
    event_loop_dispatch(&test.loop);
    vnc_server_run(&test.server);
}

static struct rfb_client *add_viewer(unsigned index, bool needs_password)
{
    struct rfb_client *viewer = &test.viewers[index];
    int ends[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
    *viewer = (struct rfb_client){.descriptor = ends[1], .turn = turn};
    vnc_server_add(&test.server, ends[0], needs_password);
    return viewer;
}

static struct rfb_client *connect_viewer(unsigned index)
{
    struct rfb_client *viewer = add_viewer(index, false);

    rfb_client_connect(viewer);
    return viewer;
}

static int set_up(void **state)
{
    (void)state;
    memset(&test, 0, sizeof test);
    assert_int_equal(event_loop_initialize(&test.loop), 0);
    key_queue_initialize(&test.keys, 0);
    for (unsigned i = 0; i < VIEWERS; i++)
        test.viewers[i].descriptor = -1;
    set_screen(1024, 768, 1);
    assert_true(vnc_server_initialize(&test.server, &test.loop, &source, &test.keys, &test.pointer, "web1", "secret"));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    for (unsigned i = 0; i < VIEWERS; i++)
        rfb_client_close(&test.viewers[i]);
    vnc_server_close(&test.server);
    event_loop_close(&test.loop);
    free(test.screen);
    return 0;
}

static void look(struct rfb_client *viewer)
{
    rfb_client_look(viewer, test.width, test.height, test.screen);
}

static void assert_shows_the_screen(const struct rfb_client *viewer)
{
    assert_int_equal(viewer->width, test.width);
    assert_int_equal(viewer->height, test.height);
    assert_memory_equal(viewer->pixels, test.screen, (size_t)test.width * test.height * sizeof *test.screen);
}

/* ---- What is shown ---- */

static void test_picture_and_changes(void **state)
{
    struct rfb_client *viewer = connect_viewer(0);
    uint64_t before;

    (void)state;
    assert_string_equal(viewer->name, "web1");
    look(viewer);
    assert_true(viewer->updates > 1); /* in parts */
    before = viewer->area;
    rfb_client_request(viewer, true);
    fill(100, 200, 30, 40, 0x123456);
    rfb_client_update(viewer);
    assert_shows_the_screen(viewer);
    assert_int_equal(viewer->area - before, 30 * 40);
    /* Areas that reach beyond the screen are the device's mistake, and no harm. */
    rfb_client_request(viewer, true);
    fill(1000, 760, 5000, 5000, 0xFEDCBA);
    test.changed[test.changed_count++] = (struct display_area){4000000000u, 1, 4000000000u, 1};
    rfb_client_update(viewer);
    assert_shows_the_screen(viewer);
}

/* The display is asked only while somebody waits for a picture, and then 30 times a second. */
static void test_nothing_is_drawn_for_nobody(void **state)
{
    struct rfb_client *viewer;
    unsigned asked;

    (void)state;
    for (unsigned i = 0; i < 10; i++)
        turn();
    assert_int_equal(test.asked, 0);
    assert_int_equal(vnc_server_due(&test.server), UINT64_MAX);
    viewer = connect_viewer(0);
    for (unsigned i = 0; i < 10; i++)
        turn();
    assert_int_equal(test.asked, 1); /* for the size */
    assert_int_equal(vnc_server_due(&test.server), UINT64_MAX);
    look(viewer);
    for (unsigned i = 0; i < 10; i++)
        turn();
    asked = test.asked;
    for (unsigned i = 0; i < 10; i++)
        turn();
    assert_int_equal(test.asked, asked);
    rfb_client_request(viewer, true);
    turn();
    asked = test.asked;
    test.offset -= 40; /* the clock stands */
    turn();
    test.offset -= 40;
    turn();
    assert_true(test.asked <= asked + 1);
    assert_int_equal(vnc_server_due(&test.server), test.server.drawn + VNC_SERVER_INTERVAL);
    rfb_client_close(viewer);
    turn();
    turn();
    assert_int_equal(test.server.client_count, 0);
    assert_null(test.server.display.pixels);
    assert_int_equal(vnc_server_due(&test.server), UINT64_MAX);
}

static void test_size_changes(void **state)
{
    struct rfb_client *viewer = connect_viewer(0), *old = add_viewer(1, false);
    const int32_t raw = 0;

    (void)state;
    rfb_client_choose(old, "RFB 003.003\n", 1);
    rfb_client_initialize(old);
    rfb_client_set_encodings(old, &raw, 1); /* knows no changes of size */
    look(viewer);
    look(old);
    for (unsigned i = 0; i < 4; i++) {
        const unsigned sizes[4][2] = {
            {640,  400 },
            {720,  401 },
            {1600, 1200},
            {320,  200 }
        };

        set_screen(sizes[i][0], sizes[i][1], i + 2);
        rfb_client_request(viewer, true);
        rfb_client_request(old, true);
        rfb_client_update(viewer);
        look(viewer);
        rfb_client_update(old);
    }
    assert_int_equal(old->width, 1024);
}

static void test_other_pixel_formats_and_encodings(void **state)
{
    struct rfb_client *viewer = connect_viewer(0);
    /* 16 bits, 5-6-5, little endian */
    const uint8_t format[20] = {0, 0, 0, 0, 16, 16, 0, 1, 0, 31, 0, 63, 0, 31, 11, 5, 0};
    const uint8_t request[10] = {3, 0, 0, 0, 0, 0, 0, 4, 0, 1};
    /* Ultra, UltraVNC's messages, cursors, quality, tight: what there is not is not used. */
    const int32_t encodings[] = {9, 0x48323634, -239, -65535, 16, -308, -224};
    uint8_t update[4 + 12 + 8], header[16], length[4];
    unsigned count;

    (void)state;
    fill(0, 0, 1, 1, 0xFF0000);
    fill(1, 0, 1, 1, 0x00FF00);
    fill(2, 0, 1, 1, 0x0000FF);
    fill(3, 0, 1, 1, 0xFFFFFF);
    rfb_client_send(viewer, format, sizeof format);
    rfb_client_send(viewer, request, sizeof request);
    rfb_client_receive(viewer, update, sizeof update);
    assert_memory_equal(update + 4, ((uint8_t[]){0, 0, 0, 0, 0, 4, 0, 1, 0, 0, 0, 0}), 12);
    assert_memory_equal(update + 16, ((uint8_t[]){0x00, 0xF8, 0xE0, 0x07, 0x1F, 0x00, 0xFF, 0xFF}), 8);
    rfb_client_set_encodings(viewer, encodings, 7);
    rfb_client_send(viewer, request, sizeof request);
    rfb_client_receive(viewer, header, sizeof header);
    assert_memory_equal(header + 4, ((uint8_t[]){0, 0, 0, 0, 0, 4, 0, 1, 0, 0, 0, 16}), 12); /* ZRLE */
    rfb_client_receive(viewer, length, sizeof length);
    count = (unsigned)length[2] << 8 | length[3];
    assert_in_range(count, 1, 100);
    while (count-- > 0)
        rfb_client_receive(viewer, header, 1);
}

/* ---- Several ---- */

static void test_viewers_share(void **state)
{
    struct rfb_client *late;

    (void)state;
    for (unsigned i = 0; i < VNC_SERVER_CLIENTS; i++)
        look(connect_viewer(i));
    late = add_viewer(VNC_SERVER_CLIENTS, false);
    assert_true(rfb_client_is_gone(late));
    for (unsigned i = 0; i < VNC_SERVER_CLIENTS; i++)
        rfb_client_request(&test.viewers[i], true);
    fill(10, 10, 10, 10, 0xABCDEF);
    for (unsigned i = 0; i < VNC_SERVER_CLIENTS; i++) {
        rfb_client_update(&test.viewers[i]);
        assert_shows_the_screen(&test.viewers[i]);
    }
    rfb_client_close(&test.viewers[3]);
    turn();
    look(connect_viewer(3));
}

/* One that asks and does not read keeps nobody, and is let go in the end. */
static void test_stalled_viewer(void **state)
{
    struct rfb_client *stalled = connect_viewer(0), *other = connect_viewer(1);

    (void)state;
    for (unsigned i = 0; i < 20; i++) {
        rfb_client_request(stalled, false);
        turn();
    }
    assert_true(test.server.clients[0].blocked);
    for (unsigned i = 0; i < 3; i++) {
        uint64_t before = test.offset;

        fill(i, i, 500, 500, i);
        look(other);
        test.offset = before; /* no time has passed */
    }
    assert_true(test.server.clients[0].descriptor >= 0);
    assert_int_equal(vnc_server_due(&test.server) < UINT64_MAX, true);
    test.offset += VNC_CLIENT_PATIENCE;
    turn();
    assert_int_equal(test.server.clients[0].descriptor, -1);
    assert_int_equal(test.server.client_count, 1);
    look(other);
}

/* One that is only slow gets everything. */
static void test_slow_viewer(void **state)
{
    struct rfb_client *slow = connect_viewer(0);

    (void)state;
    for (unsigned i = 0; i < 20; i++)
        rfb_client_request(slow, false);
    for (unsigned i = 0; i < 100; i++)
        turn();
    while (slow->area < 1024 * 768) {
        rfb_client_request(slow, true);
        rfb_client_update(slow);
    }
    assert_shows_the_screen(slow);
}

/* ---- Keys and pointer ---- */

static uint16_t keys[64];
static unsigned key_count;

static bool take_key(void *context, uint16_t key, bool pressed)
{
    (void)context;
    if (key_count < 64)
        keys[key_count++] = key | (pressed ? 0 : 0x80);
    return true;
}

static void test_keys(void **state)
{
    const struct input_sink sink = {.key = take_key};
    const uint16_t expected[] = {0x2A, 0x1E, 0xAA, 0x9E, 0xE053, 0xE0D3, 0x1D};
    struct rfb_client *viewer = connect_viewer(0);

    (void)state;
    key_count = 0;
    rfb_client_key(viewer, 'A', true);
    rfb_client_key(viewer, 'A', false);
    rfb_client_key(viewer, 0xFFFF, true);
    rfb_client_key(viewer, 0xFFFF, false);
    rfb_client_key(viewer, 0xE4, true); /* not on the keyboard */
    rfb_client_key(viewer, 0xFFE3, true);
    key_queue_run(&test.keys, &sink, test.loop.now);
    assert_int_equal(key_count, 7);
    assert_memory_equal(keys, expected, sizeof expected);
    /* What it holds down is let go of when it goes. */
    rfb_client_close(viewer);
    turn();
    key_queue_run(&test.keys, &sink, test.loop.now);
    assert_int_equal(key_count, 8);
    assert_int_equal(keys[7], 0x9D);
}

static void test_pointer(void **state)
{
    struct rfb_client *viewer = connect_viewer(0), *other = connect_viewer(1);

    (void)state;
    look(viewer);
    rfb_client_pointer(viewer, 1, 300, 200);
    assert_true(test.pointer.count >= 2);
    assert_int_equal(test.pointer.width, 1024);
    assert_int_equal(test.pointer.targets[test.pointer.count - 1].x, 300);
    assert_int_equal(test.pointer.targets[test.pointer.count - 1].y, 200);
    assert_int_equal(test.pointer.targets[test.pointer.count - 1].buttons, INPUT_BUTTON_LEFT);
    rfb_client_pointer(other, 0, 10, 10); /* while the other one holds a button */
    assert_int_equal(test.pointer.targets[test.pointer.count - 1].x, 300);
    rfb_client_pointer(viewer, 0, 65535, 65535);
    assert_int_equal(test.pointer.targets[test.pointer.count - 1].x, 1023);
    assert_int_equal(test.pointer.targets[test.pointer.count - 1].y, 767);
}

/* ---- Passwords ---- */

static void respond(struct rfb_client *viewer, const char *password)
{
    uint8_t challenge[16];
    char copy[9] = "";

    strncpy(copy, password, 8);
    rfb_client_receive(viewer, challenge, sizeof challenge);
    rfbEncryptBytes(challenge, copy);
    rfb_client_send(viewer, challenge, sizeof challenge);
}

static void test_password(void **state)
{
    const char *const versions[] = {"RFB 003.003\n", "RFB 003.007\n", "RFB 003.008\n"};

    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        struct rfb_client *viewer = add_viewer(0, true);

        rfb_client_choose(viewer, versions[i], 2);
        respond(viewer, "secret");
        assert_int_equal(rfb_client_result(viewer), 0);
        assert_int_equal(test.asked, 0); /* not for somebody who only might be let in */
        assert_int_equal(test.server.wrong_password, 0);
        rfb_client_initialize(viewer);
        look(viewer);
        rfb_client_close(viewer);
        turn();
        test.asked = 0;
    }
    for (unsigned i = 0; i < 3; i++) {
        struct rfb_client *viewer = add_viewer(0, true);

        test.server.wrong_password = 0;
        rfb_client_choose(viewer, versions[i], 2);
        respond(viewer, "secre");
        assert_int_equal(rfb_client_result(viewer), 1);
        assert_true(rfb_client_is_gone(viewer));
        assert_int_not_equal(test.server.wrong_password, 0);
        rfb_client_close(viewer);
        turn();
        assert_int_equal(test.server.client_count, 0);
    }
    assert_int_equal(test.asked, 0);
}

/* Somebody who needs none does not open a way for others without one. */
static void test_password_cannot_be_left_out(void **state)
{
    struct rfb_client *first = connect_viewer(0), *second = add_viewer(1, true), *third;
    char greeting[12];
    uint8_t types[2];

    (void)state;
    rfb_client_receive(second, greeting, sizeof greeting);
    rfb_client_send(second, "RFB 003.008\n", 12);
    rfb_client_receive(second, types, sizeof types);
    assert_memory_equal(types, "\1\2", 2);
    third = connect_viewer(2); /* now libvncserver offers "none" */
    rfb_client_send(second, "\1", 1);
    assert_true(rfb_client_is_gone(second));
    look(first);
    look(third);
}

/* ---- Others ---- */

static void assert_is_thrown_out(const void *bytes, size_t length, bool connected)
{
    struct rfb_client *viewer = connected ? connect_viewer(0) : add_viewer(0, false);

    rfb_client_send(viewer, bytes, length);
    assert_true(rfb_client_is_gone(viewer));
    rfb_client_close(viewer);
    turn();
    assert_int_equal(test.server.client_count, 0);
}

static void test_what_is_not_served(void **state)
{
    uint8_t format[20] = {0, 0, 0, 0, 32, 24, 0, 1, 0, 255, 0, 255, 0, 255, 16, 8, 0};

    (void)state;
    assert_is_thrown_out("GET / HTTP/1.1\r\nUpgrade: websocket\r\n\r\n", 38, false);
    assert_is_thrown_out("\x16\x03\x01\x02\x00\x01\x00\x01\xFC\x03\x03\x00", 12, false);
    assert_is_thrown_out("RFB 003.008\r", 12, false);
    for (unsigned type = 0; type < 256; type++) {
        uint8_t message[64] = {(uint8_t)type};

        if (type != 0 && (type < 2 || type > 6)) /* file transfer, scaling, text chat, other sizes, ... */
            assert_is_thrown_out(message, sizeof message, true);
    }
    assert_is_thrown_out("\2\0\xFF\xFF", 4, true); /* 65535 encodings */
    format[4] = 24;
    assert_is_thrown_out(format, sizeof format, true);
    format[4] = 32;
    format[14] = 40; /* red beyond the pixel */
    assert_is_thrown_out(format, sizeof format, true);
    format[14] = 25;
    assert_is_thrown_out(format, sizeof format, true);
    format[14] = 16;
    format[9] = 254; /* not 2^n - 1 */
    assert_is_thrown_out(format, sizeof format, true);
}

static void test_clipboard_goes_nowhere(void **state)
{
    struct rfb_client *viewer = connect_viewer(0);
    uint8_t text[70000] = {6, 0, 0, 0, 0, 1, 0x11, 0x68}; /* and 69,992 bytes */
    uint8_t extended[12] = {6, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFC, 1, 2, 3, 4};

    (void)state;
    rfb_client_send(viewer, text, sizeof text);
    rfb_client_send(viewer, extended, sizeof extended);
    rfb_client_key(viewer, 'a', true);
    look(viewer);
    assert_int_equal(test.keys.count, 1);
}

/* Byte by byte, what comes is the same; and who does not finish keeps nobody. */
static void test_messages_in_pieces(void **state)
{
    struct rfb_client *half = connect_viewer(0), *other = connect_viewer(1), *silent = add_viewer(2, false);
    const uint8_t key[8] = {4, 1, 0, 0, 0, 0, 0, 'b'};

    (void)state;
    for (unsigned i = 0; i < 7; i++) {
        rfb_client_send(half, key + i, 1);
        look(other);
        assert_int_equal(test.keys.count, 0);
    }
    rfb_client_send(half, key + 7, 1);
    assert_int_equal(test.keys.count, 1);
    /* Somebody who says nothing is waited for, but not for ever; a viewer may be silent. */
    assert_true(test.server.clients[2].descriptor >= 0);
    test.offset += VNC_CLIENT_PATIENCE;
    turn();
    assert_true(rfb_client_is_gone(silent));
    look(half);
}

static void test_garbage(void **state)
{
    uint32_t random = 7;

    (void)state;
    for (unsigned round = 0; round < 400; round++) {
        struct rfb_client *viewer = round % 2 ? connect_viewer(0) : add_viewer(0, round % 4 == 2);
        uint8_t bytes[512];

        for (unsigned i = 0; i < sizeof bytes; i++)
            bytes[i] = (uint8_t)((random = random * 1664525u + 1013904223u) >> 24);
        bytes[0] = (uint8_t)(round / 2 % 7);
        if (send(viewer->descriptor, bytes, sizeof bytes, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
            assert_int_equal(errno, EPIPE);
        for (unsigned i = 0; i < 5; i++)
            turn();
        rfb_client_close(viewer);
        turn();
        assert_int_equal(test.server.client_count, 0);
    }
    look(connect_viewer(0));
}

static void test_no_memory_for_the_picture(void **state)
{
    struct rfb_client *viewer = add_viewer(0, false);

    (void)state;
    test.no_memory = true;
    rfb_client_choose(viewer, "RFB 003.008\n", 1);
    assert_int_equal(rfb_client_result(viewer), 0);
    rfb_client_send(viewer, "\1", 1);
    assert_true(rfb_client_is_gone(viewer));
    test.no_memory = false;
    look(connect_viewer(1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_picture_and_changes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_nothing_is_drawn_for_nobody, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_size_changes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_other_pixel_formats_and_encodings, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_viewers_share, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_stalled_viewer, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_slow_viewer, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_keys, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_pointer, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_password, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_password_cannot_be_left_out, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_what_is_not_served, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_clipboard_goes_nowhere, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_messages_in_pieces, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_garbage, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_no_memory_for_the_picture, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
