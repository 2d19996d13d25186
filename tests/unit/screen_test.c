/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The screen as others see it: its thread, ways in, pictures, typing, text; and the control socket's requests for
 * them.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <spng.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <rfb/rfb.h>
#include <cmocka.h>

#include "partitions/root/worker/control_answer.h"
#include "partitions/root/worker/screen.h"
#include "partitions/root/worker/screenshot.h"
#include "partitions/root/worker/vnc_server.h"
#include "tests/unit/rfb_client.h"

#define WIDTH  800u
#define HEIGHT 600u

static struct {
    char directory[64], path[128];
    struct screen *screen;
    struct control control;
    struct control_connection connection;
    uint32_t pixels[WIDTH * HEIGHT];
    bool graphics; /* not a text mode */

    pthread_mutex_t lock;
    bool deaf;
    struct key_event keys[8192];
    unsigned key_count;
} test;

static unsigned update(void *context, struct display *display, struct display_area areas[DISPLAY_AREAS])
{
    (void)context;
    if (!display->pixels) {
        display->pixels = malloc(sizeof test.pixels);
        assert_non_null(display->pixels);
        display->width = WIDTH;
        display->height = HEIGHT;
    }
    memcpy(display->pixels, test.pixels, sizeof test.pixels);
    areas[0] = (struct display_area){.width = WIDTH, .height = HEIGHT};
    return 1;
}

static bool take_key(void *context, uint16_t key, bool pressed)
{
    bool taken;

    (void)context;
    pthread_mutex_lock(&test.lock);
    taken = !test.deaf && test.key_count < 8192;
    if (taken)
        test.keys[test.key_count++] = (struct key_event){key, pressed};
    pthread_mutex_unlock(&test.lock);
    return taken;
}

static void take_pointer(void *context, int dx, int dy, int wheel, unsigned buttons)
{
    (void)context;
    (void)dx;
    (void)dy;
    (void)wheel;
    (void)buttons;
}

static bool read_text(void *context, struct screen_text *text)
{
    (void)context;
    if (test.graphics)
        return false;
    text->columns = 80;
    text->rows = 25;
    memset(text->characters, ' ', sizeof text->characters);
    memcpy(text->characters, "GNU GRUB", 8);
    memcpy(text->characters + 80, "\xC9\xCD\xBB \x81\x00\x10\x7F\xFF\x00  ", 12);
    text->characters[24 * 80 + 79] = '$';
    return true;
}

static const struct machine_screen machine = {
    .display = {.update = update},
    .input = {.key = take_key,  .pointer = take_pointer},
    .text = {.read = read_text               },
};

static void start(const char *local, const char *address, const char *password)
{
    struct configuration_screen configuration = {
        .local = {(char *)local, -1},
          .address = (char *)address, .password = (char *)password
    };
    struct screen_listeners listeners;
    char error[SCREEN_ERROR_SIZE];

    if (!screen_listen(&configuration, &listeners, error))
        fail_msg("%s", error);
    test.screen = screen_start(&machine, "web1", &listeners, error);
    if (!test.screen)
        fail_msg("%s", error);
    test.control.screen = test.screen;
    test.connection.control = &test.control;
}

static int set_up(void **state)
{
    uint32_t random = 1;

    (void)state;
    memset(&test, 0, sizeof test);
    pthread_mutex_init(&test.lock, NULL);
    strcpy(test.directory, "/tmp/screen-test-XXXXXX");
    assert_non_null(mkdtemp(test.directory));
    snprintf(test.path, sizeof test.path, "%s/screen", test.directory);
    for (unsigned i = 0; i < WIDTH * HEIGHT; i++)
        test.pixels[i] = (random = random * 1664525u + 1013904223u) >> 8;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    screen_end(test.screen);
    unlink(test.path);
    assert_int_equal(rmdir(test.directory), 0);
    return 0;
}

/* The server has a thread of its own. */
static void turn(void)
{
    poll(NULL, 0, 1);
}

static int attach(enum screen_purpose purpose)
{
    int ends[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
    screen_attach(test.screen, ends[0], purpose);
    return ends[1];
}

static void look(struct rfb_client *viewer)
{
    rfb_client_look(viewer, WIDTH, HEIGHT, test.pixels);
}

/* ---- Ways in ---- */

static void test_viewers_by_descriptor(void **state)
{
    struct rfb_client viewers[VNC_SERVER_CLIENTS + 1];

    (void)state;
    start(NULL, NULL, NULL);
    for (unsigned i = 0; i < VNC_SERVER_CLIENTS; i++) {
        assert_true(screen_has_room(test.screen, SCREEN_VIEWER));
        viewers[i] = (struct rfb_client){.descriptor = attach(SCREEN_VIEWER), .turn = turn};
        rfb_client_connect(&viewers[i]);
        look(&viewers[i]);
    }
    assert_false(screen_has_room(test.screen, SCREEN_VIEWER));
    viewers[VNC_SERVER_CLIENTS] = (struct rfb_client){.descriptor = attach(SCREEN_VIEWER), .turn = turn};
    assert_true(rfb_client_is_gone(&viewers[VNC_SERVER_CLIENTS]));
    for (unsigned i = 0; i <= VNC_SERVER_CLIENTS; i++)
        rfb_client_close(&viewers[i]);
    while (!screen_has_room(test.screen, SCREEN_VIEWER))
        turn();
}

static void test_local_socket(void **state)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct rfb_client viewer = {.descriptor = socket(AF_UNIX, SOCK_STREAM, 0), .turn = turn};
    struct stat status;

    (void)state;
    start(test.path, NULL, NULL);
    assert_int_equal(stat(test.path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
    strcpy(address.sun_path, test.path);
    assert_int_equal(connect(viewer.descriptor, (struct sockaddr *)&address, sizeof address), 0);
    rfb_client_connect(&viewer);
    look(&viewer);
    rfb_client_close(&viewer);
}

static void test_network(void **state)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int probe = socket(AF_INET, SOCK_STREAM, 0);
    uint8_t challenge[16];
    char text[32], password[] = "12345678";

    (void)state;
    /* A port that is free */
    assert_int_equal(bind(probe, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(getsockname(probe, (struct sockaddr *)&address, &length), 0);
    close(probe);
    snprintf(text, sizeof text, "127.0.0.1:%u", ntohs(address.sin_port));
    start(NULL, text, password);
    for (unsigned i = 0; i < 2; i++) {
        struct rfb_client viewer = {.descriptor = socket(AF_INET, SOCK_STREAM, 0), .turn = turn};

        assert_int_equal(connect(viewer.descriptor, (struct sockaddr *)&address, sizeof address), 0);
        rfb_client_choose(&viewer, "RFB 003.008\n", 2);
        rfb_client_receive(&viewer, challenge, sizeof challenge);
        rfbEncryptBytes(challenge, i ? password : (char[]){"1234567"});
        rfb_client_send(&viewer, challenge, sizeof challenge);
        assert_int_equal(rfb_client_result(&viewer), !i); /* the second has to wait a moment */
        if (i) {
            rfb_client_initialize(&viewer);
            look(&viewer);
        }
        rfb_client_close(&viewer);
    }
}

static void test_addresses_that_are_not_listened_on(void **state)
{
    const struct {
        const char *address, *password, *error;
    } wrong[] = {
        {"127.0.0.1",        NULL,     "127.0.0.1: is not an address and a port, such as 127.0.0.1:5901"                      },
        {"127.0.0.1:",       NULL,     "127.0.0.1:: is not an address and a port, such as 127.0.0.1:5901"                     },
        {"localhost:5901",   "x",      "localhost:5901: is not an address and a port, such as 127.0.0.1:5901"                 },
        {"127.0.0.1:99999x", NULL,     "127.0.0.1:99999x: is not an address and a port, such as 127.0.0.1:5901"               },
        {"0.0.0.0:5901",     NULL,
         "0.0.0.0:5901: others could look at the screen: give it a password, or a loopback address"                           },
        {"[::]:5901",        NULL,     "[::]:5901: others could look at the screen: give it a password, or a loopback address"},
        {"192.0.2.1:5901",   "secret", "192.0.2.1:5901: Cannot assign requested address"                                      },
    };
    struct screen_listeners listeners;
    char error[SCREEN_ERROR_SIZE];

    (void)state;
    for (unsigned i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        const struct configuration_screen configuration = {
            .local = {test.path, -1},
              .address = (char *)wrong[i].address, .password = (char *)wrong[i].password
        };

        assert_false(screen_listen(&configuration, &listeners, error));
        assert_string_equal(error, wrong[i].error);
        assert_int_equal(listeners.local, -1);
    }
}

/* ---- Pictures ---- */

/* All that comes until the end. */
static size_t read_to_end(int descriptor, uint8_t *bytes, size_t size)
{
    size_t length = 0;

    for (;;) {
        struct pollfd wait = {.fd = descriptor, .events = POLLIN};
        ssize_t count;

        assert_int_equal(poll(&wait, 1, 60000), 1);
        count = recv(descriptor, bytes + length, size - length, MSG_DONTWAIT);
        if (count <= 0)
            break;
        length += (size_t)count;
    }
    close(descriptor);
    return length;
}

static void assert_is_the_picture(const uint8_t *png, size_t length)
{
    spng_ctx *context = spng_ctx_new(0);
    struct spng_ihdr header;
    uint8_t *image;
    size_t size;

    assert_int_equal(spng_set_png_buffer(context, png, length), 0);
    assert_int_equal(spng_get_ihdr(context, &header), 0);
    assert_int_equal(header.width, WIDTH);
    assert_int_equal(header.height, HEIGHT);
    assert_int_equal(header.bit_depth, 8);
    assert_int_equal(spng_decoded_image_size(context, SPNG_FMT_RGB8, &size), 0);
    assert_int_equal(size, WIDTH * HEIGHT * 3);
    image = malloc(size);
    assert_non_null(image);
    assert_int_equal(spng_decode_image(context, image, size, SPNG_FMT_RGB8, 0), 0);
    for (unsigned i = 0; i < WIDTH * HEIGHT; i++)
        assert_int_equal((uint32_t)image[3 * i] << 16 | (uint32_t)image[3 * i + 1] << 8 | image[3 * i + 2],
                         test.pixels[i]);
    free(image);
    spng_ctx_free(context);
}

static void test_pictures(void **state)
{
    static uint8_t png[WIDTH * HEIGHT * 4];
    int first, second;

    (void)state;
    start(NULL, NULL, NULL);
    /* Noise: the largest that there is, and more than a socket holds. */
    first = attach(SCREEN_PICTURE);
    second = attach(SCREEN_PICTURE);
    assert_false(screen_has_room(test.screen, SCREEN_PICTURE));
    assert_is_the_picture(png, read_to_end(second, png, sizeof png));
    assert_is_the_picture(png, read_to_end(first, png, sizeof png));
    while (!screen_has_room(test.screen, SCREEN_PICTURE))
        turn();
    /* Somebody who goes away in the middle */
    close(attach(SCREEN_PICTURE));
    for (unsigned i = 0; i < WIDTH * HEIGHT; i++)
        test.pixels[i] = i % WIDTH < 100 ? 0x0000AA : 0;
    while (!screen_has_room(test.screen, SCREEN_PICTURE))
        turn();
    assert_is_the_picture(png, read_to_end(attach(SCREEN_PICTURE), png, sizeof png));
}

static void test_no_picture(void **state)
{
    struct screenshot screenshot;
    struct display none = {0};

    (void)state;
    assert_int_equal(screenshot_take(&screenshot, &none), EAGAIN);
    screenshot_close(&screenshot);
}

/* ---- Requests ---- */

static struct answer ask(void (*request)(struct control_connection *, const json_t *, struct answer *),
                         const char *text)
{
    json_t *value = json_loads(text, 0, NULL);
    struct answer answer = {0};

    assert_non_null(value);
    request(&test.connection, value, &answer);
    json_decref(value);
    return answer;
}

static void wait_for_keys(unsigned count)
{
    unsigned now = 0;

    for (unsigned i = 0; now < count && i < 60000; i++) {
        turn();
        pthread_mutex_lock(&test.lock);
        now = test.key_count;
        pthread_mutex_unlock(&test.lock);
    }
    assert_int_equal(now, count);
}

static void test_keys_are_typed(void **state)
{
    struct answer answer;

    (void)state;
    start(NULL, NULL, NULL);
    test.deaf = true;
    answer = ask(control_answer_keys, "{\"keys\":[\"ctrl-alt-delete\",\"f2\"], \"text\":\"aB\\n\"}");
    assert_int_equal(json_integer_value(json_object_get(answer.result, "waiting")), 6 + 2 + 2 + 4 + 2);
    json_decref(answer.result);
    pthread_mutex_lock(&test.lock);
    test.deaf = false; /* it was only slow */
    pthread_mutex_unlock(&test.lock);
    wait_for_keys(16);
    assert_int_equal(test.keys[2].key, 0xE053);
    assert_int_equal(test.keys[6].key, 0x3C);
    assert_int_equal(test.keys[8].key, 0x1E);
    assert_int_equal(test.keys[10].key, 0x2A);
    assert_int_equal(test.keys[11].key, 0x30);
    assert_int_equal(test.keys[14].key, 0x1C);
}

static void test_keys_that_are_refused(void **state)
{
    const struct {
        const char *request, *code, *message;
    } wrong[] = {
        {"{\"keys\":[\"ctlr-c\"]}", "bad-request", "there is no key \"ctlr\""                                },
        {"{\"keys\":[\"a\",7]}",    "bad-request", "\"keys\" must be a list of names"                        },
        {"{\"keys\":\"enter\"}",    "bad-request", "\"keys\" must be a list of names"                        },
        {"{\"text\":[]}",           "bad-request", "\"text\" must be a string"                               },
        {"{\"text\":\"\\u00e4\"}",  "bad-request", "character 1 of the text cannot be typed: it is not ASCII"},
    };
    struct answer answer;
    char text[1200], request[1300];

    (void)state;
    start(NULL, NULL, NULL);
    test.deaf = true;
    for (unsigned i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        answer = ask(control_answer_keys, wrong[i].request);
        assert_null(answer.result);
        assert_string_equal(answer.code, wrong[i].code);
        assert_string_equal(answer.message, wrong[i].message);
    }
    memset(text, 'a', sizeof text);
    text[1100] = 0;
    snprintf(request, sizeof request, "{\"text\":\"%s\"}", text);
    answer = ask(control_answer_keys, request);
    assert_non_null(answer.result);
    json_decref(answer.result);
    answer = ask(control_answer_keys, request);
    assert_null(answer.result);
    assert_string_equal(answer.code, "busy");
    assert_string_equal(answer.message, "the keys before these are still being typed");
}

static void test_requests_about_the_screen(void **state)
{
    struct rfb_client viewer = {.turn = turn};
    static uint8_t png[WIDTH * HEIGHT * 4];
    struct answer answer;
    int ends[2];

    (void)state;
    start(NULL, NULL, NULL);
    answer = ask(control_answer_screen, "{}");
    assert_non_null(answer.result);
    json_decref(answer.result);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
    answer.take(&test.control, ends[0], 1, NULL);
    viewer.descriptor = ends[1];
    rfb_client_connect(&viewer);
    look(&viewer);
    answer = ask(control_answer_screenshot, "{}");
    assert_string_equal(json_string_value(json_object_get(answer.result, "type")), "image/png");
    json_decref(answer.result);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
    answer.take(&test.control, ends[0], 1, NULL);
    assert_is_the_picture(png, read_to_end(ends[1], png, sizeof png));
    look(&viewer);
    rfb_client_close(&viewer);
}

static void test_text(void **state)
{
    struct answer answer;
    const json_t *lines;

    (void)state;
    start(NULL, NULL, NULL);
    answer = ask(control_answer_screen_text, "{}");
    lines = json_object_get(answer.result, "lines");
    assert_int_equal(json_integer_value(json_object_get(answer.result, "columns")), 80);
    assert_int_equal(json_array_size(lines), 25);
    assert_string_equal(json_string_value(json_array_get(lines, 0)), "GNU GRUB");
    assert_string_equal(json_string_value(json_array_get(lines, 1)), "\u2554\u2550\u2557 \u00fc \u25ba\u2302");
    assert_string_equal(json_string_value(json_array_get(lines, 2)), "");
    assert_int_equal(strlen(json_string_value(json_array_get(lines, 24))), 80);
    json_decref(answer.result);
    test.graphics = true;
    answer = ask(control_answer_screen_text, "{}");
    assert_string_equal(answer.code, "wrong-state");
}

static void test_machine_without_a_screen(void **state)
{
    void (*const requests[])(struct control_connection *, const json_t *, struct answer *) = {
        control_answer_screen, control_answer_screenshot, control_answer_screen_text, control_answer_keys};

    (void)state;
    test.connection.control = &test.control;
    for (unsigned i = 0; i < 4; i++) {
        struct answer answer = ask(requests[i], "{\"keys\":[\"a\"]}");

        assert_null(answer.result);
        assert_string_equal(answer.code, "wrong-state");
        assert_string_equal(answer.message, "the virtual machine has no graphics adapter");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_viewers_by_descriptor, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_local_socket, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_network, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_addresses_that_are_not_listened_on, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_pictures, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_no_picture, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_keys_are_typed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_keys_that_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_requests_about_the_screen, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_text, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_machine_without_a_screen, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
