/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/worker/devices/ide_command.h"

#include <string.h>
#include "partitions/root/worker/devices/ide_transfer.h"

/* Subcommands of SET FEATURES. */
#define FEATURE_ENABLE_WRITE_CACHE  0x02
#define FEATURE_SET_TRANSFER_MODE   0x03
#define FEATURE_DISABLE_LOOK_AHEAD  0x55
#define FEATURE_KEEP_SETTINGS       0x66
#define FEATURE_DISABLE_WRITE_CACHE 0x82
#define FEATURE_ENABLE_LOOK_AHEAD   0xaa
#define FEATURE_REVERT_SETTINGS     0xcc

#define MAXIMUM_LBA28 0x0fffffffu

/* How a command uses its registers and moves its data. */
#define EXTENDED 0x01 /* 48-bit address, 16-bit count */
#define MULTIPLE 0x02 /* blocks as SET MULTIPLE MODE has set */

struct command {
    void (*start)(struct ide_channel *channel, struct ide_drive *drive, const struct command *command);
    enum ide_transfer_kind kind; /* if start is start_transfer */
    uint8_t flags;
};

static void abort_command(struct ide_channel *channel, struct ide_drive *drive)
{
    ide_channel_fail(channel, drive, IDE_STATUS_ERR, IDE_ERROR_ABRT);
}

static enum ide_addressing addressing(const struct ide_channel *channel, const struct command *command)
{
    if (command->flags & EXTENDED)
        return IDE_ADDRESSING_LBA48;
    return channel->registers.device & IDE_DEVICE_LBA ? IDE_ADDRESSING_LBA28 : IDE_ADDRESSING_CHS;
}

/* The sector that the registers name; false if the translation has no such sector. */
static bool addressed_sector(const struct ide_channel *channel, const struct ide_drive *drive,
                             enum ide_addressing addressing, uint64_t *sector)
{
    const struct ide_task_file *r = &channel->registers;
    uint8_t head = r->device & IDE_DEVICE_HEADS;

    switch (addressing) {
    case IDE_ADDRESSING_CHS:
        return ide_drive_chs_to_sector(drive, r->lba_middle[0] | (unsigned)r->lba_high[0] << 8, head,
                                       r->lba_low[0], sector);
    case IDE_ADDRESSING_LBA28:
        *sector = r->lba_low[0] | (uint32_t)r->lba_middle[0] << 8 | (uint32_t)r->lba_high[0] << 16 |
                  (uint32_t)head << 24;
        return true;
    case IDE_ADDRESSING_LBA48:
        *sector = r->lba_low[0] | (uint32_t)r->lba_middle[0] << 8 | (uint32_t)r->lba_high[0] << 16 |
                  (uint64_t)r->lba_low[1] << 24 | (uint64_t)r->lba_middle[1] << 32 |
                  (uint64_t)r->lba_high[1] << 40;
        return true;
    }
    return false;
}

static uint32_t sector_count(const struct ide_channel *channel, const struct command *command)
{
    const struct ide_task_file *registers = &channel->registers;
    uint32_t count = registers->count[0];

    if (!(command->flags & EXTENDED))
        return count ? count : 256;
    count |= (uint32_t)registers->count[1] << 8;
    return count ? count : 65536;
}

static void start_transfer(struct ide_channel *channel, struct ide_drive *drive,
                           const struct command *command)
{
    struct ide_transfer transfer = {.kind = command->kind, .block = 1};
    bool writes = command->kind == IDE_TRANSFER_PIO_OUT || command->kind == IDE_TRANSFER_DMA_OUT;
    uint64_t sectors = disk_sectors(drive->disk);

    if (command->flags & MULTIPLE)
        transfer.block = drive->multiple;
    if (transfer.block == 0 || (writes && disk_read_only(drive->disk))) {
        abort_command(channel, drive);
        return;
    }
    transfer.addressing = addressing(channel, command);
    transfer.remaining = sector_count(channel, command);
    if (!addressed_sector(channel, drive, transfer.addressing, &transfer.sector) ||
        transfer.sector >= sectors || transfer.remaining > sectors - transfer.sector) {
        ide_channel_fail(channel, drive, IDE_STATUS_ERR, IDE_ERROR_IDNF);
        return;
    }
    drive->power = IDE_POWER_ACTIVE;
    channel->transfer = transfer;
    ide_transfer_begin(channel);
}

static void start_flush(struct ide_channel *channel, struct ide_drive *drive, const struct command *command)
{
    (void)drive;
    (void)command;
    channel->transfer = (struct ide_transfer){.kind = IDE_TRANSFER_FLUSH};
    ide_transfer_begin(channel);
}

static void start_seek(struct ide_channel *channel, struct ide_drive *drive, const struct command *command)
{
    uint64_t sector;

    if (addressed_sector(channel, drive, addressing(channel, command), &sector) &&
        sector < disk_sectors(drive->disk))
        ide_channel_complete(channel, drive);
    else
        ide_channel_fail(channel, drive, IDE_STATUS_ERR, IDE_ERROR_IDNF);
}

static void start_recalibrate(struct ide_channel *channel, struct ide_drive *drive,
                              const struct command *command)
{
    (void)command;
    ide_channel_complete(channel, drive);
}

static void start_nop(struct ide_channel *channel, struct ide_drive *drive, const struct command *command)
{
    (void)command;
    abort_command(channel, drive); /* always: that is what it is for */
}

static void start_identify(struct ide_channel *channel, struct ide_drive *drive,
                           const struct command *command)
{
    uint16_t words[256];

    (void)command;
    ide_drive_identify(drive, words);
    memcpy(channel->buffer, words, sizeof words);
    ide_transfer_begin_internal(channel);
}

static void start_initialize_parameters(struct ide_channel *channel, struct ide_drive *drive,
                                        const struct command *command)
{
    (void)command;
    if (ide_drive_set_geometry(drive, (channel->registers.device & IDE_DEVICE_HEADS) + 1u,
                               channel->registers.count[0]))
        ide_channel_complete(channel, drive);
    else
        abort_command(channel, drive);
}

/* A power of two up to IDE_MAXIMUM_MULTIPLE; 0 switches the commands off. */
static void start_set_multiple(struct ide_channel *channel, struct ide_drive *drive,
                               const struct command *command)
{
    uint8_t sectors = channel->registers.count[0];

    (void)command;
    if (sectors > IDE_MAXIMUM_MULTIPLE || (sectors & (sectors - 1)) != 0) {
        abort_command(channel, drive);
        return;
    }
    drive->multiple = sectors;
    ide_channel_complete(channel, drive);
}

static void start_set_features(struct ide_channel *channel, struct ide_drive *drive,
                               const struct command *command)
{
    switch (channel->registers.features[0]) {
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
        if (ide_drive_set_transfer_mode(drive, channel->registers.count[0]))
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

static void start_check_power(struct ide_channel *channel, struct ide_drive *drive,
                              const struct command *command)
{
    static const uint8_t modes[] = {[IDE_POWER_ACTIVE] = 0xff,
                                    [IDE_POWER_IDLE] = 0x80,
                                    [IDE_POWER_STANDBY] = 0x00,
                                    [IDE_POWER_SLEEP] = 0x00};

    (void)command;
    channel->registers.count[0] = modes[drive->power];
    ide_channel_complete(channel, drive);
}

static void start_read_native_maximum(struct ide_channel *channel, struct ide_drive *drive,
                                      const struct command *command)
{
    struct ide_task_file *registers = &channel->registers;
    uint64_t last = disk_sectors(drive->disk) - 1;

    if (!(command->flags & EXTENDED) && last > MAXIMUM_LBA28)
        last = MAXIMUM_LBA28;
    registers->lba_low[0] = last & 0xff;
    registers->lba_middle[0] = last >> 8 & 0xff;
    registers->lba_high[0] = last >> 16 & 0xff;
    if (command->flags & EXTENDED) {
        registers->lba_low[1] = last >> 24 & 0xff;
        registers->lba_middle[1] = last >> 32 & 0xff;
        registers->lba_high[1] = last >> 40 & 0xff;
    } else {
        registers->device =
            (uint8_t)((registers->device & ~IDE_DEVICE_HEADS) | (last >> 24 & IDE_DEVICE_HEADS));
    }
    ide_channel_complete(channel, drive);
}

/* clang-format off */
#define TRANSFER(kind, flags) {start_transfer, IDE_TRANSFER_##kind, flags}
#define NO_DATA(start)        {start, 0, 0}

static const struct command commands[256] = {
    [0x00] = NO_DATA(start_nop),
    [0x10 ... 0x1f] = NO_DATA(start_recalibrate),
    [0x20] = TRANSFER(PIO_IN, 0),                    /* READ SECTOR(S) */
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
    [0xc4] = TRANSFER(PIO_IN, MULTIPLE),             /* READ MULTIPLE */
    [0xc5] = TRANSFER(PIO_OUT, MULTIPLE),            /* WRITE MULTIPLE */
    [0xc6] = NO_DATA(start_set_multiple),
    [0xc8] = TRANSFER(DMA_IN, 0),                    /* READ DMA */
    [0xc9] = TRANSFER(DMA_IN, 0),                    /* without retries */
    [0xca] = TRANSFER(DMA_OUT, 0),                   /* WRITE DMA */
    [0xcb] = TRANSFER(DMA_OUT, 0),                   /* without retries */
    [0xe0] = NO_DATA(start_standby),                 /* STANDBY IMMEDIATE */
    [0xe1] = NO_DATA(start_idle),                    /* IDLE IMMEDIATE */
    [0xe2] = NO_DATA(start_standby),                 /* STANDBY */
    [0xe3] = NO_DATA(start_idle),                    /* IDLE */
    [0xe5] = NO_DATA(start_check_power),
    [0xe6] = NO_DATA(start_sleep),
    [0xe7] = NO_DATA(start_flush),                   /* FLUSH CACHE */
    [0xea] = NO_DATA(start_flush),                   /* FLUSH CACHE EXT */
    [0xec] = NO_DATA(start_identify),
    [0xef] = NO_DATA(start_set_features),
    [0xf8] = NO_DATA(start_read_native_maximum),
};
/* clang-format on */

void ide_command_execute(struct ide_channel *channel, struct ide_drive *drive, uint8_t code)
{
    const struct command *command = &commands[code];

    if (command->start)
        command->start(channel, drive, command);
    else
        abort_command(channel, drive);
}
