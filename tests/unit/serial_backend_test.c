/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A COM port's back ends, with real files, pipes and sockets: nothing is lost but what nobody takes, and nobody waits.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <cmocka.h>

#include "partitions/root/worker/serial_backend.h"
#include "tests/unit/scratch.h"
#include "tests/unit/worker_loop.h"

#define PORT 0x2F8

#define MUCH 300000u /* more than any pipe or socket holds */

static struct {
    pthread_mutex_t lock;
    struct event_loop loop;
    struct bus bus;
    struct timer_queue timers;
    struct uart16550 uart;
    struct serial_backend backend;
} test;

static uint64_t no_time(void *context)
{
    (void)context;
    return 0;
}

static int create(const struct serial_backend_configuration *configuration)
{
    struct uart16550_backend backend;
    const struct interrupt_line line = {0};
    int error;

    memset(&test, 0, sizeof test);
    pthread_mutex_init(&test.lock, NULL);
    assert_int_equal(event_loop_initialize(&test.loop), 0);
    error = serial_backend_initialize(&test.backend, &test.lock, &test.loop, configuration);
    if (error) {
        event_loop_close(&test.loop);
        return error;
    }
    backend = serial_backend_of(&test.backend);
    bus_initialize(&test.bus);
    timer_queue_initialize(&test.timers, no_time, NULL, NULL);
    assert_true(uart16550_initialize(&test.uart, &test.bus, PORT, "COM2", &test.timers, line, &backend));
    serial_backend_set_port(&test.backend, &test.uart);
    bus_write(&test.bus, BUS_PORTS, PORT + 2, 1, 0x01); /* FIFOs on, as a guest has them */
    return 0;
}

static void destroy(void)
{
    serial_backend_close(&test.backend);
    event_loop_close(&test.loop);
}

static void settle(void)
{
    worker_loop_settle(&test.loop);
}

static uint8_t port_read(unsigned offset)
{
    uint8_t value;

    pthread_mutex_lock(&test.lock);
    value = (uint8_t)bus_read(&test.bus, BUS_PORTS, PORT + offset, 1);
    pthread_mutex_unlock(&test.lock);
    return value;
}

static bool port_ready(void)
{
    return port_read(5) & 0x20;
}

static void port_write(uint8_t value)
{
    pthread_mutex_lock(&test.lock);
    bus_write(&test.bus, BUS_PORTS, PORT, 1, value);
    pthread_mutex_unlock(&test.lock);
}

/* Byte n of what the guest sends in the tests of much. */
static uint8_t pattern(size_t n)
{
    return (uint8_t)(n * 7 + n / 251);
}

static void print(const char *text)
{
    while (*text)
        port_write((uint8_t)*text++);
}

/* Sends from byte `first` on, as a guest that looks at the line status first, until the port waits or `end` is there.
 */
static size_t print_pattern(size_t first, size_t end)
{
    unsigned refused = 0;

    while (first < end && refused < 3) {
        if (port_ready()) {
            port_write(pattern(first++));
            refused = 0;
        } else {
            settle();
            refused++;
        }
    }
    settle();
    return first;
}

static void assert_text(int descriptor, const char *text)
{
    char buffer[256];
    ssize_t count = read(descriptor, buffer, sizeof buffer);

    assert_int_equal(count, strlen(text));
    assert_memory_equal(buffer, text, strlen(text));
}

static void assert_nothing(int descriptor)
{
    char byte;

    assert_int_equal(fcntl(descriptor, F_SETFL, fcntl(descriptor, F_GETFL) | O_NONBLOCK), 0);
    assert_int_equal(read(descriptor, &byte, 1), -1);
    assert_int_equal(errno, EAGAIN);
}

/* What the guest reads, until nothing comes any more. */
static void assert_port_reads(const char *text)
{
    for (; *text; text++) {
        settle();
        assert_true(port_read(5) & 1);
        assert_int_equal(port_read(0), *text);
    }
    settle();
    assert_false(port_read(5) & 1);
}

static void nothing_is_connected(void **state)
{
    const struct serial_backend_configuration configuration = {.kind = SERIAL_BACKEND_NONE};

    (void)state;
    assert_int_equal(create(&configuration), 0);
    for (unsigned i = 0; i < 100000; i++)
        port_write('x');
    assert_true(port_ready());
    assert_int_equal(serial_backend_lost(&test.backend), 100000);
    destroy();
}

static void a_file_is_appended_to(void **state)
{
    struct serial_backend_configuration configuration = {.kind = SERIAL_BACKEND_FILE, .input = -1, .listener = -1};
    int file;

    (void)state;
    configuration.output = open("log", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    assert_int_equal(write(configuration.output, "before ", 7), 7);
    assert_int_equal(create(&configuration), 0);
    print("after");
    settle();
    file = open("log", O_RDONLY | O_CLOEXEC);
    assert_text(file, "before after");
    assert_int_equal(print_pattern(0, MUCH), MUCH);
    for (size_t i = 0; i < MUCH; i++) {
        uint8_t byte;

        assert_int_equal(read(file, &byte, 1), 1);
        assert_int_equal(byte, pattern(i));
    }
    print("end"); /* is written at the end */
    destroy();
    assert_text(file, "end");
    close(file);
}

static void a_full_disk_loses(void **state)
{
    struct serial_backend_configuration configuration = {.kind = SERIAL_BACKEND_FILE, .input = -1, .listener = -1};

    (void)state;
    configuration.output = open("/dev/full", O_WRONLY | O_CLOEXEC);
    assert_int_equal(create(&configuration), 0);
    assert_int_equal(print_pattern(0, MUCH), MUCH);
    assert_int_equal(serial_backend_lost(&test.backend), MUCH);
    destroy();
}

static int pipes[2][2]; /* to the port, from the port */

static void create_pipes(void)
{
    struct serial_backend_configuration configuration = {.kind = SERIAL_BACKEND_PIPE, .listener = -1};

    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(pipe2(pipes[i], O_CLOEXEC), 0);
    configuration.input = pipes[0][0];
    configuration.output = pipes[1][1];
    assert_int_equal(create(&configuration), 0);
}

static void a_pair_of_pipes(void **state)
{
    (void)state;
    create_pipes();
    print("hello");
    settle();
    assert_text(pipes[1][0], "hello");
    assert_int_equal(write(pipes[0][1], "world", 5), 5);
    assert_port_reads("world");
    assert_nothing(pipes[1][0]);
    destroy();
    assert_int_equal(write(pipes[0][1], "x", 1), -1); /* the backend's ends are closed */
    assert_int_equal(errno, EPIPE);
    close(pipes[0][1]);
    close(pipes[1][0]);
}

static void the_port_waits_for_a_slow_reader(void **state)
{
    size_t sent, read_bytes = 0;

    (void)state;
    create_pipes();
    sent = print_pattern(0, MUCH);
    assert_in_range(sent, SERIAL_BACKEND_OUTPUT + 4096, MUCH - 1);
    assert_false(port_ready());
    while (read_bytes < MUCH) {
        uint8_t bytes[1000];
        ssize_t count = read(pipes[1][0], bytes, sizeof bytes);

        assert_in_range(count, 1, sizeof bytes);
        for (ssize_t i = 0; i < count; i++)
            assert_int_equal(bytes[i], pattern(read_bytes++));
        settle();
        sent = print_pattern(sent, MUCH);
    }
    assert_int_equal(sent, MUCH);
    assert_int_equal(serial_backend_lost(&test.backend), 0);
    destroy();
    close(pipes[0][1]);
    close(pipes[1][0]);
}

static void a_slow_guest_is_waited_for(void **state)
{
    size_t written = 0, received = 0;

    (void)state;
    create_pipes();
    assert_nothing(pipes[0][0]);
    assert_int_equal(fcntl(pipes[0][1], F_SETFL, O_NONBLOCK), 0);
    while (received < MUCH) {
        uint8_t bytes[1000];

        for (size_t i = 0; i < sizeof bytes; i++)
            bytes[i] = pattern(written + i);
        if (written < MUCH && write(pipes[0][1], bytes, sizeof bytes) == (ssize_t)sizeof bytes) {
            written += sizeof bytes;
            continue;
        }
        settle();
        for (unsigned i = 0; i < 20000 && port_read(5) & 1; i++) {
            assert_int_equal(port_read(0), pattern(received++));
            if (!(port_read(5) & 1))
                settle();
        }
    }
    assert_int_equal(received, written);
    destroy();
    close(pipes[0][1]);
    close(pipes[1][0]);
}

static void a_pipe_without_a_reader_loses(void **state)
{
    (void)state;
    create_pipes();
    close(pipes[1][0]);
    assert_int_equal(print_pattern(0, MUCH), MUCH);
    assert_int_equal(serial_backend_lost(&test.backend), MUCH);
    close(pipes[0][1]); /* and at the end of the file there is nothing */
    settle();
    assert_false(port_read(5) & 1);
    assert_int_equal(test.loop.count, 0); /* nor does the loop turn */
    destroy();
}

static void others_come_to_a_fifo(void **state)
{
    struct serial_backend_configuration configuration = {.kind = SERIAL_BACKEND_PIPE, .listener = -1};

    (void)state;
    assert_int_equal(mkfifo("in", 0600), 0);
    assert_int_equal(mkfifo("out", 0600), 0);
    int reader = open("out", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    configuration.output = open("out", O_WRONLY | O_NONBLOCK | O_CLOEXEC);
    configuration.input = open("in", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    assert_int_equal(create(&configuration), 0);
    for (unsigned i = 0; i < 3; i++) {
        int writer = open("in", O_WRONLY | O_CLOEXEC);

        assert_int_equal(write(writer, "abc", 3), 3);
        assert_port_reads("abc");
        close(writer);
        settle();
        print("xyz");
        settle();
        assert_text(reader, "xyz");
        close(reader);
        print("lost");
        settle();
        assert_int_equal(serial_backend_lost(&test.backend), 4 * (i + 1));
        reader = open("out", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    }
    close(reader);
    destroy();
}

/* Many small pieces, of which one round of the loop takes only some. */
static void small_pieces(void **state)
{
    struct serial_backend_configuration configuration = {.kind = SERIAL_BACKEND_PIPE, .listener = -1};
    const char *text = "0123456789abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";
    int ends[2];

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    configuration.input = configuration.output = ends[0];
    assert_int_equal(create(&configuration), 0);
    for (const char *at = text; *at; at++)
        assert_int_equal(write(ends[1], at, 1), 1);
    assert_port_reads(text);
    destroy();
    close(ends[1]);
}

/* One descriptor for both directions; and two that do one each. */
static void one_descriptor(void **state)
{
    struct serial_backend_configuration configuration = {.kind = SERIAL_BACKEND_PIPE, .listener = -1};
    int ends[2];

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    configuration.input = configuration.output = ends[0];
    assert_int_equal(create(&configuration), 0);
    print("hello");
    settle();
    assert_text(ends[1], "hello");
    assert_int_equal(write(ends[1], "world", 5), 5);
    assert_port_reads("world");
    close(ends[1]);
    settle();
    print("lost");
    settle();
    assert_int_equal(serial_backend_lost(&test.backend), 4);
    destroy();
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    configuration = (struct serial_backend_configuration){SERIAL_BACKEND_PIPE, ends[0], -1, -1, false};
    assert_int_equal(create(&configuration), 0);
    print("lost");
    assert_int_equal(serial_backend_lost(&test.backend), 4);
    assert_int_equal(write(ends[1], "world", 5), 5);
    assert_port_reads("world");
    destroy();
    close(ends[1]);
}

static void create_socket(bool wait)
{
    struct serial_backend_configuration configuration = {.kind = SERIAL_BACKEND_SOCKET, -1, -1, .wait = wait};
    const struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "port"};

    configuration.listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(configuration.listener, (const struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(configuration.listener, 4), 0);
    assert_int_equal(create(&configuration), 0);
}

static int client(void)
{
    const struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "port"};
    int descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(connect(descriptor, (const struct sockaddr *)&address, sizeof address), 0);
    settle();
    return descriptor;
}

static void one_client_at_a_time(void **state)
{
    int first, second;

    (void)state;
    create_socket(false);
    print("lost");
    assert_int_equal(serial_backend_lost(&test.backend), 4);
    first = client();
    second = client();
    print("first");
    settle();
    assert_text(first, "first");
    assert_int_equal(write(second, "later", 5), 5);
    assert_int_equal(write(first, "now", 3), 3);
    assert_port_reads("now");
    close(first);
    assert_port_reads("later");
    print("second");
    settle();
    assert_text(second, "second");
    close(second);
    settle();
    print("lost");
    settle();
    assert_int_equal(serial_backend_lost(&test.backend), 8);
    first = client();
    print("again");
    settle();
    assert_text(first, "again");
    destroy();
    assert_text(first, ""); /* end of file */
    close(first);
}

static void a_client_that_has_gone_is_heard(void **state)
{
    int descriptor, next;

    (void)state;
    create_socket(false);
    descriptor = client();
    assert_int_equal(write(descriptor, "0123456789abcdefghij", 20), 20);
    settle();
    assert_int_equal(write(descriptor, "klmnopqrstuvwxyz", 16), 16);
    close(descriptor);
    settle();
    next = client(); /* does not wait for the guest to read */
    print("hello");
    settle();
    assert_text(next, "hello");
    assert_int_equal(write(next, "!", 1), 1);
    assert_port_reads("0123456789abcdefghijklmnopqrstuvwxyz!");
    close(next);
    destroy();
}

static void a_client_that_only_listens(void **state)
{
    int descriptor;

    (void)state;
    create_socket(false);
    descriptor = client();
    assert_int_equal(write(descriptor, "go", 2), 2);
    assert_int_equal(shutdown(descriptor, SHUT_WR), 0);
    assert_port_reads("go");
    print("answer");
    settle();
    assert_text(descriptor, "answer");
    close(descriptor);
    destroy();
}

/* While it is there the port waits for it; when it goes, what it left is lost, and the port goes on. */
static void a_slow_client(void **state)
{
    int descriptor;
    size_t sent;

    (void)state;
    create_socket(false);
    descriptor = client();
    sent = print_pattern(0, 10 * MUCH);
    assert_in_range(sent, SERIAL_BACKEND_OUTPUT, 10 * MUCH - 1);
    assert_false(port_ready());
    close(descriptor);
    settle();
    assert_true(port_ready());
    assert_in_range(serial_backend_lost(&test.backend), SERIAL_BACKEND_OUTPUT, SERIAL_BACKEND_OUTPUT + 16);
    assert_int_equal(print_pattern(0, MUCH), MUCH);
    destroy();
}

static void a_port_that_waits_for_a_client(void **state)
{
    int descriptor;
    size_t sent, read_bytes = 0;

    (void)state;
    create_socket(true);
    sent = print_pattern(0, MUCH);
    assert_in_range(sent, SERIAL_BACKEND_OUTPUT + 1, SERIAL_BACKEND_OUTPUT + 16);
    for (unsigned i = 0; i < 3; i++) {
        descriptor = client();
        sent = print_pattern(sent, sent + 10 * MUCH); /* until it does not read any more */
        for (unsigned n = 0; n < 1000; n++) {
            uint8_t byte;

            assert_int_equal(read(descriptor, &byte, 1), 1);
            if (i == 0) /* what is in the socket of one who goes is his */
                assert_int_equal(byte, pattern(read_bytes++));
        }
        close(descriptor);
        settle();
    }
    assert_false(port_ready());
    assert_int_equal(serial_backend_lost(&test.backend), 0);
    destroy();
}

static void a_reset_while_somebody_waits(void **state)
{
    (void)state;
    create_pipes();
    print_pattern(0, MUCH);
    assert_int_equal(write(pipes[0][1], "0123456789abcdefghij", 20), 20);
    settle();
    pthread_mutex_lock(&test.lock);
    uart16550_reset(&test.uart);
    bus_write(&test.bus, BUS_PORTS, PORT + 2, 1, 0x01);
    pthread_mutex_unlock(&test.lock);
    assert_port_reads("ghij"); /* the rest was in the port */
    destroy();
    close(pipes[0][1]);
    close(pipes[1][0]);
}

static void what_cannot_be_waited_for(void **state)
{
    struct serial_backend_configuration configuration = {.kind = SERIAL_BACKEND_PIPE, .listener = -1};

    (void)state;
    configuration.input = open("file", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    configuration.output = dup(configuration.input);
    assert_int_equal(create(&configuration), EPERM);
    assert_int_equal(fcntl(configuration.input, F_GETFD), -1);
    assert_int_equal(fcntl(configuration.output, F_GETFD), -1);
    configuration = (struct serial_backend_configuration){SERIAL_BACKEND_SOCKET, -1, -1, 1000, false};
    assert_int_equal(create(&configuration), EBADF);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_connected),
        scratch_test(a_file_is_appended_to),
        cmocka_unit_test(a_full_disk_loses),
        cmocka_unit_test(a_pair_of_pipes),
        cmocka_unit_test(the_port_waits_for_a_slow_reader),
        cmocka_unit_test(a_slow_guest_is_waited_for),
        cmocka_unit_test(a_pipe_without_a_reader_loses),
        scratch_test(others_come_to_a_fifo),
        cmocka_unit_test(small_pieces),
        cmocka_unit_test(one_descriptor),
        scratch_test(one_client_at_a_time),
        scratch_test(a_client_that_has_gone_is_heard),
        scratch_test(a_client_that_only_listens),
        scratch_test(a_slow_client),
        scratch_test(a_port_that_waits_for_a_client),
        cmocka_unit_test(a_reset_while_somebody_waits),
        scratch_test(what_cannot_be_waited_for),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
