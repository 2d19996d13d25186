/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a network card talks to: one port of a switch. Frames are whole Ethernet frames without the FCS. */
#ifndef NET_NIC_BACKEND_H
#define NET_NIC_BACKEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#define NIC_MINIMUM_FRAME 14u
#define NIC_MAXIMUM_FRAME 1518u

struct nic_backend {
    /*
     * Takes a copy of one frame of NIC_MINIMUM_FRAME to NIC_MAXIMUM_FRAME bytes, which leaves with the next
     * flush() or before.
     */
    void (*send)(void *port, const struct iovec *vector, int count);
    /*
     * Gives the switch what was sent: many frames cost little more than one. False: it was congested, and
     * frames were dropped.
     */
    bool (*flush)(void *port);
    /*
     * The card has room again after it refused a frame (see nic_receive_fn): the backend should offer the
     * next one.
     */
    void (*ready)(void *port);
    void *port;
};

/* The card's side: takes one received frame. False: no room now, the backend keeps the frame and waits for
 * ready(). */
typedef bool (*nic_receive_fn)(void *card, const uint8_t *frame, size_t length);

#endif
