/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a DVD drive remembers between packets. The drive that it is a part of: struct ide_drive. */
#ifndef WORKER_DEVICES_ATAPI_STATE_H
#define WORKER_DEVICES_ATAPI_STATE_H

#include <stdbool.h>
#include <stdint.h>

#define ATAPI_PACKET_LENGTH 12

/* All mode pages one after the other (atapi_mode.c). */
#define ATAPI_MODE_PAGES_LENGTH 90

/* Unit attentions that have not been told yet. */
#define ATAPI_ATTENTION_RESET  0x01
#define ATAPI_ATTENTION_MEDIUM 0x02

/* Media events (MMC-5, GET EVENT STATUS NOTIFICATION, media class). */
enum atapi_media_event {
    ATAPI_MEDIA_NO_CHANGE = 0,
    ATAPI_MEDIA_EJECT_REQUEST = 1,
    ATAPI_MEDIA_NEW = 2,
    ATAPI_MEDIA_REMOVAL = 3,
};

/* Of the command before: REQUEST SENSE tells it, and any command but that forgets it. */
struct atapi_sense {
    uint8_t key;
    uint16_t code;        /* additional sense code and its qualifier */
    bool valid;           /* information means something */
    uint32_t information; /* the block that could not be read */
};

struct atapi {
    bool tray_open;
    bool prevented;            /* PREVENT ALLOW MEDIUM REMOVAL */
    bool prevented_persistent; /* the same, by the persistent bit */
    struct atapi_sense sense;
    uint8_t attention;
    enum atapi_media_event media_event;
    bool operational_change; /* the current profile has changed, and nobody has been told */
    uint16_t profile;        /* the last one that was current */
    uint32_t position;       /* block that was read last */

    /* The command in progress. */
    uint8_t packet[ATAPI_PACKET_LENGTH];
    bool dma;         /* data by the bus master */
    uint32_t limit;   /* bytes a DRQ block at most; 0: the host expects no data */
    uint8_t fields;   /* READ CD: which fields of a sector, 0: user data alone */
    uint32_t address; /* READ CD: block that the next sector read belongs to */

    uint8_t mode[ATAPI_MODE_PAGES_LENGTH]; /* the current values */
};

#endif
