/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who has a port of this machine: for messages to people. */
#ifndef NET_PORT_HOLDER_H
#define NET_PORT_HOLDER_H

#include <netinet/in.h>
#include <stdbool.h>

#define PORT_HOLDER_TEXT 96

/*
 * Finds the process that holds a TCP (listening) or UDP port at this address, at any, or at one that excludes
 * it. Writes "nginx (process 123)", or "a process of user id 33" if we may not look closer. False: nobody was
 * found.
 */
bool port_holder_describe(int protocol, in_addr_t address, in_port_t port, char text[PORT_HOLDER_TEXT]);

#endif
