/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A buffer for one Ethernet frame, which is also a pbuf of lwIP's: it is filled from a socket, passed through
 * lwIP and sent again without being copied. It goes back to the pool when its last reference does
 * (pbuf_free).
 */
#ifndef NET_FRAME_H
#define NET_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <lwip/pbuf.h>

#include "partitions/root/net/nic_backend.h"

/* Two bytes in front, so that the IP header is aligned; one more than the longest frame is kept out by the
 * port. */
#define FRAME_PADDING 2

/* Frames in the hands of the switch that came from one port. */
struct frame_account {
    unsigned frames;
    unsigned references; /* frames, and the port itself */
};

struct frame {
    struct pbuf_custom custom; /* first: lwIP knows the frame by it */
    struct frame_account *account;
    struct frame *next;
    uint8_t padding[FRAME_PADDING];
    uint8_t data[NIC_MAXIMUM_FRAME];
} __attribute__((aligned(8)));

struct frame_account *frame_account_create(void);
/* Drops the port's own reference. */
void frame_account_release(struct frame_account *account);

/* A frame with one reference and no length yet, or NULL without memory. It is the switch's own until it is
 * charged. */
struct frame *frame_allocate(void);

/* Counts an uncharged frame as one of the port's until it goes back to the pool. */
void frame_charge(struct frame *frame, struct frame_account *account);

/* Makes `data` from `offset` to `length` the pbuf's payload and returns the pbuf. */
struct pbuf *frame_set(struct frame *frame, size_t offset, size_t length);

static inline void frame_free(struct frame *frame)
{
    pbuf_free(&frame->custom.pbuf);
}

#endif
