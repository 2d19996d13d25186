/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/worker/devices/ide_command.h"

#include <errno.h>
#include <string.h>
#include "partitions/root/worker/devices/atapi.h"
#include "partitions/root/worker/devices/ide_identify.h"
#include "partitions/root/worker/devices/ide_trim.h"
#include "partitions/root/worker/devices/ide_transfer.h"

/* Subcommands of SET FEATURES. */
#define FEATURE_ENABLE_WRITE_CACHE  0x02
#define FEATURE_SET_TRANSFER_MODE   0x03
#define FEATURE_DISABLE_LOOK_AHEAD  0x55
#define FEATURE_KEEP_SETTINGS       0x66
#define FEATURE_DISABLE_WRITE_CACHE 0x82
#define FEATURE_ENABLE_LOOK_AHEAD   0xaa
#define FEATURE_REVERT_SETTINGS     0xcc

/* Who knows a command, and how it uses its registers and moves its data. */
#define EXTENDED 0x01 /* 48-bit address, 16-bit count */
#define MULTIPLE 0x02 /* blocks as SET MULTIPLE MODE has set */
#define DVD      0x04 /* a DVD drive knows it as well */
#define DVD_ONLY 0x08 /* a DVD drive alone knows it */
#define SIGNS    0x10 /* a DVD drive refuses it, and shows its signature with that */

struct command {
    void (*start)(struct ide_channel *channel, struct ide_drive *drive, const struct command *command);
    enum ide_transfer_kind kind; /* if start is start_transfer */
    uint8_t flags;
};

static void abort_command(struct ide_channel *channel, struct ide_drive *drive)
{
    ide_channel_fail(channel, drive, IDE_STATUS_ERR, IDE_ERROR_ABRT);
}

static enum ide_addressing addressing(const struct ide_drive *drive, const struct command *command)
{
    if (command->flags & EXTENDED)
        return IDE_ADDRESSING_LBA48;
    return drive->registers.device & IDE_DEVICE_LBA ? IDE_ADDRESSING_LBA28 : IDE_ADDRESSING_CHS;
}

/* The sector that the registers name; false if the translation has no such sector. */
static bool addressed_sector(const struct ide_drive *drive, enum ide_addressing addressing, uint64_t *sector)
{
    const struct ide_task_file *r = &drive->registers;
    uint8_t head = r->device & IDE_DEVICE_HEADS;

    switch (addressing) {
    case IDE_ADDRESSING_CHS:
        return ide_drive_chs_to_sector(drive, r->lba_middle[0] | (unsigned)r->lba_high[0] << 8, head, r->lba_low[0],
                                       sector);
    case IDE_ADDRESSING_LBA28:
        *sector =
            r->lba_low[0] | (uint32_t)r->lba_middle[0] << 8 | (uint32_t)r->lba_high[0] << 16 | (uint32_t)head << 24;
        return true;
    case IDE_ADDRESSING_LBA48:
        *sector = r->lba_low[0] | (uint32_t)r->lba_middle[0] << 8 | (uint32_t)r->lba_high[0] << 16 |
                  (uint64_t)r->lba_low[1] << 24 | (uint64_t)r->lba_middle[1] << 32 | (uint64_t)r->lba_high[1] << 40;
        return true;
    }
    return false;
}

/* How many sectors can be addressed so. */
static uint64_t addressable_sectors(const struct ide_drive *drive, enum ide_addressing addressing)
{
    uint64_t sectors = disk_sectors(drive->disk);

    return addressing != IDE_ADDRESSING_LBA48 && sectors > IDE_MAXIMUM_LBA28_SECTORS ? IDE_MAXIMUM_LBA28_SECTORS
                                                                                     : sectors;
}

static uint32_t sector_count(const struct ide_drive *drive, const struct command *command)
{
    const struct ide_task_file *registers = &drive->registers;
    uint32_t count = registers->count[0];

    if (!(command->flags & EXTENDED))
        return count ? count : 256;
    count |= (uint32_t)registers->count[1] << 8;
    return count ? count : 65536;
}

/* Tells the guest a sector, in the form in which it names them itself. */
static void store_address(struct ide_drive *drive, enum ide_addressing addressing, uint64_t sector)
{
    struct ide_task_file *registers = &drive->registers;
    const struct disk_geometry *geometry = &drive->geometry;
    uint64_t address = sector;
    uint8_t head = sector >> 24 & 0x0f;

    if (addressing == IDE_ADDRESSING_CHS) {
        uint64_t track = sector / geometry->sectors_per_track;

        head = (uint8_t)(track % geometry->heads);
        address = (sector % geometry->sectors_per_track + 1) | track / geometry->heads << 8;
    }
    registers->lba_low[0] = address & 0xff;
    registers->lba_middle[0] = address >> 8 & 0xff;
    registers->lba_high[0] = address >> 16 & 0xff;
    if (addressing == IDE_ADDRESSING_LBA48) {
        registers->lba_low[1] = address >> 24 & 0xff;
        registers->lba_middle[1] = address >> 32 & 0xff;
        registers->lba_high[1] = address >> 40 & 0xff;
    } else {
        registers->device = (uint8_t)((registers->device & ~IDE_DEVICE_HEADS) | head);
    }
}

/* The registers of before 48-bit commands name the last sector in the end, and none that is left (ATA-2). */
static void transfer_done(struct ide_channel *channel, struct ide_drive *drive)
{
    const struct ide_transfer *transfer = &channel->transfer;

    if (transfer->sector > 0 && transfer->addressing != IDE_ADDRESSING_LBA48) {
        store_address(drive, transfer->addressing, transfer->sector - 1);
        drive->registers.count[0] = 0;
    }
    if (transfer->kind == IDE_TRANSFER_PIO_IN)
        ide_channel_complete_quietly(channel, drive);
    else
        ide_channel_complete(channel, drive);
}

static void transfer_failed(struct ide_channel *channel, struct ide_drive *drive, int error)
{
    const struct ide_transfer *transfer = &channel->transfer;
    bool reads = transfer->kind == IDE_TRANSFER_PIO_IN || transfer->kind == IDE_TRANSFER_DMA_IN ||
                 transfer->kind == IDE_TRANSFER_VERIFY;

    if (transfer->kind != IDE_TRANSFER_FLUSH) {
        store_address(drive, transfer->addressing, transfer->sector);
        drive->registers.count[0] = transfer->remaining & 0xff;
        if (transfer->addressing == IDE_ADDRESSING_LBA48)
            drive->registers.count[1] = transfer->remaining >> 8 & 0xff;
    }
    if (error == EFAULT)
        ide_channel_fail(channel, drive, IDE_STATUS_ERR, IDE_ERROR_ABRT);
    else if (error == EINVAL && transfer->kind != IDE_TRANSFER_FLUSH)
        ide_channel_fail(channel, drive, IDE_STATUS_ERR, IDE_ERROR_IDNF);
    else if (reads)
        ide_channel_fail(channel, drive, IDE_STATUS_ERR, IDE_ERROR_UNC);
    else
        ide_channel_fail(channel, drive, IDE_STATUS_ERR | IDE_STATUS_DF, IDE_ERROR_ABRT);
}

static const struct ide_protocol protocol = {.done = transfer_done, .failed = transfer_failed};

static void start_transfer(struct ide_channel *channel, struct ide_drive *drive, const struct command *command)
{
    struct ide_transfer transfer = {.protocol = &protocol,
                                    .kind = command->kind,
                                    .addressing = addressing(drive, command),
                                    .batch = IDE_BUFFER_SECTORS,
                                    .block = DISK_SECTOR_SIZE};
    bool writes = command->kind == IDE_TRANSFER_PIO_OUT || command->kind == IDE_TRANSFER_DMA_OUT;
    uint64_t sectors = addressable_sectors(drive, transfer.addressing);

    if (command->flags & MULTIPLE)
        transfer.block = drive->multiple * DISK_SECTOR_SIZE;
    if (transfer.block == 0 || (writes && disk_read_only(drive->disk))) {
        abort_command(channel, drive);
        return;
    }
    transfer.remaining = sector_count(drive, command);
    if (!addressed_sector(drive, transfer.addressing, &transfer.sector) || transfer.sector >= sectors ||
        transfer.remaining > sectors - transfer.sector) {
        ide_channel_fail(channel, drive, IDE_STATUS_ERR, IDE_ERROR_IDNF);
        return;
    }
    drive->power = IDE_POWER_ACTIVE;
    channel->transfer = transfer;
    ide_transfer_begin(channel);
}

static void trim_done(struct ide_channel *channel, struct ide_drive *drive)
{
    if (!ide_trim_next(channel))
        ide_channel_complete(channel, drive);
}

/* The list is there. None of it is done if any of it cannot be. */
static void trim_received(struct ide_channel *channel, struct ide_drive *drive)
{
    if (!ide_trim_check(channel, drive)) {
        ide_channel_fail(channel, drive, IDE_STATUS_ERR, IDE_ERROR_IDNF);
        return;
    }
    channel->transfer.kind = IDE_TRANSFER_DISCARD;
    trim_done(channel, drive);
}

static const struct ide_protocol trim_protocol = {
    .received = trim_received, .done = trim_done, .failed = transfer_failed};

/* DATA SET MANAGEMENT (ACS-2, 7.10). */
static void start_trim(struct ide_channel *channel, struct ide_drive *drive, const struct command *command)
{
    uint32_t blocks = sector_count(drive, command);

    if (drive->registers.features[0] != IDE_TRIM_FEATURE || blocks > IDE_TRIM_MAXIMUM_BLOCKS ||
        disk_read_only(drive->disk)) {
        abort_command(channel, drive);
        return;
    }
    drive->power = IDE_POWER_ACTIVE;
    channel->transfer = (struct ide_transfer){.protocol = &trim_protocol,
                                              .kind = IDE_TRANSFER_RECEIVE_DMA,
                                              .addressing = IDE_ADDRESSING_LBA48,
                                              .filled = blocks * DISK_SECTOR_SIZE};
    ide_transfer_begin(channel);
}

static void start_flush(struct ide_channel *channel, struct ide_drive *drive, const struct command *command)
{
    (void)command;
    /* A DVD drive has nothing to write. */
    if (drive->kind == IDE_DRIVE_DVD) {
        ide_channel_complete(channel, drive);
        return;
    }
    channel->transfer = (struct ide_transfer){.protocol = &protocol, .kind = IDE_TRANSFER_FLUSH};
    ide_transfer_begin(channel);
}

static void start_seek(struct ide_channel *channel, struct ide_drive *drive, const struct command *command)
{
    enum ide_addressing form = addressing(drive, command);
    uint64_t sector;

    if (addressed_sector(drive, form, &sector) && sector < addressable_sectors(drive, form))
        ide_channel_complete(channel, drive);
    else
        ide_channel_fail(channel, drive, IDE_STATUS_ERR, IDE_ERROR_IDNF);
}

static void start_recalibrate(struct ide_channel *channel, struct ide_drive *drive, const struct command *command)
{
    (void)command;
    ide_channel_complete(channel, drive);
}

static void start_nop(struct ide_channel *channel, struct ide_drive *drive, const struct command *command)
{
    (void)command;
    abort_command(channel, drive); /* always: that is what it is for */
}

static void start_identify(struct ide_channel *channel, struct ide_drive *drive, const struct command *command)
{
    bool paired = channel->drives[1 - drive->number].kind != IDE_DRIVE_ABSENT;
    uint16_t words[IDE_IDENTIFY_WORDS];

    (void)command;
    if (drive->kind == IDE_DRIVE_DVD)
        ide_identify_packet_device(drive, paired, words);
    else
        ide_identify_device(drive, paired, words);
    memcpy(channel->buffer, words, sizeof words);
    channel->transfer = (struct ide_transfer){
        .protocol = &protocol, .kind = IDE_TRANSFER_PIO_IN, .block = sizeof words, .filled = sizeof words};
    ide_transfer_begin(channel);
}

static void start_initialize_parameters(struct ide_channel *channel, struct ide_drive *drive,
                                        const struct command *command)
{
    (void)command;
    if (ide_drive_set_geometry(drive, (drive->registers.device & IDE_DEVICE_HEADS) + 1u, drive->registers.count[0]))
        ide_channel_complete(channel, drive);
    else
        abort_command(channel, drive);
}

/* A power of two up to IDE_MAXIMUM_MULTIPLE; 0 switches the commands off. */
static void start_set_multiple(struct ide_channel *channel, struct ide_drive *drive, const struct command *command)
{
    uint8_t sectors = drive->registers.count[0];

    (void)command;
    if (sectors > IDE_MAXIMUM_MULTIPLE || (sectors & (sectors - 1)) != 0) {
        abort_command(channel, drive);
        return;
    }
    drive->multiple = sectors;
    ide_channel_complete(channel, drive);
}

static void start_set_features(struct ide_channel *channel, struct ide_drive *drive, const struct command *command)
{
    uint8_t feature = drive->registers.features[0];

    /* A DVD drive has no cache that could be set. */
    if (drive->kind == IDE_DRIVE_DVD && feature != FEATURE_SET_TRANSFER_MODE && feature != FEATURE_KEEP_SETTINGS &&
        feature != FEATURE_REVERT_SETTINGS) {
        abort_command(channel, drive);
        return;
    }
    switch (feature) {
    case FEATURE_ENABLE_WRITE_CACHE:
        drive->write_cache = true;
        break;
    case FEATURE_DISABLE_WRITE_CACHE:
        drive->write_cache = false;
        start_flush(channel, drive, command);
        return;
    case FEATURE_ENABLE_LOOK_AHEAD:
        drive->look_ahead = true;
        break;
    case FEATURE_DISABLE_LOOK_AHEAD:
        drive->look_ahead = false;
        break;
    case FEATURE_KEEP_SETTINGS:
        drive->keep_settings = true;
        break;
    case FEATURE_REVERT_SETTINGS:
        drive->keep_settings = false;
        break;
    case FEATURE_SET_TRANSFER_MODE:
        if (ide_drive_set_transfer_mode(drive, drive->registers.count[0]))
            break;
        /* fall through */
    default:
        abort_command(channel, drive);
        return;
    }
    ide_channel_complete(channel, drive);
}

static void start_idle(struct ide_channel *channel, struct ide_drive *drive, const struct command *command)
{
    (void)command;
    drive->power = IDE_POWER_IDLE;
    ide_channel_complete(channel, drive);
}

/* What is cached must be safe before the platters stop. */
static void start_standby(struct ide_channel *channel, struct ide_drive *drive, const struct command *command)
{
    drive->power = IDE_POWER_STANDBY;
    start_flush(channel, drive, command);
}

static void start_sleep(struct ide_channel *channel, struct ide_drive *drive, const struct command *command)
{
    drive->power = IDE_POWER_SLEEP;
    start_flush(channel, drive, command);
}

static void start_check_power(struct ide_channel *channel, struct ide_drive *drive, const struct command *command)
{
    static const uint8_t modes[] = {
        [IDE_POWER_ACTIVE] = 0xff, [IDE_POWER_IDLE] = 0x80, [IDE_POWER_STANDBY] = 0x00, [IDE_POWER_SLEEP] = 0x00};

    (void)command;
    drive->registers.count[0] = modes[drive->power];
    ide_channel_complete(channel, drive);
}

static void start_read_native_maximum(struct ide_channel *channel, struct ide_drive *drive,
                                      const struct command *command)
{
    enum ide_addressing form = addressing(drive, command);
    uint64_t sectors = addressable_sectors(drive, form);

    /* What the translation reaches, if it is asked for so. */
    if (form == IDE_ADDRESSING_CHS) {
        const struct disk_geometry *geometry = &drive->geometry;

        sectors = (uint64_t)geometry->cylinders * geometry->heads * geometry->sectors_per_track;
    }
    store_address(drive, form, sectors - 1);
    ide_channel_complete(channel, drive);
}

static void start_packet(struct ide_channel *channel, struct ide_drive *drive, const struct command *command)
{
    (void)command;
    atapi_start(channel, drive);
}

/* clang-format off */
#define TRANSFER(kind, flags) {start_transfer, IDE_TRANSFER_##kind, flags}
#define NO_DATA(start)        {start, 0, 0}
#define NO_DATA_DVD(start)    {start, 0, DVD}

static const struct command commands[256] = {
    [0x00] = NO_DATA_DVD(start_nop),
    [0x06] = {start_trim, 0, EXTENDED},              /* DATA SET MANAGEMENT */
    [0x10 ... 0x1f] = NO_DATA(start_recalibrate),
    [0x20] = TRANSFER(PIO_IN, SIGNS),                /* READ SECTOR(S) */
    [0x21] = TRANSFER(PIO_IN, 0),                    /* without retries */
    [0x24] = TRANSFER(PIO_IN, EXTENDED),             /* READ SECTOR(S) EXT */
    [0x25] = TRANSFER(DMA_IN, EXTENDED),             /* READ DMA EXT */
    [0x27] = {start_read_native_maximum, 0, EXTENDED},
    [0x29] = TRANSFER(PIO_IN, EXTENDED | MULTIPLE),  /* READ MULTIPLE EXT */
    [0x30] = TRANSFER(PIO_OUT, 0),                   /* WRITE SECTOR(S) */
    [0x31] = TRANSFER(PIO_OUT, 0),                   /* without retries */
    [0x34] = TRANSFER(PIO_OUT, EXTENDED),            /* WRITE SECTOR(S) EXT */
    [0x35] = TRANSFER(DMA_OUT, EXTENDED),            /* WRITE DMA EXT */
    [0x39] = TRANSFER(PIO_OUT, EXTENDED | MULTIPLE), /* WRITE MULTIPLE EXT */
    [0x3c] = TRANSFER(PIO_OUT, 0),                   /* WRITE VERIFY, of before ATA-4 */
    [0x40] = TRANSFER(VERIFY, 0),                    /* READ VERIFY SECTOR(S) */
    [0x41] = TRANSFER(VERIFY, 0),                    /* without retries */
    [0x42] = TRANSFER(VERIFY, EXTENDED),             /* READ VERIFY SECTOR(S) EXT */
    [0x70 ... 0x7f] = NO_DATA(start_seek),
    [0x91] = NO_DATA(start_initialize_parameters),
    [0x94] = NO_DATA(start_standby),                 /* as ATA-1 numbered E0h; the next five likewise */
    [0x95] = NO_DATA(start_idle),
    [0x96] = NO_DATA(start_standby),
    [0x97] = NO_DATA(start_idle),
    [0x98] = NO_DATA(start_check_power),
    [0x99] = NO_DATA(start_sleep),
    [0xa0] = {start_packet, 0, DVD | DVD_ONLY},
    [0xa1] = {start_identify, 0, DVD | DVD_ONLY},    /* IDENTIFY PACKET DEVICE */
    [0xc4] = TRANSFER(PIO_IN, MULTIPLE),             /* READ MULTIPLE */
    [0xc5] = TRANSFER(PIO_OUT, MULTIPLE),            /* WRITE MULTIPLE */
    [0xc6] = NO_DATA(start_set_multiple),
    [0xc8] = TRANSFER(DMA_IN, 0),                    /* READ DMA */
    [0xc9] = TRANSFER(DMA_IN, 0),                    /* without retries */
    [0xca] = TRANSFER(DMA_OUT, 0),                   /* WRITE DMA */
    [0xcb] = TRANSFER(DMA_OUT, 0),                   /* without retries */
    [0xe0] = NO_DATA_DVD(start_standby),                 /* STANDBY IMMEDIATE */
    [0xe1] = NO_DATA_DVD(start_idle),                    /* IDLE IMMEDIATE */
    [0xe2] = NO_DATA(start_standby),                 /* STANDBY */
    [0xe3] = NO_DATA(start_idle),                    /* IDLE */
    [0xe5] = NO_DATA_DVD(start_check_power),
    [0xe6] = NO_DATA_DVD(start_sleep),
    [0xe7] = NO_DATA(start_flush),                   /* FLUSH CACHE */
    [0xea] = NO_DATA(start_flush),                   /* FLUSH CACHE EXT */
    [0xec] = {start_identify, 0, SIGNS},             /* IDENTIFY DEVICE */
    [0xef] = NO_DATA_DVD(start_set_features),
    [0xf8] = NO_DATA(start_read_native_maximum),
};
/* clang-format on */

void ide_command_execute(struct ide_channel *channel, struct ide_drive *drive, uint8_t code)
{
    const struct command *command = &commands[code];
    bool known = drive->kind == IDE_DRIVE_DVD ? command->flags & DVD : !(command->flags & DVD_ONLY);

    if (command->start && known) {
        command->start(channel, drive, command);
        return;
    }
    if (drive->kind == IDE_DRIVE_DVD && command->flags & SIGNS)
        ide_drive_set_signature(drive);
    abort_command(channel, drive);
}
