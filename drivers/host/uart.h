/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A 16550 UART at an I/O port, for the hypervisor's log. Shared with the parent, which may use the same port. */
#ifndef HOST_UART_H
#define HOST_UART_H

#include "hv/types.h"

/* `port` 0, or a port where no UART answers: nothing is ever written. 115200 baud, 8N1. */
void uart_initialize(uint16_t port);

/* Never waits long: a UART that does not get ready loses the text. */
void uart_write(const char *text, size_t length);

#endif
