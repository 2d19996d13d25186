/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The transmit process of the 21140A (Hardware Reference Manual, chapter 4). */
#include "partitions/root/worker/devices/dec21140_process.h"

#include <string.h>

/* TDES0. */
#define STATUS_NO_CARRIER   0x00000400u
#define STATUS_LOST_CARRIER 0x00000800u
#define STATUS_JABBER       0x00004000u
#define STATUS_ERROR        0x00008000u
#define STATUS_UNDERFLOW    0x00000002u
#define STATUS_SETUP_DONE   0x7fffffffu

/* TDES1. */
#define CONTROL_INTERRUPT   0x80000000u
#define CONTROL_LAST        0x40000000u
#define CONTROL_FIRST       0x20000000u
#define CONTROL_FILTERING_1 0x10000000u
#define CONTROL_SETUP       0x08000000u
#define CONTROL_NO_CHECK    0x04000000u
#define CONTROL_NO_PADDING  0x00800000u
#define CONTROL_FILTERING_0 0x00400000u

/* More than this without the end of a frame, and the jabber timer cuts it off (CSR15). */
#define JABBER_LENGTH 2048u

/* A frame in more pieces underflows: no driver makes so many, and it bounds what a guest can ask for. */
#define FRAME_DESCRIPTORS 64

/* Frames and setup frames sent before the guest runs again. */
#define BURST 128

/*
 * The end of the list is an event that drivers take as an interrupt. On a wire it comes when the frames have
 * left, so it ends a burst; without one it would come after every frame. It is reported at most once in this
 * time, unless there is an interrupt anyway; until then the process waits for the end of transmission.
 */
#define QUIET_NANOSECONDS 200000u

/*
 * A wire of 100 Mb/s is busy with a byte for so long, and with what surrounds every frame: preamble, check
 * sequence and gap. Meanwhile frames gather in the driver's list, as they would for the chip, and then leave
 * in one go: for the switch that costs a fraction of one at a time. They leave earlier if the driver wants an
 * interrupt after one of them, or if there are many, so a guest that is faster than the wire does not wait.
 */
#define BYTE_NANOSECONDS  80u
#define SURROUNDING_BYTES 24u
#define BUSY_NANOSECONDS  500000u /* at most */
#define GATHERED_MANY     32u     /* descriptors */

struct frame {
    struct dec21140_descriptor descriptors[FRAME_DESCRIPTORS];
    unsigned descriptor_count;
    struct iovec vector[2 * FRAME_DESCRIPTORS + 1]; /* one for padding */
    int vector_count;
    uint32_t length;
    uint8_t copy[JABBER_LENGTH]; /* what it points to instead of big-endian buffers */
};

enum step {
    STEP_SENT,  /* a descriptor has been dealt with, look at the next */
    STEP_EMPTY, /* the next descriptor is the driver's */
    STEP_ENDED, /* the process is not running any more */
};

/* Periods of automatic polling by CSR0<19:17>, in nanoseconds, for a port at 10 Mb/s without MII. */
static const uint32_t automatic_poll[8] = {0, 200000, 800000, 1600000, 12800, 25600, 51200, 102400};
#define AUTOMATIC_POLL_MINIMUM 100000u

static uint64_t poll_period(const struct dec21140 *card)
{
    uint64_t period = automatic_poll[CSR0_AUTOMATIC_POLL(card->csr[0])];

    if (card->csr[6] & CSR6_PORT_SELECT)
        period = card->csr[6] & CSR6_TRANSMIT_THRESHOLD_10 ? period * 4 : period * 2 / 5;
    return period < AUTOMATIC_POLL_MINIMUM ? AUTOMATIC_POLL_MINIMUM : period;
}

static void arm_automatic_poll(struct dec21140 *card)
{
    if (CSR0_AUTOMATIC_POLL(card->csr[0]))
        timer_arm(&card->transmit_timer, timer_now(card->timers) + poll_period(card));
    else
        timer_disarm(&card->transmit_timer);
}

static void suspend(struct dec21140 *card, uint32_t events)
{
    card->transmit_state = DEC21140_TRANSMIT_SUSPENDED;
    arm_automatic_poll(card);
    dec21140_event(card, CSR5_TRANSMIT_UNAVAILABLE | events);
}

static void stop(struct dec21140 *card, uint32_t events)
{
    card->transmit_state = DEC21140_TRANSMIT_STOPPED;
    timer_disarm(&card->transmit_timer);
    dec21140_event(card, CSR5_TRANSMIT_STOPPED | events);
}

/* The list is at its end. */
static void drained(struct dec21140 *card, uint64_t now)
{
    if (now >= card->transmit_quiet_until || card->csr[5] & card->csr[7] & CSR5_TRANSMIT_INTERRUPT) {
        card->transmit_quiet_until = now + QUIET_NANOSECONDS;
        suspend(card, 0);
        return;
    }
    card->transmit_state = DEC21140_TRANSMIT_WAITING;
    timer_arm(&card->transmit_timer, card->transmit_quiet_until);
}

static void setup(struct dec21140 *card, const struct dec21140_descriptor *descriptor)
{
    uint8_t frame[DEC21140_SETUP_FRAME_SIZE];
    unsigned filtering = (descriptor->control & CONTROL_FILTERING_1 ? 2 : 0) |
                         (descriptor->control & CONTROL_FILTERING_0 ? 1 : 0);

    if (DESCRIPTOR_SIZE_1(descriptor->control) == sizeof frame) {
        if (!dec21140_read_data(card, descriptor->buffer[0], frame, sizeof frame)) {
            dec21140_bus_error(card);
            return;
        }
        dec21140_filter_load(&card->filter, filtering, frame);
    }
    if (dec21140_close(card, descriptor, STATUS_SETUP_DONE) && descriptor->control & CONTROL_INTERRUPT)
        dec21140_event(card, CSR5_TRANSMIT_INTERRUPT);
}

/* The bytes of a buffer; what is too long to leave the card may be in any order. */
static void *frame_bytes(struct dec21140 *card, struct frame *frame, uint32_t address, uint32_t size)
{
    uint8_t *copy;

    if (!(card->csr[0] & CSR0_BIG_BUFFERS) || frame->length + size > sizeof frame->copy)
        return guest_memory_range(card->memory, address, size);
    copy = &frame->copy[frame->length];
    return dec21140_read_data(card, address, copy, size) ? copy : NULL;
}

static bool add_buffer(struct dec21140 *card, struct frame *frame, uint32_t address, uint32_t size)
{
    void *host;

    if (size == 0)
        return true;
    host = frame_bytes(card, frame, address, size);
    if (!host) {
        dec21140_bus_error(card);
        return false;
    }
    frame->vector[frame->vector_count++] = (struct iovec){host, size};
    frame->length += size;
    return true;
}

enum gathered { GATHERED_FRAME, GATHERED_UNDERFLOW, GATHERED_BUS_ERROR };

/* Collects the buffers of the frame whose first descriptor is frame->descriptors[0]. */
static enum gathered gather(struct dec21140 *card, struct frame *frame)
{
    for (;;) {
        const struct dec21140_descriptor *descriptor = &frame->descriptors[frame->descriptor_count++];
        struct dec21140_descriptor *following = &frame->descriptors[frame->descriptor_count];

        if (!add_buffer(card, frame, descriptor->buffer[0], DESCRIPTOR_SIZE_1(descriptor->control)) ||
            !add_buffer(card, frame, descriptor->buffer[1], dec21140_second_size(descriptor)))
            return GATHERED_BUS_ERROR;
        if (descriptor->control & CONTROL_LAST)
            return GATHERED_FRAME;
        if (frame->descriptor_count == FRAME_DESCRIPTORS)
            return GATHERED_UNDERFLOW;
        if (!dec21140_fetch(card, dec21140_next(card, descriptor, card->csr[4]), following))
            return GATHERED_BUS_ERROR;
        if (!(following->status & DESCRIPTOR_OWNED))
            return GATHERED_UNDERFLOW;
    }
}

static void loop_back(struct dec21140 *card, const struct frame *frame)
{
    uint8_t copy[NIC_MAXIMUM_FRAME];
    size_t length = 0;

    for (int i = 0; i < frame->vector_count; i++) {
        memcpy(copy + length, frame->vector[i].iov_base, frame->vector[i].iov_len);
        length += frame->vector[i].iov_len;
    }
    dec21140_receive_loopback(card, copy, length);
}

/* Cuts `bytes` off the end. */
static void shorten(struct frame *frame, uint32_t bytes)
{
    frame->length -= bytes;
    while (bytes > 0) {
        struct iovec *last = &frame->vector[frame->vector_count - 1];
        size_t part = last->iov_len < bytes ? last->iov_len : bytes;

        last->iov_len -= part;
        bytes -= (uint32_t)part;
        if (last->iov_len == 0)
            frame->vector_count--;
    }
}

/* Makes of the driver's bytes what goes out, without check sequence. False: nobody would take it. */
static bool complete_frame(struct frame *frame, uint32_t control)
{
    static const uint8_t zeros[SHORTEST_FRAME];
    bool pad = frame->length < SHORTEST_FRAME && !(control & CONTROL_NO_PADDING);

    /* A frame that is padded gets its check sequence from the chip, whatever the driver said (TDES1<26>). */
    if (control & CONTROL_NO_CHECK && !pad) {
        if (frame->length < FRAME_CHECK)
            return false;
        shorten(frame, FRAME_CHECK);
    }
    if (frame->length < NIC_MINIMUM_FRAME || frame->length > NIC_MAXIMUM_FRAME)
        return false;
    if (pad) {
        uint32_t missing = SHORTEST_FRAME - frame->length;

        frame->vector[frame->vector_count++] = (struct iovec){(void *)zeros, missing};
        frame->length = SHORTEST_FRAME;
    }
    return frame->length >= SHORTEST_FRAME; /* a runt is what every receiver drops */
}

/* Puts the frame on the wire, or where the loopback modes lead it. Returns its status. */
static uint32_t put_out(struct dec21140 *card, struct frame *frame, uint32_t control)
{
    bool internal = card->csr[6] & CSR6_INTERNAL_LOOPBACK || dec21140_mii_loopback(&card->mii);
    bool external = card->csr[6] & CSR6_EXTERNAL_LOOPBACK;

    if (!internal && !dec21140_mii_link(&card->mii))
        return STATUS_ERROR | STATUS_LOST_CARRIER | STATUS_NO_CARRIER;
    if (!complete_frame(frame, control))
        return 0;
    /* A frame that a congested switch drops has left the card all the same; flush_frames() comes later. */
    if (!internal) {
        card->backend.send(card->backend.port, frame->vector, frame->vector_count);
        card->transmit_bytes += frame->length + SURROUNDING_BYTES;
    }
    if (internal || external)
        loop_back(card, frame);
    return 0;
}

/* Gives all descriptors of the frame back, the last one with `status`. */
static bool close_frame(struct dec21140 *card, const struct frame *frame, uint32_t status)
{
    unsigned last = frame->descriptor_count - 1;

    for (unsigned i = 0; i < last; i++)
        if (!dec21140_close(card, &frame->descriptors[i], 0))
            return false;
    card->transmit_current = dec21140_next(card, &frame->descriptors[last], card->csr[4]);
    return dec21140_close(card, &frame->descriptors[last], status);
}

static enum step send(struct dec21140 *card, struct frame *frame)
{
    enum gathered gathered = gather(card, frame);
    const struct dec21140_descriptor *last = &frame->descriptors[frame->descriptor_count - 1];
    uint32_t status;

    if (gathered == GATHERED_BUS_ERROR)
        return STEP_ENDED;
    if (gathered == GATHERED_UNDERFLOW) {
        if (close_frame(card, frame, STATUS_ERROR | STATUS_UNDERFLOW))
            suspend(card, CSR5_TRANSMIT_UNDERFLOW);
        return STEP_ENDED;
    }
    if (frame->length > JABBER_LENGTH && !(card->csr[15] & CSR15_JABBER_DISABLE)) {
        if (close_frame(card, frame, STATUS_ERROR | STATUS_JABBER))
            stop(card, CSR5_TRANSMIT_JABBER);
        return STEP_ENDED;
    }
    status = put_out(card, frame, last->control);
    if (!close_frame(card, frame, status))
        return STEP_ENDED;
    dec21140_event(card, last->control & CONTROL_INTERRUPT ? CSR5_TRANSMIT_INTERRUPT : CSR5_EARLY_TRANSMIT);
    return STEP_SENT;
}

static enum step transmit_next(struct dec21140 *card)
{
    struct frame frame;
    struct dec21140_descriptor *first = &frame.descriptors[0];

    if (!dec21140_fetch(card, card->transmit_current, first))
        return STEP_ENDED;
    if (!(first->status & DESCRIPTOR_OWNED))
        return STEP_EMPTY;
    if (first->control & CONTROL_FIRST && !(first->control & CONTROL_SETUP)) {
        frame.descriptor_count = 0;
        frame.vector_count = 0;
        frame.length = 0;
        return send(card, &frame);
    }
    card->transmit_current = dec21140_next(card, first, card->csr[4]);
    if (first->control & CONTROL_SETUP)
        setup(card, first);
    else
        dec21140_close(card, first, 0); /* part of no frame */
    return card->bus_error ? STEP_ENDED : STEP_SENT;
}

/* Hands over to the switch what has been put out. */
static void flush_frames(struct dec21140 *card, uint64_t now)
{
    uint64_t busy = (uint64_t)card->transmit_bytes * BYTE_NANOSECONDS;

    if (card->transmit_bytes == 0)
        return;
    card->backend.flush(card->backend.port);
    card->transmit_busy_until = now + (busy < BUSY_NANOSECONDS ? busy : BUSY_NANOSECONDS);
    card->transmit_bytes = 0;
}

static enum step transmit_burst(struct dec21140 *card)
{
    enum step step = STEP_SENT;

    for (unsigned i = 0; i < BURST && step == STEP_SENT; i++)
        step = transmit_next(card);
    return step;
}

static void transmit(struct dec21140 *card)
{
    uint64_t now;
    enum step step;

    if (card->transmit_state == DEC21140_TRANSMIT_STOPPED || card->bus_error)
        return;
    card->transmit_state = DEC21140_TRANSMIT_FETCHING;
    if (!dec21140_may_master(card))
        return; /* it waits for the bus until the guest lets it have it */
    step = transmit_burst(card);
    now = timer_now(card->timers);
    flush_frames(card, now);
    card->transmit_gathered = 0;
    card->transmit_seen = card->transmit_current;
    if (step == STEP_EMPTY)
        drained(card, now);
    else if (step == STEP_SENT)
        timer_arm(&card->transmit_timer, now);
}

/*
 * Looks at the descriptors that have come since the last look. True: they should not wait, or have to be
 * dealt with. What is seen here decides nothing else: the descriptors are fetched again when their time
 * comes.
 */
static bool is_urgent(struct dec21140 *card)
{
    struct dec21140_descriptor descriptor;

    while (card->transmit_gathered < GATHERED_MANY) {
        if (!dec21140_read(card, card->transmit_seen, &descriptor))
            return true;
        if (!(descriptor.status & DESCRIPTOR_OWNED))
            return false;
        if (descriptor.control & (CONTROL_INTERRUPT | CONTROL_SETUP))
            return true;
        card->transmit_gathered++;
        card->transmit_seen = dec21140_next(card, &descriptor, card->csr[4]);
    }
    return true;
}

void dec21140_transmit_poll(struct dec21140 *card)
{
    bool running = card->transmit_state == DEC21140_TRANSMIT_WAITING ||
                   card->transmit_state == DEC21140_TRANSMIT_SUSPENDED;

    if (running && dec21140_may_master(card) && timer_now(card->timers) < card->transmit_busy_until &&
        !is_urgent(card)) {
        card->transmit_state = DEC21140_TRANSMIT_WAITING;
        timer_arm(&card->transmit_timer, card->transmit_busy_until);
        return;
    }
    transmit(card);
}

void dec21140_transmit_start(struct dec21140 *card)
{
    card->transmit_state = DEC21140_TRANSMIT_FETCHING;
    transmit(card);
}

void dec21140_transmit_stop(struct dec21140 *card)
{
    stop(card, 0);
}

/* An automatic poll that finds nothing is no event. */
static bool nothing_to_poll(struct dec21140 *card)
{
    struct dec21140_descriptor descriptor;

    return dec21140_may_master(card) && dec21140_fetch(card, card->transmit_current, &descriptor) &&
           !(descriptor.status & DESCRIPTOR_OWNED);
}

void dec21140_transmit_expired(void *context, uint64_t now)
{
    struct dec21140 *card = context;

    (void)now;
    if (card->transmit_state == DEC21140_TRANSMIT_SUSPENDED && nothing_to_poll(card))
        arm_automatic_poll(card);
    else
        transmit(card);
}
