/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "partitions/root/worker/devices/uart16550.h"
#include "tests/unit/device_fixture.h"

#define PORT 0x3f8
#define IRQ  4

/* Register offsets and bits (PC16550D). */
#define RBR 0
#define THR 0
#define IER 1
#define IIR 2
#define FCR 2
#define LCR 3
#define MCR 4
#define LSR 5
#define MSR 6
#define SCR 7

#define OUT2           0x08
#define LOOPBACK       0x10
#define ALL_INTERRUPTS 0x0f

static struct device_fixture fixture;
static struct uart16550 uart;
static uint8_t sent[256];
static size_t sent_count;
static size_t room; /* what the peer takes */
static unsigned ready_calls;

static size_t transmit(void *context, const uint8_t *characters, size_t length)
{
    (void)context;
    if (length > room)
        length = room;
    memcpy(sent + sent_count, characters, length);
    sent_count += length;
    room -= length;
    return length;
}

static void receive_ready(void *context)
{
    (void)context;
    ready_calls++;
}

static int setup(void **state)
{
    const struct uart16550_backend backend = {transmit, receive_ready, NULL};

    (void)state;
    fixture_initialize(&fixture);
    sent_count = 0;
    room = sizeof sent;
    ready_calls = 0;
    assert_true(uart16550_initialize(&uart, &fixture.bus, PORT, "COM1", &fixture.timers,
                                     fixture_line(&fixture, IRQ), &backend));
    return 0;
}

static uint8_t get(unsigned offset)
{
    return in8(&fixture, (uint16_t)(PORT + offset));
}

static void put(unsigned offset, uint8_t value)
{
    out8(&fixture, (uint16_t)(PORT + offset), value);
}

static size_t receive(const char *text)
{
    return uart16550_receive(&uart, (const uint8_t *)text, strlen(text));
}

static void registers_at_power_on(void **state)
{
    (void)state;
    assert_int_equal(get(IER), 0x00);
    assert_int_equal(get(IIR), 0x01);
    assert_int_equal(get(LCR), 0x00);
    assert_int_equal(get(MCR), 0x00);
    assert_int_equal(get(LSR), 0x60);
    assert_int_equal(get(MSR), 0xb0);
    assert_int_equal(get(RBR), 0x00);
}

static void registers_hold_what_they_should(void **state)
{
    (void)state;
    put(SCR, 0xa5);
    assert_int_equal(get(SCR), 0xa5);
    put(IER, 0xff);
    assert_int_equal(get(IER), 0x0f);
    put(MCR, 0xff);
    assert_int_equal(get(MCR), 0x1f);
    put(LSR, 0x00);
    assert_int_equal(get(LSR), 0x60);
    put(MSR, 0x00);
    put(LCR, 0x83);
    put(0, 0x34);
    put(1, 0x12);
    assert_int_equal(get(0), 0x34);
    assert_int_equal(get(1), 0x12);
    put(LCR, 0x03);
    assert_int_equal(get(IER), 0x0f);
    assert_int_equal(sent_count, 0);
    /* Wider accesses are so many bytes. */
    assert_int_equal(in16(&fixture, PORT + 6) >> 8, 0xa5);
}

static void characters_leave_at_once(void **state)
{
    (void)state;
    put(THR, 'h');
    put(THR, 'i');
    assert_int_equal(get(LSR), 0x60);
    assert_int_equal(sent_count, 2);
    assert_memory_equal(sent, "hi", 2);
}

static void a_full_peer_fills_the_fifo(void **state)
{
    (void)state;
    put(FCR, 0x01);
    put(IER, 0x02);
    put(MCR, OUT2);
    assert_int_equal(get(IIR), 0xc2);
    room = 3;
    for (unsigned i = 0; i < 3 + 16; i++)
        put(THR, (uint8_t)('a' + i));
    assert_int_equal(get(LSR), 0x00);
    assert_int_equal(get(IIR), 0xc1);
    assert_false(fixture.level[IRQ]);
    put(THR, '!'); /* no room: lost */
    room = 10;
    uart16550_transmit_ready(&uart);
    assert_int_equal(get(LSR), 0x00);
    assert_false(fixture.level[IRQ]);
    room = 100;
    uart16550_transmit_ready(&uart);
    assert_int_equal(get(LSR), 0x60);
    assert_true(fixture.level[IRQ]);
    assert_int_equal(get(IIR), 0xc2);
    assert_false(fixture.level[IRQ]);
    assert_int_equal(sent_count, 19);
    assert_memory_equal(sent, "abcdefghijklmnopqrs", 19);
    uart16550_transmit_ready(&uart); /* nothing to do */
    assert_false(fixture.level[IRQ]);
}

static void without_fifos_one_character_waits(void **state)
{
    (void)state;
    room = 0;
    put(THR, 'x');
    put(THR, 'y');
    room = 10;
    uart16550_transmit_ready(&uart);
    assert_int_equal(sent_count, 1);
    assert_int_equal(sent[0], 'x');
}

/* As drivers test for a chip that forgets this interrupt. */
static void the_transmitter_interrupts_when_enabled(void **state)
{
    (void)state;
    put(MCR, OUT2);
    put(IER, 0x02);
    assert_true(fixture.level[IRQ]);
    assert_int_equal(get(IIR), 0x02);
    assert_int_equal(get(IIR), 0x01);
    put(IER, 0x02); /* was on */
    assert_int_equal(get(IIR), 0x01);
    put(IER, 0x00);
    put(IER, 0x02);
    assert_int_equal(get(IIR), 0x02);
    put(THR, 'x'); /* and after each character that left */
    assert_int_equal(get(IIR), 0x02);
    put(THR, 'x');
    put(IER, 0x00);
    assert_int_equal(get(IIR), 0x01);
    assert_false(fixture.level[IRQ]);
}

static void receiving_without_fifos(void **state)
{
    (void)state;
    put(MCR, OUT2);
    put(IER, 0x01);
    assert_int_equal(receive("abc"), 1);
    assert_true(fixture.level[IRQ]);
    assert_int_equal(get(IIR), 0x04);
    assert_int_equal(get(LSR), 0x61);
    assert_int_equal(get(RBR), 'a');
    assert_false(fixture.level[IRQ]);
    assert_int_equal(ready_calls, 1);
    assert_int_equal(receive("bc"), 1);
    assert_int_equal(get(RBR), 'b');
    assert_int_equal(receive("c"), 1);
    assert_int_equal(get(RBR), 'c');
    assert_int_equal(ready_calls, 2);
}

static void fifo_triggers(void **state)
{
    static const unsigned levels[] = {1, 4, 8, 14};

    (void)state;
    put(MCR, OUT2);
    put(IER, 0x01);
    for (unsigned i = 0; i < 4; i++) {
        put(FCR, (uint8_t)(i << 6 | 0x07));
        for (unsigned n = 1; n <= 16; n++) {
            assert_int_equal(receive("x"), 1);
            assert_int_equal(fixture.level[IRQ], n >= levels[i]);
            assert_int_equal(get(IIR), n >= levels[i] ? 0xc4 : 0xc1);
        }
        assert_int_equal(receive("x"), 0);
        for (unsigned n = 15; n + 1 > 0; n--) {
            assert_int_equal(get(RBR), 'x');
            assert_int_equal(fixture.level[IRQ], n >= levels[i]);
        }
        assert_int_equal(get(LSR), 0x60);
    }
}

static void receive_timeout(void **state)
{
    /* 115200 baud, 8N1: 10 bits a character. */
    const uint64_t timeout = 4 * 10 * SECOND / 115200;

    (void)state;
    put(LCR, 0x03);
    put(MCR, OUT2);
    put(FCR, 0xc1);
    put(IER, 0x01);
    receive("abc");
    fixture_advance(&fixture, timeout - 1);
    assert_false(fixture.level[IRQ]);
    receive("d"); /* starts it anew */
    fixture_advance(&fixture, timeout - 1);
    assert_false(fixture.level[IRQ]);
    fixture_advance(&fixture, 1);
    assert_true(fixture.level[IRQ]);
    assert_int_equal(get(IIR), 0xcc);
    assert_int_equal(get(RBR), 'a');
    assert_false(fixture.level[IRQ]);
    assert_int_equal(get(IIR), 0xc1);
    fixture_advance(&fixture, timeout);
    assert_int_equal(get(IIR), 0xcc);
    for (unsigned i = 0; i < 3; i++)
        get(RBR);
    fixture_advance(&fixture, timeout);
    assert_int_equal(get(IIR), 0xc1);
    assert_true(timer_queue_wait(&fixture.timers) == TIMER_NEVER);
}

static void the_timeout_follows_the_line_settings(void **state)
{
    (void)state;
    put(LCR, 0x80 | 0x0f); /* 8 bits, parity, 2 stop bits: 12 bits */
    put(0, 0x0c);          /* 9600 baud */
    put(1, 0x00);
    put(LCR, 0x0f);
    put(FCR, 0xc1);
    put(IER, 0x01);
    receive("a");
    assert_int_equal(timer_queue_wait(&fixture.timers), 4 * 12 * SECOND / 9600);
    put(LCR, 0x8f);
    put(0, 0);
    put(LCR, 0x0f);
    receive("b"); /* divisor 0 counts as 65536 */
    assert_int_equal(timer_queue_wait(&fixture.timers), 4ull * 12 * 65536 * SECOND / 115200);
}

static void interrupt_priorities(void **state)
{
    (void)state;
    put(FCR, 0x01);
    put(MCR, LOOPBACK);
    for (unsigned i = 0; i < 17; i++) /* overruns */
        put(THR, 'x');
    put(MCR, OUT2);
    put(IER, ALL_INTERRUPTS);
    assert_true(fixture.level[IRQ]);
    assert_int_equal(get(IIR), 0xc6);
    assert_int_equal(get(LSR), 0x63);
    assert_int_equal(get(LSR), 0x61);
    assert_int_equal(get(IIR), 0xc4);
    while (get(LSR) & 1)
        get(RBR);
    assert_int_equal(get(IIR), 0xc2);
    assert_int_equal(get(IIR), 0xc0);
    assert_true(get(MSR) & 0x0f);
    assert_int_equal(get(IIR), 0xc1);
    assert_false(fixture.level[IRQ]);
}

static void out2_gates_the_interrupt(void **state)
{
    (void)state;
    put(IER, 0x02);
    assert_false(fixture.level[IRQ]);
    put(MCR, OUT2);
    assert_true(fixture.level[IRQ]);
    put(MCR, OUT2 | LOOPBACK);
    assert_false(fixture.level[IRQ]);
}

static void loopback_of_data(void **state)
{
    (void)state;
    put(FCR, 0x01);
    put(MCR, LOOPBACK);
    put(IER, 0x02);
    assert_int_equal(get(IIR), 0xc2);
    put(THR, 'z');
    assert_int_equal(get(IIR), 0xc2);
    assert_int_equal(sent_count, 0);
    assert_int_equal(get(LSR), 0x61);
    assert_int_equal(get(RBR), 'z');
    /* The line is cut: what arrives waits outside. */
    assert_int_equal(receive("q"), 0);
    assert_int_equal(ready_calls, 0);
    put(MCR, 0);
    assert_int_equal(ready_calls, 1);
    assert_int_equal(receive("q"), 1);
    assert_int_equal(get(RBR), 'q');
}

/* As drivers measure the FIFO. */
static void the_fifo_has_16_places(void **state)
{
    unsigned count = 0;

    (void)state;
    put(FCR, 0x07);
    put(MCR, LOOPBACK);
    for (unsigned i = 0; i < 256; i++)
        put(THR, (uint8_t)i);
    for (; get(LSR) & 0x01; count++)
        assert_int_equal(get(RBR), count);
    assert_int_equal(count, 16);
}

static void overrun_without_fifos_keeps_the_newest(void **state)
{
    (void)state;
    put(MCR, LOOPBACK);
    put(THR, '1');
    put(THR, '2');
    assert_int_equal(get(LSR), 0x63);
    assert_int_equal(get(RBR), '2');
    assert_int_equal(get(LSR), 0x60);
}

static void loopback_of_modem_lines(void **state)
{
    (void)state;
    get(MSR);
    put(MCR, LOOPBACK);
    assert_int_equal(get(MSR), 0x0b); /* CTS, DSR, DCD fell */
    assert_int_equal(get(MSR), 0x00);
    put(MCR, LOOPBACK | 0x01);
    assert_int_equal(get(MSR), 0x22); /* DTR to DSR */
    put(MCR, LOOPBACK | 0x02);
    assert_int_equal(get(MSR), 0x13); /* RTS to CTS */
    put(MCR, LOOPBACK | 0x04);
    assert_int_equal(get(MSR), 0x41); /* OUT1 to RI: the edge that counts is the falling one */
    put(MCR, LOOPBACK | 0x08);
    assert_int_equal(get(MSR), 0x8c); /* OUT2 to DCD */
    put(MCR, LOOPBACK | 0x0f);
    get(MSR);
    put(MCR, LOOPBACK | 0x0f);
    assert_int_equal(get(MSR), 0xf0);
}

static void fifo_control(void **state)
{
    (void)state;
    put(FCR, 0xc7);
    receive("abc");
    put(FCR, 0xc1);
    assert_int_equal(get(LSR) & 1, 1);
    put(FCR, 0xc3);
    assert_int_equal(get(LSR) & 1, 0);
    receive("abc");
    put(FCR, 0x02); /* switching the FIFOs off clears them */
    assert_int_equal(get(LSR) & 1, 0);
    assert_int_equal(get(IIR) & 0xc0, 0);
    put(FCR, 0xc0); /* without bit 0 the others do not count */
    receive("a");
    put(IER, 1);
    assert_int_equal(get(IIR), 0x04);
    /* Clearing the transmitter. */
    put(FCR, 0x01);
    room = 0;
    put(THR, 'x');
    assert_int_equal(get(LSR), 0x00);
    put(IER, 0x02);
    assert_int_equal(get(IIR), 0xc1);
    put(FCR, 0x05);
    assert_int_equal(get(IIR), 0xc2);
    assert_int_equal(get(LSR), 0x60);
    room = 10;
    uart16550_transmit_ready(&uart);
    assert_int_equal(sent_count, 0);
}

static void fifo_reset_makes_room(void **state)
{
    (void)state;
    put(FCR, 0x01);
    assert_int_equal(receive("0123456789abcdefX"), 16);
    put(FCR, 0x03);
    assert_int_equal(ready_calls, 1);
}

static void reset_forgets(void **state)
{
    (void)state;
    put(FCR, 0x01);
    put(MCR, OUT2);
    put(IER, ALL_INTERRUPTS);
    receive("0123456789abcdefX");
    assert_true(fixture.level[IRQ]);
    room = 0;
    put(THR, 'x');
    put(MCR, OUT2 | LOOPBACK);
    put(THR, 'y'); /* overrun */
    put(MCR, OUT2);
    uart16550_reset(&uart);
    assert_false(fixture.level[IRQ]);
    assert_int_equal(ready_calls, 1);
    registers_at_power_on(state);
    assert_true(timer_queue_wait(&fixture.timers) == TIMER_NEVER);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(registers_at_power_on, setup),
        cmocka_unit_test_setup(registers_hold_what_they_should, setup),
        cmocka_unit_test_setup(characters_leave_at_once, setup),
        cmocka_unit_test_setup(a_full_peer_fills_the_fifo, setup),
        cmocka_unit_test_setup(without_fifos_one_character_waits, setup),
        cmocka_unit_test_setup(the_transmitter_interrupts_when_enabled, setup),
        cmocka_unit_test_setup(receiving_without_fifos, setup),
        cmocka_unit_test_setup(fifo_triggers, setup),
        cmocka_unit_test_setup(receive_timeout, setup),
        cmocka_unit_test_setup(the_timeout_follows_the_line_settings, setup),
        cmocka_unit_test_setup(interrupt_priorities, setup),
        cmocka_unit_test_setup(out2_gates_the_interrupt, setup),
        cmocka_unit_test_setup(loopback_of_data, setup),
        cmocka_unit_test_setup(the_fifo_has_16_places, setup),
        cmocka_unit_test_setup(overrun_without_fifos_keeps_the_newest, setup),
        cmocka_unit_test_setup(loopback_of_modem_lines, setup),
        cmocka_unit_test_setup(fifo_control, setup),
        cmocka_unit_test_setup(fifo_reset_makes_room, setup),
        cmocka_unit_test_setup(reset_forgets, setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
