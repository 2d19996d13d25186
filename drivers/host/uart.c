/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "arch/x86_64/cpu/instructions.h"
#include "drivers/host/uart.h"

/* National Semiconductor PC16550D, registers with DLAB = 0 but for the divisor. */
enum {
    UART_TRANSMIT = 0,
    UART_DIVISOR_LOW = 0,
    UART_INTERRUPT_ENABLE = 1,
    UART_DIVISOR_HIGH = 1,
    UART_FIFO_CONTROL = 2,
    UART_LINE_CONTROL = 3,
    UART_MODEM_CONTROL = 4,
    UART_LINE_STATUS = 5,
    UART_SCRATCH = 7,
};
#define LINE_CONTROL_8N1              0x03
#define LINE_CONTROL_DIVISOR          0x80
#define LINE_STATUS_TRANSMITTER_EMPTY 0x20
#define DIVISOR_115200                1
#define READY_POLLS                   100000u /* some ms on real hardware: a character takes 87 us */

static uint16_t uart_port;

void uart_initialize(uint16_t port)
{
    uart_port = 0;
    if (port == 0)
        return;
    out8(port + UART_SCRATCH, 0xA5);
    if (in8(port + UART_SCRATCH) != 0xA5)
        return;
    out8(port + UART_LINE_CONTROL, LINE_CONTROL_DIVISOR | LINE_CONTROL_8N1);
    out8(port + UART_DIVISOR_LOW, DIVISOR_115200);
    out8(port + UART_DIVISOR_HIGH, 0);
    out8(port + UART_LINE_CONTROL, LINE_CONTROL_8N1);
    uart_port = port;
}

static bool uart_ready(void)
{
    for (unsigned i = 0; i < READY_POLLS; i++)
        if (in8(uart_port + UART_LINE_STATUS) & LINE_STATUS_TRANSMITTER_EMPTY)
            return true;
    return false;
}

void uart_write(const char *text, size_t length)
{
    if (uart_port == 0)
        return;
    for (size_t i = 0; i < length; i++) {
        if (!uart_ready()) {
            uart_port = 0;
            return;
        }
        out8(uart_port + UART_TRANSMIT, (uint8_t)text[i]);
    }
}
