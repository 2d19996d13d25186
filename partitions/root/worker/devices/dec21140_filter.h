/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which frames a 21140A receives, as the last setup frame said (21140A Hardware Reference Manual, chapter 4):
 * sixteen perfect addresses, those inverted, a 512-bit hash for multicast and one perfect address, or the
 * hash alone.
 */
#ifndef WORKER_DEVICES_DEC21140_FILTER_H
#define WORKER_DEVICES_DEC21140_FILTER_H

#include <stdbool.h>
#include <stdint.h>

#define DEC21140_SETUP_FRAME_SIZE  192
#define DEC21140_PERFECT_ADDRESSES 16
#define DEC21140_HASH_WORDS        32 /* of 16 bits */

/* Filtering types FT1 and FT0 of a setup descriptor. */
enum dec21140_filtering {
    DEC21140_FILTER_PERFECT,
    DEC21140_FILTER_HASH, /* for multicast; one perfect address */
    DEC21140_FILTER_INVERSE,
    DEC21140_FILTER_HASH_ONLY,
};

struct dec21140_filter {
    bool loaded; /* since the reset: else nothing matches */
    enum dec21140_filtering filtering;
    uint64_t addresses[DEC21140_PERFECT_ADDRESSES]; /* hash filtering uses the first */
    uint16_t hash[DEC21140_HASH_WORDS];
};

/* Takes a setup frame. */
void dec21140_filter_load(struct dec21140_filter *filter, enum dec21140_filtering filtering,
                          const uint8_t frame[DEC21140_SETUP_FRAME_SIZE]);

/*
 * Does the filter let a frame to this destination in? Promiscuous and pass-all-multicast modes are the
 * caller's.
 */
bool dec21140_filter_match(const struct dec21140_filter *filter, const uint8_t destination[6]);

#endif
