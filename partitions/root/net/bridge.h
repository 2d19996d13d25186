/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The switching proper: a frame goes to the port that has its destination address, to the gateway, or, a
 * group's frame, to all. Each port's address is known from its hello and no other is accepted as a source, so
 * nothing need be learnt, and a frame to an address that nobody has is dropped.
 */
#ifndef NET_BRIDGE_H
#define NET_BRIDGE_H

#include "partitions/root/net/port.h"

/* A frame of NIC_MINIMUM_FRAME bytes or more from `from`. The caller keeps its reference. */
void bridge_input(struct port *from, struct pbuf *frame);

/* The port with this address, or NULL. */
struct port *bridge_find(const struct vswitch *vswitch, const struct mac_address *mac);

/* Sends a frame to every port but `except`. */
void bridge_flood(const struct vswitch *vswitch, const struct port *except, struct pbuf *frame);

#endif
