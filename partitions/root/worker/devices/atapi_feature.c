/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the drive can do, and what has happened to it. */
#include <string.h>
#include "partitions/root/worker/devices/atapi.h"
#include "partitions/root/worker/devices/atapi_command.h"
#include "partitions/root/worker/devices/atapi_medium.h"

/* ---- GET CONFIGURATION (MMC-5, 6.6; features: 5.3) ---- */

#define CONFIGURATION_HEADER_LENGTH 8
#define FEATURE_HEADER_LENGTH       4

/* Which features are asked for. */
#define REQUEST_TYPE    0x03
#define REQUEST_CURRENT 1
#define REQUEST_ONE     2

/* Byte 2 of a feature, beside its version (shifted). */
#define FEATURE_VERSION_SHIFT 2
#define FEATURE_PERSISTENT    0x02
#define FEATURE_CURRENT       0x01

#define FEATURE_PROFILE_LIST 0x0000

/* When a feature can be used. */
enum currency { ALWAYS, WITH_MEDIUM, WITH_CD, WITH_DVD };

struct feature {
    uint16_t code;
    uint8_t version;
    enum currency current;
    uint8_t length;
    uint8_t data[8];
};

/* clang-format off */
static const struct feature features[] = {
    {FEATURE_PROFILE_LIST, 0, ALWAYS, 8, {0, ATAPI_PROFILE_DVD_ROM, 0, 0, 0, ATAPI_PROFILE_CD_ROM, 0, 0}},
    {0x0001, 2, ALWAYS, 8, {0, 0, 0, 2, 0x01}}, /* core: ATAPI, device busy events */
    {0x0002, 1, ALWAYS, 4, {0x02}},             /* morphing: operational change events */
    {0x0003, 0, ALWAYS, 4, {0x29}},             /* removable medium: a tray, which ejects and locks */
    {0x0010, 0, WITH_MEDIUM, 8, {0, 0, ATAPI_BLOCK_SIZE >> 8, 0, 0, 1, 0x01}}, /* random readable, by blocks */
    {0x001d, 0, WITH_CD, 0, {0}},               /* multi-read */
    {0x001e, 2, WITH_CD, 4, {0}},               /* CD read: no C2 errors, no CD text */
    {0x001f, 0, WITH_DVD, 0, {0}},              /* DVD read */
    {0x0100, 0, ALWAYS, 0, {0}},                /* power management */
    {0x0105, 0, ALWAYS, 0, {0}},                /* timeout */
};
/* clang-format on */

#define FEATURES (sizeof features / sizeof *features)

static bool is_current(enum currency currency, uint16_t profile)
{
    switch (currency) {
    case WITH_MEDIUM:
        return profile != ATAPI_PROFILE_NONE;
    case WITH_CD:
        return profile == ATAPI_PROFILE_CD_ROM;
    case WITH_DVD:
        return profile == ATAPI_PROFILE_DVD_ROM;
    default:
        return true;
    }
}

/* Returns its length. */
static unsigned put_feature(const struct feature *feature, uint16_t profile, uint8_t *reply)
{
    uint8_t *data = reply + FEATURE_HEADER_LENGTH;

    atapi_put(reply, 2, feature->code);
    reply[2] =
        (uint8_t)(feature->version << FEATURE_VERSION_SHIFT | (feature->current == ALWAYS ? FEATURE_PERSISTENT : 0) |
                  (is_current(feature->current, profile) ? FEATURE_CURRENT : 0));
    reply[3] = feature->length;
    memcpy(data, feature->data, feature->length);
    /* The list has a bit of its own for each profile. */
    if (feature->code == FEATURE_PROFILE_LIST)
        for (unsigned i = 0; i < feature->length; i += 4)
            data[i + 2] = atapi_get(data + i, 2) == profile ? FEATURE_CURRENT : 0;
    return FEATURE_HEADER_LENGTH + feature->length;
}

static bool wanted(const struct feature *feature, uint8_t request, uint16_t start, uint16_t profile)
{
    if (request == REQUEST_ONE)
        return feature->code == start;
    return feature->code >= start && (request != REQUEST_CURRENT || is_current(feature->current, profile));
}

void atapi_get_configuration(struct ide_channel *channel, struct ide_drive *drive)
{
    const uint8_t *packet = drive->atapi.packet;
    uint8_t request = packet[1] & REQUEST_TYPE;
    uint16_t start = (uint16_t)atapi_get(packet + 2, 2);
    uint16_t profile = atapi_profile(drive);
    uint8_t *reply = atapi_reply_buffer(channel);
    unsigned length = CONFIGURATION_HEADER_LENGTH;

    if (request > REQUEST_ONE) {
        atapi_invalid_field(channel, drive);
        return;
    }
    for (unsigned i = 0; i < FEATURES; i++)
        if (wanted(&features[i], request, start, profile))
            length += put_feature(&features[i], profile, reply + length);
    atapi_put(reply, 4, length - 4);
    atapi_put(reply + 6, 2, profile);
    atapi_reply(channel, drive, length, atapi_get(packet + 7, 2));
}

/* ---- GET EVENT STATUS NOTIFICATION (MMC-5, 6.7) ---- */

#define EVENT_POLLED        0x01
#define EVENT_HEADER_LENGTH 4
#define EVENT_LENGTH        4
#define EVENT_NONE_OF_CLASS 0x80

/* Operational change class. */
#define OPERATIONAL_CHANGED            0x02
#define OPERATIONAL_PREVENT_PERSISTENT 0x80
#define OPERATIONAL_FEATURE_CHANGE     0x0001

/* Media class. */
#define MEDIA_TRAY_OPEN 0x01
#define MEDIA_PRESENT   0x02

/* Each fills the four bytes of its class; the first is the event, which is over if it is `told`. */
typedef void event_fn(struct ide_drive *drive, uint8_t event[EVENT_LENGTH], bool told);

static void operational_change(struct ide_drive *drive, uint8_t event[EVENT_LENGTH], bool told)
{
    struct atapi *atapi = &drive->atapi;

    if (atapi->operational_change) {
        event[0] = OPERATIONAL_CHANGED;
        atapi_put(event + 2, 2, OPERATIONAL_FEATURE_CHANGE);
    }
    if (atapi->prevented_persistent)
        event[1] = OPERATIONAL_PREVENT_PERSISTENT;
    if (told)
        atapi->operational_change = false;
}

/* The guest changes the drive's power itself, and hears of no other change. */
static void power_management(struct ide_drive *drive, uint8_t event[EVENT_LENGTH], bool told)
{
    static const uint8_t states[] = {
        [IDE_POWER_ACTIVE] = 1, [IDE_POWER_IDLE] = 2, [IDE_POWER_STANDBY] = 3, [IDE_POWER_SLEEP] = 4};

    (void)told;
    event[1] = states[drive->power];
}

static void media(struct ide_drive *drive, uint8_t event[EVENT_LENGTH], bool told)
{
    struct atapi *atapi = &drive->atapi;

    event[0] = (uint8_t)atapi->media_event;
    event[1] = (atapi->tray_open ? MEDIA_TRAY_OPEN : 0) | (drive->disk ? MEDIA_PRESENT : 0);
    if (told)
        atapi->media_event = ATAPI_MEDIA_NO_CHANGE;
}

/* It is never busy with anything but the command in progress. */
static void device_busy(struct ide_drive *drive, uint8_t event[EVENT_LENGTH], bool told)
{
    (void)drive;
    (void)event;
    (void)told;
}

static event_fn *const event_classes[8] = {
    [1] = operational_change,
    [2] = power_management,
    [4] = media,
    [6] = device_busy,
};

static uint8_t supported_classes(void)
{
    uint8_t classes = 0;

    for (unsigned i = 0; i < 8; i++)
        if (event_classes[i])
            classes |= (uint8_t)(1u << i);
    return classes;
}

/* The first class among `classes` that has an event, or just the first; -1 if there is none. */
static int choose_class(struct ide_drive *drive, uint8_t classes)
{
    int chosen = -1;

    for (int i = 0; i < 8; i++) {
        uint8_t event[EVENT_LENGTH] = {0};

        if (!(classes & supported_classes() & 1u << i))
            continue;
        event_classes[i](drive, event, false);
        if (event[0] != 0)
            return i;
        if (chosen < 0)
            chosen = i;
    }
    return chosen;
}

void atapi_get_event_status(struct ide_channel *channel, struct ide_drive *drive)
{
    const uint8_t *packet = drive->atapi.packet;
    uint32_t allocation = atapi_get(packet + 7, 2);
    uint8_t *reply = atapi_reply_buffer(channel);
    int chosen = choose_class(drive, packet[4]);

    if (!(packet[1] & EVENT_POLLED)) {
        atapi_invalid_field(channel, drive);
        return;
    }
    reply[3] = supported_classes();
    if (chosen < 0) {
        atapi_put(reply, 2, EVENT_HEADER_LENGTH - 2);
        reply[2] = EVENT_NONE_OF_CLASS;
        atapi_reply(channel, drive, EVENT_HEADER_LENGTH, allocation);
        return;
    }
    atapi_put(reply, 2, EVENT_HEADER_LENGTH + EVENT_LENGTH - 2);
    reply[2] = (uint8_t)chosen;
    /* Who takes the header alone has not been told. */
    event_classes[chosen](drive, reply + EVENT_HEADER_LENGTH, allocation > EVENT_HEADER_LENGTH);
    atapi_reply(channel, drive, EVENT_HEADER_LENGTH + EVENT_LENGTH, allocation);
}

/* ---- MECHANISM STATUS (MMC-5, 6.9) ---- */

#define MECHANISM_LENGTH    8
#define MECHANISM_TRAY_OPEN 0x10

/* No changer: no table of slots. */
void atapi_mechanism_status(struct ide_channel *channel, struct ide_drive *drive)
{
    uint8_t *reply = atapi_reply_buffer(channel);

    if (drive->atapi.tray_open)
        reply[1] = MECHANISM_TRAY_OPEN;
    atapi_put(reply + 2, 3, drive->atapi.position);
    atapi_reply(channel, drive, MECHANISM_LENGTH, atapi_get(drive->atapi.packet + 8, 2));
}
