/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/worker/devices/uart16550.h"

#include <string.h>

/* Registers; the first two are the divisor's while the divisor latch access bit is set. */
enum {
    DATA = 0,
    INTERRUPT_ENABLE = 1,
    INTERRUPT_IDENTIFICATION = 2, /* written: FIFO control */
    LINE_CONTROL = 3,
    MODEM_CONTROL = 4,
    LINE_STATUS = 5,
    MODEM_STATUS = 6,
    SCRATCH = 7,
};

#define ENABLE_RECEIVE      0x01
#define ENABLE_TRANSMIT     0x02
#define ENABLE_LINE_STATUS  0x04
#define ENABLE_MODEM_STATUS 0x08

#define NO_INTERRUPT          0x01
#define CAUSE_MODEM_STATUS    0x00
#define CAUSE_TRANSMIT_EMPTY  0x02
#define CAUSE_RECEIVE         0x04
#define CAUSE_LINE_STATUS     0x06
#define CAUSE_RECEIVE_TIMEOUT 0x0c
#define FIFOS_ENABLED         0xc0

#define FIFO_ENABLE         0x01
#define FIFO_RESET_RECEIVE  0x02
#define FIFO_RESET_TRANSMIT 0x04
#define FIFO_TRIGGER        0xc0

#define LINE_WORD_LENGTH   0x03
#define LINE_TWO_STOP_BITS 0x04
#define LINE_PARITY        0x08
#define LINE_DIVISOR       0x80

#define MODEM_DTR      0x01
#define MODEM_RTS      0x02
#define MODEM_OUT1     0x04
#define MODEM_OUT2     0x08
#define MODEM_LOOPBACK 0x10

#define STATUS_DATA_READY        0x01
#define STATUS_OVERRUN           0x02
#define STATUS_TRANSMIT_EMPTY    0x20 /* holding register or FIFO */
#define STATUS_TRANSMITTER_EMPTY 0x40

#define INPUT_CTS 0x10
#define INPUT_DSR 0x20
#define INPUT_RI  0x40
#define INPUT_DCD 0x80
#define DELTA_CTS 0x01
#define DELTA_DSR 0x02
#define TRAIL_RI  0x04
#define DELTA_DCD 0x08

/* 1.8432 MHz divided by 16. */
#define BAUD_BASE 115200

static bool fifo_enabled(const struct uart16550 *uart)
{
    return uart->fifo_control & FIFO_ENABLE;
}

static bool loopback(const struct uart16550 *uart)
{
    return uart->modem_control & MODEM_LOOPBACK;
}

static unsigned capacity(const struct uart16550 *uart)
{
    return fifo_enabled(uart) ? UART16550_FIFO_SIZE : 1;
}

static void fifo_push(struct uart16550_fifo *fifo, uint8_t character)
{
    fifo->characters[(fifo->first + fifo->count) % UART16550_FIFO_SIZE] = character;
    fifo->count++;
}

static uint8_t fifo_pop(struct uart16550_fifo *fifo)
{
    uint8_t character = fifo->characters[fifo->first];

    fifo->first = (fifo->first + 1) % UART16550_FIFO_SIZE;
    fifo->count--;
    return character;
}

static void fifo_clear(struct uart16550_fifo *fifo)
{
    *fifo = (struct uart16550_fifo){0};
}

static unsigned receive_trigger(const struct uart16550 *uart)
{
    static const uint8_t levels[] = {1, 4, 8, 14};

    return fifo_enabled(uart) ? levels[uart->fifo_control >> 6] : 1;
}

/* The interrupt of highest priority (PC16550D, 8.5, table III). */
static uint8_t interrupt_cause(const struct uart16550 *uart)
{
    if (uart->interrupt_enable & ENABLE_LINE_STATUS && uart->line_errors)
        return CAUSE_LINE_STATUS;
    if (uart->interrupt_enable & ENABLE_RECEIVE && uart->receive.count >= receive_trigger(uart))
        return CAUSE_RECEIVE;
    if (uart->interrupt_enable & ENABLE_RECEIVE && uart->timeout_pending)
        return CAUSE_RECEIVE_TIMEOUT;
    if (uart->interrupt_enable & ENABLE_TRANSMIT && uart->transmit_empty_pending)
        return CAUSE_TRANSMIT_EMPTY;
    if (uart->interrupt_enable & ENABLE_MODEM_STATUS && uart->modem_deltas)
        return CAUSE_MODEM_STATUS;
    return NO_INTERRUPT;
}

/* A PC gates the interrupt with OUT2, which the loopback mode holds inactive. */
static void update_line(struct uart16550 *uart)
{
    bool gate = uart->modem_control & MODEM_OUT2 && !loopback(uart);

    interrupt_line_set(&uart->line, gate && interrupt_cause(uart) != NO_INTERRUPT);
}

/* Four character times without a character in or out while the FIFO holds some. */
static uint64_t timeout_nanoseconds(const struct uart16550 *uart)
{
    unsigned bits = 1 + 5 + (uart->line_control & LINE_WORD_LENGTH) +
                    (uart->line_control & LINE_PARITY ? 1 : 0) +
                    (uart->line_control & LINE_TWO_STOP_BITS ? 2 : 1);
    uint64_t divisor = uart->divisor ? uart->divisor : 65536;

    return 4 * bits * divisor * 1000000000 / BAUD_BASE;
}

static void restart_timeout(struct uart16550 *uart)
{
    uart->timeout_pending = false;
    if (fifo_enabled(uart) && uart->receive.count && uart->interrupt_enable & ENABLE_RECEIVE)
        timer_arm(&uart->timer, timer_now(uart->timers) + timeout_nanoseconds(uart));
    else
        timer_disarm(&uart->timer);
}

static void timeout_expired(void *device, uint64_t now)
{
    struct uart16550 *uart = device;

    (void)now;
    uart->timeout_pending = true;
    update_line(uart);
}

static void push_received(struct uart16550 *uart, uint8_t character)
{
    if (uart->receive.count < capacity(uart)) {
        fifo_push(&uart->receive, character);
        return;
    }
    uart->line_errors |= STATUS_OVERRUN;
    /* Without FIFOs the new character takes the place of the old one. */
    if (!fifo_enabled(uart))
        uart->receive.characters[uart->receive.first] = character;
}

/* There may be room for characters that the backend holds back. */
static void receive_has_room(struct uart16550 *uart)
{
    if (!uart->receive_refused || loopback(uart) || uart->receive.count >= capacity(uart))
        return;
    uart->receive_refused = false;
    if (uart->backend.receive_ready)
        uart->backend.receive_ready(uart->backend.context);
}

size_t uart16550_receive(struct uart16550 *uart, const uint8_t *characters, size_t length)
{
    size_t taken = 0;

    while (!loopback(uart) && taken < length && uart->receive.count < capacity(uart))
        fifo_push(&uart->receive, characters[taken++]);
    uart->receive_refused = taken < length;
    if (taken) {
        restart_timeout(uart);
        update_line(uart);
    }
    return taken;
}

/* Hands the backend what waits. An emptied transmitter interrupts. */
static void drain(struct uart16550 *uart)
{
    uint8_t characters[UART16550_FIFO_SIZE];
    unsigned count = uart->transmit.count;
    size_t taken;

    if (count == 0)
        return;
    for (unsigned i = 0; i < count; i++)
        characters[i] = uart->transmit.characters[(uart->transmit.first + i) % UART16550_FIFO_SIZE];
    taken = uart->backend.transmit(uart->backend.context, characters, count);
    for (size_t i = 0; i < taken; i++)
        fifo_pop(&uart->transmit);
    if (uart->transmit.count == 0)
        uart->transmit_empty_pending = true;
}

void uart16550_transmit_ready(struct uart16550 *uart)
{
    drain(uart);
    update_line(uart);
}

static void transmit(struct uart16550 *uart, uint8_t character)
{
    uart->transmit_empty_pending = false;
    if (loopback(uart)) {
        push_received(uart, character);
        restart_timeout(uart);
        uart->transmit_empty_pending = true;
    } else if (uart->transmit.count < capacity(uart)) {
        fifo_push(&uart->transmit, character);
        drain(uart);
    }
}

static uint8_t modem_inputs(const struct uart16550 *uart)
{
    uint8_t control = uart->modem_control;

    if (!loopback(uart))
        return INPUT_CTS | INPUT_DSR | INPUT_DCD;
    return (control & MODEM_RTS ? INPUT_CTS : 0) | (control & MODEM_DTR ? INPUT_DSR : 0) |
           (control & MODEM_OUT1 ? INPUT_RI : 0) | (control & MODEM_OUT2 ? INPUT_DCD : 0);
}

static void write_modem_control(struct uart16550 *uart, uint8_t value)
{
    uint8_t before = modem_inputs(uart);
    uint8_t changed;

    uart->modem_control = value & 0x1f;
    changed = before ^ modem_inputs(uart);
    if (changed & INPUT_CTS)
        uart->modem_deltas |= DELTA_CTS;
    if (changed & INPUT_DSR)
        uart->modem_deltas |= DELTA_DSR;
    if (changed & before & INPUT_RI)
        uart->modem_deltas |= TRAIL_RI;
    if (changed & INPUT_DCD)
        uart->modem_deltas |= DELTA_DCD;
    receive_has_room(uart);
}

static void reset_receive_fifo(struct uart16550 *uart)
{
    fifo_clear(&uart->receive);
    restart_timeout(uart);
}

static void reset_transmit_fifo(struct uart16550 *uart)
{
    if (uart->transmit.count)
        uart->transmit_empty_pending = true;
    fifo_clear(&uart->transmit);
}

static void write_fifo_control(struct uart16550 *uart, uint8_t value)
{
    bool switched = (value ^ uart->fifo_control) & FIFO_ENABLE;

    uart->fifo_control = value & FIFO_ENABLE ? value & (FIFO_ENABLE | FIFO_TRIGGER) : 0;
    if (switched || (fifo_enabled(uart) && value & FIFO_RESET_RECEIVE))
        reset_receive_fifo(uart);
    if (switched || (fifo_enabled(uart) && value & FIFO_RESET_TRANSMIT))
        reset_transmit_fifo(uart);
    receive_has_room(uart);
}

static void write_interrupt_enable(struct uart16550 *uart, uint8_t value)
{
    uint8_t enabled = value & ~uart->interrupt_enable;

    uart->interrupt_enable = value & 0x0f;
    if (enabled & ENABLE_TRANSMIT && uart->transmit.count == 0)
        uart->transmit_empty_pending = true;
    if (enabled & ENABLE_RECEIVE)
        restart_timeout(uart);
}

static uint8_t line_status(const struct uart16550 *uart)
{
    return uart->line_errors | (uart->receive.count ? STATUS_DATA_READY : 0) |
           (uart->transmit.count ? 0 : STATUS_TRANSMIT_EMPTY | STATUS_TRANSMITTER_EMPTY);
}

static uint8_t read_data(struct uart16550 *uart)
{
    uint8_t character;

    if (uart->receive.count == 0)
        return 0;
    character = fifo_pop(&uart->receive);
    restart_timeout(uart);
    receive_has_room(uart);
    return character;
}

static uint8_t read_interrupt_identification(struct uart16550 *uart)
{
    uint8_t cause = interrupt_cause(uart);

    if (cause == CAUSE_TRANSMIT_EMPTY)
        uart->transmit_empty_pending = false;
    return cause | (fifo_enabled(uart) ? FIFOS_ENABLED : 0);
}

static uint8_t read_line_status(struct uart16550 *uart)
{
    uint8_t status = line_status(uart);

    uart->line_errors = 0;
    return status;
}

static uint8_t read_modem_status(struct uart16550 *uart)
{
    uint8_t status = modem_inputs(uart) | uart->modem_deltas;

    uart->modem_deltas = 0;
    return status;
}

static uint8_t read_register(struct uart16550 *uart, uint64_t offset)
{
    bool divisor = uart->line_control & LINE_DIVISOR;

    switch (offset) {
    case DATA:
        return divisor ? uart->divisor & 0xff : read_data(uart);
    case INTERRUPT_ENABLE:
        return divisor ? uart->divisor >> 8 : uart->interrupt_enable;
    case INTERRUPT_IDENTIFICATION:
        return read_interrupt_identification(uart);
    case LINE_CONTROL:
        return uart->line_control;
    case MODEM_CONTROL:
        return uart->modem_control;
    case LINE_STATUS:
        return read_line_status(uart);
    case MODEM_STATUS:
        return read_modem_status(uart);
    default:
        return uart->scratch;
    }
}

static void write_register(struct uart16550 *uart, uint64_t offset, uint8_t value)
{
    bool divisor = uart->line_control & LINE_DIVISOR;

    switch (offset) {
    case DATA:
        if (divisor)
            uart->divisor = (uart->divisor & 0xff00) | value;
        else
            transmit(uart, value);
        break;
    case INTERRUPT_ENABLE:
        if (divisor)
            uart->divisor = (uint16_t)(value << 8 | (uart->divisor & 0xff));
        else
            write_interrupt_enable(uart, value);
        break;
    case INTERRUPT_IDENTIFICATION:
        write_fifo_control(uart, value);
        break;
    case LINE_CONTROL:
        uart->line_control = value;
        break;
    case MODEM_CONTROL:
        write_modem_control(uart, value);
        break;
    case SCRATCH:
        uart->scratch = value;
        break;
    }
}

static uint64_t uart_read(void *device, uint64_t offset, unsigned size)
{
    struct uart16550 *uart = device;
    uint8_t value = read_register(uart, offset);

    (void)size;
    update_line(uart);
    return value;
}

static void uart_write(void *device, uint64_t offset, unsigned size, uint64_t value)
{
    struct uart16550 *uart = device;

    (void)size;
    write_register(uart, offset, (uint8_t)value);
    update_line(uart);
}

static const struct bus_operations uart_operations = {.read = uart_read, .write = uart_write, .widest = 1};

bool uart16550_initialize(struct uart16550 *uart, struct bus *bus, uint16_t port, const char *name,
                          struct timer_queue *timers, struct interrupt_line line,
                          const struct uart16550_backend *backend)
{
    memset(uart, 0, sizeof *uart);
    uart->timers = timers;
    uart->line = line;
    uart->backend = *backend;
    timer_initialize(&uart->timer, timers, timeout_expired, uart);
    uart16550_reset(uart);
    return bus_add(bus, BUS_PORTS, port, 8, &uart_operations, uart, name);
}

void uart16550_reset(struct uart16550 *uart)
{
    fifo_clear(&uart->receive);
    fifo_clear(&uart->transmit);
    uart->transmit_empty_pending = false;
    uart->divisor = 1;
    uart->interrupt_enable = 0;
    uart->fifo_control = 0;
    uart->line_control = 0;
    uart->modem_control = 0;
    uart->line_errors = 0;
    uart->modem_deltas = 0;
    uart->scratch = 0;
    restart_timeout(uart);
    update_line(uart);
    receive_has_room(uart);
}
