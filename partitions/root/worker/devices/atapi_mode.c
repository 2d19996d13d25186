/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/worker/devices/atapi_mode.h"

#include <string.h>
#include "partitions/root/worker/devices/atapi.h"
#include "partitions/root/worker/devices/atapi_medium.h"

#define PAGE_CODE          0x3f
#define PAGE_ALL           0x3f
#define PAGE_CAPABILITIES  0x2a
#define PAGE_HEADER_LENGTH 2

/* MODE SENSE, byte 2: which values. */
#define CONTROL_SHIFT      6
#define CONTROL_CURRENT    0
#define CONTROL_CHANGEABLE 1
#define CONTROL_DEFAULT    2
#define CONTROL_SAVED      3

/* MODE SELECT, byte 1. */
#define SELECT_SAVE   0x01
#define SELECT_FORMAT 0x10

/* Medium types of the header (SFF-8020i, table 72), which later standards leave out. */
#define MEDIUM_DATA_DISC 0x01
#define MEDIUM_NONE      0x70
#define MEDIUM_TRAY_OPEN 0x71

/* Where fields of the capabilities page are, from the page's begin, and what the drive can do: kilobytes a second. */
#define CAPABILITIES_LOCK          6
#define CAPABILITIES_LOCK_STATE    0x02
#define CAPABILITIES_CURRENT_SPEED 14
#define MAXIMUM_SPEED              0x2113 /* 48 times a CD's */

/* clang-format off */
/* All pages, in ascending order: code, length of the rest, and the rest. */
static const uint8_t defaults[ATAPI_MODE_PAGES_LENGTH] = {
    /* Read error recovery: five retries. */
    0x01, 0x0a, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0,
    /* CD device parameters: 60 seconds a minute, 75 frames a second. */
    0x0d, 0x06, 0, 0x0d, 0, 60, 0, 75,
    /* CD audio control: both channels at full volume, though there is nothing to hear. */
    0x0e, 0x0e, 0x04, 0, 0, 0, 0, 75, 1, 0xff, 2, 0xff, 0, 0, 0, 0,
    /* Power condition: no timers. */
    0x1a, 0x0a, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    /* Timeout and protect: group 1 at least 5 seconds, group 2 15. */
    0x1d, 0x08, 0, 0, 0, 0, 0, 5, 0, 15,
    /* Capabilities: reads CD-R, CD-RW and DVD-ROM, multisession; a tray that locks and ejects; a buffer of 64 KiB. */
    0x2a, 0x1e, 0x0b, 0, 0x40, 0, 0x29, 0, MAXIMUM_SPEED >> 8, MAXIMUM_SPEED & 0xff, 0, 0, 0, 64,
    MAXIMUM_SPEED >> 8, MAXIMUM_SPEED & 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};

/* The bits that MODE SELECT may change; codes and lengths stand here too. */
static const uint8_t changeable[ATAPI_MODE_PAGES_LENGTH] = {
    0x01, 0x0a, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0,
    0x0d, 0x06, 0, 0x0f, 0, 0, 0, 0,
    0x0e, 0x0e, 0x06, 0, 0, 0, 0, 0, 0x0f, 0xff, 0x0f, 0xff, 0x0f, 0xff, 0x0f, 0xff,
    0x1a, 0x0a, 0, 0x03, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0x1d, 0x08, 0, 0, 0x07, 0, 0xff, 0xff, 0xff, 0xff,
    0x2a, 0x1e, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
/* clang-format on */

void atapi_mode_reset(struct atapi *atapi)
{
    memcpy(atapi->mode, defaults, sizeof defaults);
}

/* Where a page begins among all; ATAPI_MODE_PAGES_LENGTH if there is no such page. */
static unsigned find_page(uint8_t code)
{
    unsigned offset = 0;

    while (offset < sizeof defaults && defaults[offset] != code)
        offset += PAGE_HEADER_LENGTH + defaults[offset + 1];
    return offset;
}

static unsigned page_length(unsigned offset)
{
    return PAGE_HEADER_LENGTH + defaults[offset + 1];
}

/* The lock's state belongs to the current values, and is nobody's to set here. */
static void show_lock(const struct ide_drive *drive, uint8_t *pages)
{
    if (atapi_removal_prevented(drive))
        pages[find_page(PAGE_CAPABILITIES) + CAPABILITIES_LOCK] |= CAPABILITIES_LOCK_STATE;
}

static bool is_long(const struct atapi *atapi)
{
    return atapi->packet[0] >= 0x20; /* the group of packets of 10 bytes */
}

static unsigned header_length(const struct atapi *atapi)
{
    return is_long(atapi) ? 8 : 4;
}

static uint8_t medium_type(const struct ide_drive *drive)
{
    if (drive->disk)
        return MEDIUM_DATA_DISC;
    return drive->atapi.tray_open ? MEDIUM_TRAY_OPEN : MEDIUM_NONE;
}

/* No block descriptor follows. The length does not count itself. */
static void put_header(const struct ide_drive *drive, uint8_t *reply, unsigned length)
{
    if (is_long(&drive->atapi)) {
        atapi_put(reply, 2, length - 2);
        reply[2] = medium_type(drive);
    } else {
        reply[0] = (uint8_t)(length - 1);
        reply[1] = medium_type(drive);
    }
}

void atapi_mode_sense(struct ide_channel *channel, struct ide_drive *drive)
{
    const struct atapi *atapi = &drive->atapi;
    const uint8_t *packet = atapi->packet;
    const uint8_t *const values[] = {atapi->mode, changeable, defaults};
    uint8_t control = packet[2] >> CONTROL_SHIFT;
    uint8_t code = packet[2] & PAGE_CODE;
    unsigned offset = code == PAGE_ALL ? 0 : find_page(code);
    unsigned header = header_length(atapi);
    uint8_t pages[ATAPI_MODE_PAGES_LENGTH];
    unsigned length;
    uint8_t *reply;

    if (offset == sizeof pages || packet[3] != 0) {
        atapi_invalid_field(channel, drive);
        return;
    }
    if (control == CONTROL_SAVED) {
        atapi_check(channel, drive, ATAPI_ILLEGAL_REQUEST, ATAPI_SAVING_NOT_SUPPORTED);
        return;
    }
    memcpy(pages, values[control], sizeof pages);
    if (control == CONTROL_CURRENT)
        show_lock(drive, pages);
    length = code == PAGE_ALL ? sizeof pages : page_length(offset);
    reply = atapi_reply_buffer(channel);
    memcpy(reply + header, pages + offset, length);
    put_header(drive, reply, header + length);
    atapi_reply(channel, drive, header + length, is_long(atapi) ? atapi_get(packet + 7, 2) : packet[4]);
}

void atapi_mode_select(struct ide_channel *channel, struct ide_drive *drive)
{
    const struct atapi *atapi = &drive->atapi;
    uint32_t length = is_long(atapi) ? atapi_get(atapi->packet + 7, 2) : atapi->packet[4];

    if ((atapi->packet[1] & (SELECT_FORMAT | SELECT_SAVE)) != SELECT_FORMAT)
        atapi_invalid_field(channel, drive);
    else if (length == 0)
        atapi_good(channel, drive);
    else
        atapi_receive(channel, drive, length);
}

/* Whether a page differs from the current one only where it may. The lock's state counts as it is shown. */
static bool acceptable(const struct ide_drive *drive, const uint8_t *page, unsigned offset)
{
    uint8_t current[ATAPI_MODE_PAGES_LENGTH];

    memcpy(current, drive->atapi.mode, sizeof current);
    show_lock(drive, current);
    for (unsigned i = PAGE_HEADER_LENGTH; i < page_length(offset); i++)
        if ((page[i] ^ current[offset + i]) & ~changeable[offset + i])
            return false;
    return true;
}

/* Puts the pages of a parameter list into `mode`; the sense code of what is wrong with it, or 0. */
static uint16_t take_pages(const struct ide_drive *drive, const uint8_t *list, unsigned length, uint8_t *mode)
{
    while (length > 0) {
        unsigned offset = find_page(list[0] & PAGE_CODE);

        if (offset == ATAPI_MODE_PAGES_LENGTH)
            return ATAPI_INVALID_FIELD_IN_LIST;
        if (length < page_length(offset))
            return ATAPI_PARAMETER_LENGTH_ERROR;
        if (list[1] != defaults[offset + 1] || !acceptable(drive, list, offset))
            return ATAPI_INVALID_FIELD_IN_LIST;
        for (unsigned i = PAGE_HEADER_LENGTH; i < page_length(offset); i++)
            mode[offset + i] =
                (uint8_t)((mode[offset + i] & ~changeable[offset + i]) | (list[i] & changeable[offset + i]));
        list += page_length(offset);
        length -= page_length(offset);
    }
    return 0;
}

/* All pages take effect, or none. */
void atapi_mode_selected(struct ide_channel *channel, struct ide_drive *drive)
{
    struct atapi *atapi = &drive->atapi;
    const uint8_t *list = channel->buffer;
    unsigned length = channel->transfer.filled;
    unsigned header = header_length(atapi);
    uint8_t mode[ATAPI_MODE_PAGES_LENGTH];
    uint16_t code = ATAPI_PARAMETER_LENGTH_ERROR;

    memcpy(mode, atapi->mode, sizeof mode);
    if (length >= header) {
        /* Block descriptors say what cannot be different: skipped. */
        header += is_long(atapi) ? atapi_get(list + 6, 2) : list[3];
        if (length >= header)
            code = take_pages(drive, list + header, length - header, mode);
    }
    if (code) {
        atapi_check(channel, drive, ATAPI_ILLEGAL_REQUEST, code);
        return;
    }
    memcpy(atapi->mode, mode, sizeof mode);
    atapi_good(channel, drive);
}

void atapi_set_cd_speed(struct ide_channel *channel, struct ide_drive *drive)
{
    struct atapi *atapi = &drive->atapi;
    uint32_t speed = atapi_get(atapi->packet + 2, 2);

    atapi_put(atapi->mode + find_page(PAGE_CAPABILITIES) + CAPABILITIES_CURRENT_SPEED, 2,
              speed > MAXIMUM_SPEED ? MAXIMUM_SPEED : speed);
    atapi_good(channel, drive);
}
