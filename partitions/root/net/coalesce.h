/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Joins consecutive TCP segments of a connection, which a child sends one a frame, into one large segment, so
 * that TCP's work, and the acknowledgement, are done once for all of them. Nothing is copied: the frames
 * become a chain.
 */
#ifndef NET_COALESCE_H
#define NET_COALESCE_H

#include <stdbool.h>
#include <stdint.h>

#include <lwip/pbuf.h>

/* The longest packet made; an IPv4 packet may have 65535 bytes. */
#define COALESCE_MAXIMUM 65000u

struct coalescer {
    struct pbuf *head; /* NULL: empty. From the IP header on. */
    struct pbuf *tail;
    uint32_t length;        /* of the whole */
    uint32_t next_sequence; /* that continues it */
};

/*
 * Offers a whole TCP packet, whose fixed headers are in its first pbuf. True: it was taken, with one more
 * reference. False: it does not fit on what is held, or on nothing, and nothing has changed: give away what
 * is held and, if coalesce_candidate(), offer it again.
 */
bool coalesce_offer(struct coalescer *coalescer, struct pbuf *packet);

/* Whether a packet could be part of a larger one. */
bool coalesce_candidate(const struct pbuf *packet);

/* The packet held, with its reference, and empties the coalescer; NULL if there is none. */
struct pbuf *coalesce_take(struct coalescer *coalescer);

#endif
