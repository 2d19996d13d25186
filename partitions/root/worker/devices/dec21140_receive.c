/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The receive process of the 21140A (Hardware Reference Manual, chapter 4). */
#include "partitions/root/worker/devices/dec21140_process.h"

#include "partitions/root/worker/devices/ethernet_crc.h"

/* RDES0. */
#define STATUS_FILTERING_FAIL 0x40000000u
#define STATUS_LENGTH_SHIFT   16
#define STATUS_ERROR          0x00008000u
#define STATUS_TRUNCATED      0x00004000u /* descriptor error */
#define STATUS_INTERNAL       0x00001000u
#define STATUS_EXTERNAL       0x00002000u
#define STATUS_MULTICAST      0x00000400u
#define STATUS_FIRST          0x00000200u
#define STATUS_LAST           0x00000100u
#define STATUS_TOO_LONG       0x00000080u
#define STATUS_ETHERNET_TYPE  0x00000020u

#define LONGEST_FRAME  1518u /* with its check sequence; longer ones are marked, not cut */
#define HIGHEST_LENGTH 1500u /* a length/type field above is a type */
#define MULTICAST      0x01
#define TYPE_OFFSET    12

/* A frame in more pieces is cut: a guest must not make more work than this with buffers of no size. */
#define FRAME_DESCRIPTORS 256

/*
 * The chip's FIFO bridges short times without descriptors. Here the backend keeps the frames meanwhile; it is
 * called when software touches the card, and else looked after in these intervals. After so long frames are
 * lost and counted, as the chip would.
 */
#define RETRY_NANOSECONDS 1000000u
#define HOLD_NANOSECONDS  50000000u

/* A frame as it is written to memory: the backend's bytes, padding, check sequence. */
struct image {
    struct iovec pieces[3];
    uint32_t length;
};

static void make_image(struct image *image, const uint8_t *frame, size_t length, uint8_t check[FRAME_CHECK])
{
    static const uint8_t zeros[SHORTEST_FRAME];
    size_t padding = length < SHORTEST_FRAME ? SHORTEST_FRAME - length : 0;
    uint32_t crc = ~ethernet_crc(ethernet_crc(ETHERNET_CRC_START, frame, length), zeros, padding);

    for (unsigned i = 0; i < FRAME_CHECK; i++)
        check[i] = crc >> (8 * i) & 0xff;
    image->pieces[0] = (struct iovec){(void *)frame, length};
    image->pieces[1] = (struct iovec){(void *)zeros, padding};
    image->pieces[2] = (struct iovec){check, FRAME_CHECK};
    image->length = (uint32_t)(length + padding + FRAME_CHECK);
}

/* Writes [offset, offset + length) of the image to the guest. */
static bool write_image(struct dec21140 *card, const struct image *image, uint32_t offset, uint64_t address,
                        uint32_t length)
{
    for (unsigned i = 0; i < 3 && length > 0; i++) {
        const struct iovec *piece = &image->pieces[i];
        uint32_t part = (uint32_t)piece->iov_len;

        if (offset >= part) {
            offset -= part;
            continue;
        }
        part -= offset;
        if (part > length)
            part = length;
        if (!dec21140_write_data(card, address, (const uint8_t *)piece->iov_base + offset, part)) {
            dec21140_bus_error(card);
            return false;
        }
        offset = 0;
        address += part;
        length -= part;
    }
    return true;
}

static void suspend(struct dec21140 *card)
{
    if (card->receive_state == DEC21140_RECEIVE_WAITING)
        dec21140_event(card, CSR5_RECEIVE_UNAVAILABLE);
    card->receive_state = DEC21140_RECEIVE_SUSPENDED;
}

/* Gets the next descriptor if it is the card's; else the process is suspended. */
static bool acquire(struct dec21140 *card, struct dec21140_descriptor *descriptor)
{
    if (!dec21140_may_master(card) || !dec21140_fetch(card, card->receive_current, descriptor))
        return false;
    if (descriptor->status & DESCRIPTOR_OWNED) {
        card->receive_state = DEC21140_RECEIVE_WAITING;
        return true;
    }
    suspend(card);
    return false;
}

static bool accepts(const struct dec21140 *card, const uint8_t *frame, uint32_t *status)
{
    bool multicast = frame[0] & MULTICAST;

    if (multicast)
        *status |= STATUS_MULTICAST;
    if (card->csr[6] & CSR6_PROMISCUOUS || (multicast && card->csr[6] & CSR6_ALL_MULTICAST) ||
        dec21140_filter_match(&card->filter, frame))
        return true;
    *status |= STATUS_FILTERING_FAIL;
    return card->csr[6] & CSR6_RECEIVE_ALL;
}

static uint32_t frame_status(const uint8_t *frame, uint32_t length)
{
    unsigned type = frame[TYPE_OFFSET] << 8 | frame[TYPE_OFFSET + 1];
    uint32_t status = length << STATUS_LENGTH_SHIFT;

    if (type > HIGHEST_LENGTH)
        status |= STATUS_ETHERNET_TYPE;
    if (length > LONGEST_FRAME)
        status |= STATUS_TOO_LONG | STATUS_ERROR;
    return status;
}

/* Fills one descriptor's buffers from *offset on. */
static bool fill(struct dec21140 *card, const struct dec21140_descriptor *descriptor,
                 const struct image *image, uint32_t *offset)
{
    uint32_t sizes[2] = {DESCRIPTOR_SIZE_1(descriptor->control), dec21140_second_size(descriptor)};

    for (unsigned i = 0; i < 2; i++) {
        uint32_t part = image->length - *offset < sizes[i] ? image->length - *offset : sizes[i];

        if (!write_image(card, image, *offset, descriptor->buffer[i], part))
            return false;
        *offset += part;
    }
    return true;
}

/* Writes a frame that is wanted, beginning with `descriptor`. */
static void deliver(struct dec21140 *card, struct dec21140_descriptor *descriptor, const uint8_t *frame,
                    size_t length, uint32_t status)
{
    uint8_t check[FRAME_CHECK];
    struct image image;
    uint32_t offset = 0;
    uint32_t first = STATUS_FIRST;

    make_image(&image, frame, length, check);
    status |= frame_status(frame, image.length) | STATUS_LAST;
    for (unsigned i = 1;; i++) {
        struct dec21140_descriptor following;

        if (!fill(card, descriptor, &image, &offset))
            return;
        card->receive_current = dec21140_next(card, descriptor, card->csr[3]);
        if (offset == image.length)
            break;
        if (i == FRAME_DESCRIPTORS || !acquire(card, &following)) {
            if (card->bus_error)
                return;
            status |= STATUS_TRUNCATED | STATUS_ERROR;
            break;
        }
        if (!dec21140_close(card, descriptor, first))
            return;
        first = 0;
        *descriptor = following;
    }
    if (!dec21140_close(card, descriptor, status | first))
        return;
    dec21140_event(card, CSR5_RECEIVE_INTERRUPT);
    acquire(card, descriptor); /* the chip always looks for the next one at once */
}

/* There is no descriptor for a frame that is wanted. False: the backend shall keep it. */
static bool refuse(struct dec21140 *card)
{
    if (card->receive_overflow || !card->backend.ready) {
        card->missed_frames++;
        return true;
    }
    if (!card->receive_held) {
        card->receive_held = true;
        card->receive_held_since = timer_now(card->timers);
        timer_arm(&card->receive_timer, card->receive_held_since + RETRY_NANOSECONDS);
    }
    return false;
}

bool dec21140_receive(void *context, const uint8_t *frame, size_t length)
{
    struct dec21140 *card = context;
    struct dec21140_descriptor descriptor;
    uint32_t status = 0;

    if (length < NIC_MINIMUM_FRAME || length > NIC_MAXIMUM_FRAME)
        return true;
    if (card->receive_state == DEC21140_RECEIVE_STOPPED || card->bus_error ||
        !dec21140_mii_link(&card->mii) || card->csr[6] & CSR6_LOOPBACK || dec21140_mii_loopback(&card->mii))
        return true;
    if (!accepts(card, frame, &status))
        return true;
    if (!acquire(card, &descriptor))
        return card->bus_error ? true : refuse(card);
    card->receive_overflow = false;
    deliver(card, &descriptor, frame, length, status);
    return true;
}

void dec21140_receive_loopback(struct dec21140 *card, const uint8_t *frame, size_t length)
{
    struct dec21140_descriptor descriptor;
    uint32_t status = 0;

    if (card->csr[6] & CSR6_INTERNAL_LOOPBACK)
        status = STATUS_INTERNAL;
    else if (card->csr[6] & CSR6_EXTERNAL_LOOPBACK)
        status = STATUS_EXTERNAL;
    if (card->receive_state == DEC21140_RECEIVE_STOPPED || !accepts(card, frame, &status))
        return;
    if (acquire(card, &descriptor))
        deliver(card, &descriptor, frame, length, status);
    else
        card->missed_frames++;
}

/* The backend may offer what it holds: there is room, or it is to be lost. */
static void release(struct dec21140 *card)
{
    card->receive_held = false;
    timer_disarm(&card->receive_timer);
    card->backend.ready(card->backend.port);
}

void dec21140_receive_retry(struct dec21140 *card)
{
    struct dec21140_descriptor descriptor;

    if (!card->receive_held)
        return;
    if (card->receive_state == DEC21140_RECEIVE_STOPPED || acquire(card, &descriptor) || card->bus_error)
        release(card);
}

void dec21140_receive_expired(void *context, uint64_t now)
{
    struct dec21140 *card = context;

    dec21140_receive_retry(card);
    if (!card->receive_held)
        return;
    if (now - card->receive_held_since >= HOLD_NANOSECONDS) {
        card->receive_overflow = true;
        release(card);
    } else {
        timer_arm(&card->receive_timer, now + RETRY_NANOSECONDS);
    }
}

void dec21140_receive_start(struct dec21140 *card)
{
    struct dec21140_descriptor descriptor;

    card->receive_state = DEC21140_RECEIVE_WAITING;
    card->receive_overflow = false;
    acquire(card, &descriptor);
}

void dec21140_receive_stop(struct dec21140 *card)
{
    card->receive_state = DEC21140_RECEIVE_STOPPED;
    dec21140_event(card, CSR5_RECEIVE_STOPPED);
}

void dec21140_receive_poll(struct dec21140 *card)
{
    struct dec21140_descriptor descriptor;

    if (card->receive_state == DEC21140_RECEIVE_SUSPENDED)
        acquire(card, &descriptor);
}
