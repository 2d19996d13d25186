/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The console: replay, log and its rotation, one person at a time, nothing lost on the way in. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "partitions/root/worker/console.h"
#include "tests/unit/worker_loop.h"

#define PORT 0x3F8

static struct {
    pthread_mutex_t lock;
    struct event_loop loop;
    struct bus bus;
    struct timer_queue timers;
    struct uart16550 uart;
    struct console console;
    int log, previous_log; /* copies of what the console has */
    int person;            /* the other end of the console's client */
} test;

static uint64_t no_time(void *context)
{
    (void)context;
    return 0;
}

static void create(bool with_log)
{
    memset(&test, 0, sizeof test);
    pthread_mutex_init(&test.lock, NULL);
    assert_int_equal(event_loop_initialize(&test.loop), 0);
    test.log = with_log ? memfd_create("log", MFD_CLOEXEC) : -1;
    test.previous_log = with_log ? memfd_create("previous", MFD_CLOEXEC) : -1;
    test.person = -1;
    assert_int_equal(console_initialize(&test.console, &test.lock, &test.loop, with_log ? dup(test.log) : -1,
                                        with_log ? dup(test.previous_log) : -1),
                     0);
    bus_initialize(&test.bus);
    timer_queue_initialize(&test.timers, no_time, NULL, NULL);
    const struct uart16550_backend backend = console_backend(&test.console);
    const struct interrupt_line line = {0};
    assert_true(uart16550_initialize(&test.uart, &test.bus, PORT, "COM1", &test.timers, line, &backend));
    console_set_port(&test.console, &test.uart);
    /* FIFOs on, as a guest has them */
    bus_write(&test.bus, BUS_PORTS, PORT + 2, 1, 0x01);
}

static int set_up(void **state)
{
    (void)state;
    create(true);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    console_close(&test.console);
    if (test.log >= 0)
        close(test.log);
    if (test.previous_log >= 0)
        close(test.previous_log);
    if (test.person >= 0)
        close(test.person);
    event_loop_close(&test.loop);
    return 0;
}

/* What the guest prints. */
static void print(const char *text, size_t length)
{
    pthread_mutex_lock(&test.lock);
    for (size_t i = 0; i < length; i++)
        bus_write(&test.bus, BUS_PORTS, PORT, 1, (uint8_t)text[i]);
    pthread_mutex_unlock(&test.lock);
}

static void attach(const char *user)
{
    struct console_holder holder = {.pid = 4711};
    int ends[2];

    snprintf(holder.user, sizeof holder.user, "%s", user);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
    assert_true(console_attach(&test.console, ends[0], &holder));
    test.person = ends[1];
}

/* Everything that the person can read now. */
static size_t read_all(int descriptor, char *buffer, size_t size)
{
    size_t length = 0;
    ssize_t count;

    while (length < size && (count = recv(descriptor, buffer + length, size - length, MSG_DONTWAIT)) > 0)
        length += (size_t)count;
    return length;
}

static void assert_log(int descriptor, const char *text)
{
    char buffer[256];
    ssize_t count = pread(descriptor, buffer, sizeof buffer, 0);

    assert_int_equal(count, strlen(text));
    assert_memory_equal(buffer, text, strlen(text));
}

static void test_output_reaches_log_and_person(void **state)
{
    char buffer[64];

    (void)state;
    print("before ", 7);
    attach("joe");
    print("after", 5);
    worker_loop_settle(&test.loop);
    assert_log(test.log, "before after");
    assert_int_equal(read_all(test.person, buffer, sizeof buffer), 12);
    assert_memory_equal(buffer, "before after", 12);
    assert_string_equal(test.console.holder.user, "joe");
}

static void test_last_64k_are_replayed(void **state)
{
    static char text[CONSOLE_REPLAY + 1000], buffer[CONSOLE_REPLAY + 1000];

    (void)state;
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = (char)('a' + i % 23);
    for (size_t i = 0; i < sizeof text; i += 500) {
        print(text + i, sizeof text - i < 500 ? sizeof text - i : 500);
        worker_loop_settle(&test.loop);
    }
    assert_int_equal(console_replay_length(&test.console), CONSOLE_REPLAY);
    attach("joe");
    size_t length = 0;
    while (length < CONSOLE_REPLAY) {
        length += read_all(test.person, buffer + length, sizeof buffer - length);
        worker_loop_settle(&test.loop);
    }
    assert_int_equal(length, CONSOLE_REPLAY);
    assert_memory_equal(buffer, text + 1000, CONSOLE_REPLAY);
    assert_int_equal(lseek(test.log, 0, SEEK_END), sizeof text);
}

static void test_second_person_is_refused(void **state)
{
    const struct console_holder other = {.user = "jim", .pid = 1};
    int ends[2];

    (void)state;
    attach("joe");
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    assert_false(console_attach(&test.console, ends[0], &other));
    assert_string_equal(test.console.holder.user, "joe");
    assert_int_equal(test.console.holder.pid, 4711);
    close(test.person); /* joe goes, and jim can have it */
    worker_loop_settle(&test.loop);
    assert_true(console_attach(&test.console, ends[0], &other));
    test.person = ends[1];
}

/* The port waits when the log cannot keep up, so that every character is there in the end. */
static void test_log_loses_nothing(void **state)
{
    static char text[CONSOLE_REPLAY], buffer[CONSOLE_REPLAY + 64];

    (void)state;
    memset(text, 'x', sizeof text);
    print(text, sizeof text);      /* the main thread does not run meanwhile */
    print("0123456789abcdef", 16); /* fills the port's own FIFO */
    assert_true(test.console.output_waits);
    worker_loop_settle(&test.loop);
    assert_int_equal(pread(test.log, buffer, sizeof buffer, 0), CONSOLE_REPLAY + 16);
    assert_memory_equal(buffer + CONSOLE_REPLAY, "0123456789abcdef", 16);
}

static void test_without_log_nobody_waits(void **state)
{
    static char text[CONSOLE_REPLAY], buffer[CONSOLE_REPLAY];

    (void)state;
    tear_down(NULL);
    create(false);
    memset(text, 'x', sizeof text);
    print(text, sizeof text);
    print("end", 3);
    attach("joe");
    size_t length = 0;
    while (length < sizeof buffer) {
        length += read_all(test.person, buffer + length, sizeof buffer - length);
        worker_loop_settle(&test.loop);
    }
    assert_memory_equal(buffer + sizeof buffer - 4, "xend", 4);
}

static void test_log_rotates(void **state)
{
    static char text[32768];

    (void)state;
    for (unsigned i = 0; i < CONSOLE_LOG_LIMIT / sizeof text; i++) {
        memset(text, 'A' + (int)i % 26, sizeof text);
        print(text, sizeof text);
        worker_loop_settle(&test.loop);
    }
    assert_int_equal(lseek(test.previous_log, 0, SEEK_END), 0);
    print("new", 3);
    worker_loop_settle(&test.loop);
    assert_log(test.log, "new");
    assert_int_equal(lseek(test.previous_log, 0, SEEK_END), CONSOLE_LOG_LIMIT);
    assert_int_equal(pread(test.previous_log, text, 1, 40000), 1);
    assert_int_equal(text[0], 'B');
}

static void test_input_waits_for_room(void **state)
{
    char typed[100], got[100];

    (void)state;
    attach("joe");
    for (unsigned i = 0; i < sizeof typed; i++)
        typed[i] = (char)(' ' + i % 90);
    assert_int_equal(send(test.person, typed, sizeof typed, 0), sizeof typed);
    worker_loop_settle(&test.loop);
    for (unsigned i = 0; i < sizeof got; i++) {
        pthread_mutex_lock(&test.lock);
        assert_true(bus_read(&test.bus, BUS_PORTS, PORT + 5, 1) & 1); /* data ready */
        got[i] = (char)bus_read(&test.bus, BUS_PORTS, PORT, 1);
        pthread_mutex_unlock(&test.lock);
        worker_loop_settle(&test.loop);
    }
    assert_memory_equal(got, typed, sizeof typed);
    assert_false(bus_read(&test.bus, BUS_PORTS, PORT + 5, 1) & 1);
}

/* Someone who types and hangs up is heard all the same. */
static void test_input_of_one_who_has_gone(void **state)
{
    (void)state;
    attach("joe");
    assert_int_equal(send(test.person, "0123456789abcdefghij", 20, 0), 20);
    close(test.person);
    test.person = -1;
    worker_loop_settle(&test.loop);
    assert_int_equal(test.console.client, -1);
    for (unsigned i = 0; i < 20; i++) {
        assert_int_equal(bus_read(&test.bus, BUS_PORTS, PORT, 1), "0123456789abcdefghij"[i]);
        worker_loop_settle(&test.loop);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_output_reaches_log_and_person, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_last_64k_are_replayed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_second_person_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_log_loses_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_without_log_nobody_waits, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_log_rotates, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_input_waits_for_room, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_input_of_one_who_has_gone, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
