/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * 16550A serial port (PC16550D datasheet). Characters leave as fast as the backend takes them, whatever the
 * divisor says; the divisor only times the receive timeout. The modem inputs show a connected peer.
 */
#ifndef WORKER_DEVICES_UART16550_H
#define WORKER_DEVICES_UART16550_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "partitions/root/worker/bus.h"
#include "partitions/root/worker/interrupt_line.h"
#include "partitions/root/worker/timer.h"

#define UART16550_FIFO_SIZE 16

/* What the port is connected to. Called under the device lock. */
struct uart16550_backend {
    /*
     * Takes up to `length` characters, returns how many. If fewer, call uart16550_transmit_ready when there
     * is room.
     */
    size_t (*transmit)(void *context, const uint8_t *characters, size_t length);
    /* After uart16550_receive took fewer characters than offered: there is room again. May be NULL. */
    void (*receive_ready)(void *context);
    void *context;
};

struct uart16550_fifo {
    uint8_t characters[UART16550_FIFO_SIZE];
    unsigned first;
    unsigned count;
};

struct uart16550 {
    struct uart16550_backend backend;
    struct interrupt_line line;
    struct timer timer; /* receive timeout */
    struct timer_queue *timers;

    struct uart16550_fifo receive;
    struct uart16550_fifo transmit;
    bool receive_refused;        /* the backend waits for receive_ready */
    bool transmit_empty_pending; /* cause of the transmitter holding register empty interrupt */
    bool timeout_pending;

    uint16_t divisor;
    uint8_t interrupt_enable;
    uint8_t fifo_control; /* enable bit and trigger level */
    uint8_t line_control;
    uint8_t modem_control;
    uint8_t line_errors; /* of line status, cleared by reading it */
    uint8_t modem_deltas;
    uint8_t scratch;
};

/* Claims ports [port, port + 8). */
bool uart16550_initialize(struct uart16550 *uart, struct bus *bus, uint16_t port, const char *name,
                          struct timer_queue *timers, struct interrupt_line line,
                          const struct uart16550_backend *backend);
void uart16550_reset(struct uart16550 *uart);

/*
 * Characters that arrive: returns how many there was room for. Nothing is ever lost by being offered too
 * early.
 */
size_t uart16550_receive(struct uart16550 *uart, const uint8_t *characters, size_t length);

/* The backend has room again. */
void uart16550_transmit_ready(struct uart16550 *uart);

#endif
