/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/worker/devices/ide_channel.h"

#include <string.h>
#include "partitions/root/worker/devices/ide_command.h"
#include "partitions/root/worker/devices/ide_transfer.h"

/* Command block. */
#define REGISTER_DATA       0
#define REGISTER_ERROR      1 /* written: features */
#define REGISTER_COUNT      2
#define REGISTER_LBA_LOW    3
#define REGISTER_LBA_MIDDLE 4
#define REGISTER_LBA_HIGH   5
#define REGISTER_DEVICE     6
#define REGISTER_STATUS     7 /* written: command */

/* Device control (ATA-6, clause 7). */
#define CONTROL_NIEN 0x02
#define CONTROL_SRST 0x04
#define CONTROL_HOB  0x80

/* What an empty channel reads as: nothing drives the bus, and DD7 is pulled down so that BSY is 0. */
#define FLOATING_BYTE 0x7f

/* Bits 7 and 5 of the device register are obsolete, and read as ones on every drive there was. */
#define DEVICE_ONES 0xa0

/* DEVICE RESET, which a DVD drive hears even while it is busy or asleep (ATA-6, 8.7). */
#define COMMAND_DEVICE_RESET 0x08

/* Diagnostic code: no error (ATA-6, EXECUTE DEVICE DIAGNOSTIC). */
#define DIAGNOSTIC_PASSED 0x01

#define STATUS_READY (IDE_STATUS_DRDY | IDE_STATUS_DSC)

/* There is never a drive 1 alone (ide_attach). */
static bool channel_empty(const struct ide_channel *channel)
{
    return channel->drives[0].kind == IDE_DRIVE_ABSENT;
}

/* Both drives hear what is written to DEV, so it is the same in both. */
struct ide_drive *ide_channel_selected(struct ide_channel *channel)
{
    struct ide_drive *drive = &channel->drives[channel->drives[0].registers.device & IDE_DEVICE_DEV ? 1 : 0];

    return drive->kind != IDE_DRIVE_ABSENT ? drive : NULL;
}

void ide_channel_update_interrupt(struct ide_channel *channel)
{
    const struct ide_drive *drive = ide_channel_selected(channel);
    bool level = drive && drive->interrupt && !(channel->control & CONTROL_NIEN);

    if (level == channel->level)
        return;
    channel->level = level;
    if (level)
        channel->master.status |= IDE_BUS_MASTER_INTERRUPT;
    interrupt_line_set(&channel->line, level);
}

static void end_command(struct ide_channel *channel, struct ide_drive *drive, uint8_t status, uint8_t error)
{
    channel->phase = IDE_PHASE_IDLE;
    drive->status = status;
    drive->error = error;
    drive->interrupt = true;
    ide_channel_update_interrupt(channel);
}

void ide_channel_complete(struct ide_channel *channel, struct ide_drive *drive)
{
    end_command(channel, drive, STATUS_READY, 0);
}

void ide_channel_fail(struct ide_channel *channel, struct ide_drive *drive, uint8_t status, uint8_t error)
{
    end_command(channel, drive, STATUS_READY | status, error);
}

void ide_channel_complete_quietly(struct ide_channel *channel, struct ide_drive *drive)
{
    channel->phase = IDE_PHASE_IDLE;
    drive->status = STATUS_READY;
}

static void set_passed(struct ide_drive *drive)
{
    ide_drive_set_signature(drive);
    drive->status = ide_drive_status_after_reset(drive);
    drive->error = DIAGNOSTIC_PASSED;
}

/* After a reset or a diagnosis of both drives, drive 0 is selected. */
static void select_drive_0(struct ide_channel *channel)
{
    for (unsigned i = 0; i < 2; i++)
        channel->drives[i].registers.device = 0;
}

static void set_resetting(struct ide_drive *drive)
{
    drive->resetting = true;
    drive->status = IDE_STATUS_BSY;
}

/* A reset ends when SRST is 0 and no request of the time before is left. */
static void finish_reset(struct ide_channel *channel)
{
    if (channel->abandoned || channel->control & CONTROL_SRST)
        return;
    for (unsigned i = 0; i < 2; i++) {
        if (channel->drives[i].resetting)
            set_passed(&channel->drives[i]);
        channel->drives[i].resetting = false;
    }
}

void ide_channel_reset(struct ide_channel *channel)
{
    channel->control = 0;
    memset(&channel->master, 0, sizeof channel->master);
    ide_transfer_abandon(channel);
    for (unsigned i = 0; i < 2; i++) {
        ide_drive_reset(&channel->drives[i]);
        set_resetting(&channel->drives[i]);
    }
    ide_channel_update_interrupt(channel);
    finish_reset(channel);
}

void ide_channel_request_abandoned(struct ide_channel *channel)
{
    channel->abandoned = false;
    finish_reset(channel);
}

static void soft_reset(struct ide_channel *channel)
{
    ide_transfer_abandon(channel);
    select_drive_0(channel);
    for (unsigned i = 0; i < 2; i++) {
        ide_drive_soft_reset(&channel->drives[i]);
        set_resetting(&channel->drives[i]);
    }
    ide_channel_update_interrupt(channel);
}

/* DEVICE RESET: of this drive alone, without an interrupt. */
static void device_reset(struct ide_channel *channel, struct ide_drive *drive)
{
    ide_transfer_abandon(channel);
    ide_drive_soft_reset(drive);
    set_resetting(drive);
    ide_channel_update_interrupt(channel);
    finish_reset(channel);
}

static uint8_t current_status(struct ide_channel *channel)
{
    const struct ide_drive *drive = ide_channel_selected(channel);

    if (drive)
        return drive->status;
    /* Drive 0 answers for an absent drive 1 (ATA-6, clause 9); nobody answers for an absent drive 0. */
    return channel_empty(channel) ? FLOATING_BYTE : 0;
}

static uint8_t read_register(struct ide_channel *channel, unsigned offset)
{
    struct ide_drive *drive = ide_channel_selected(channel);
    /*
     * Drive 0 answers for an absent drive 1. A DVD drive shows zeros then: its own signature would be taken for that
     * of a second one.
     */
    const struct ide_drive *answering = drive ? drive : &channel->drives[0];
    const struct ide_task_file *registers = &answering->registers;
    unsigned level = channel->control & CONTROL_HOB && answering->kind == IDE_DRIVE_DISK ? 1 : 0;

    if (offset == REGISTER_STATUS) {
        if (drive) {
            drive->interrupt = false;
            ide_channel_update_interrupt(channel);
        }
        return current_status(channel);
    }
    if (channel_empty(channel))
        return FLOATING_BYTE;
    if (!drive && answering->kind == IDE_DRIVE_DVD && offset != REGISTER_DEVICE)
        return 0;
    switch (offset) {
    case REGISTER_ERROR:
        return answering->error;
    case REGISTER_COUNT:
        return registers->count[level];
    case REGISTER_LBA_LOW:
        return registers->lba_low[level];
    case REGISTER_LBA_MIDDLE:
        return registers->lba_middle[level];
    case REGISTER_LBA_HIGH:
        return registers->lba_high[level];
    default:
        return registers->device | DEVICE_ONES;
    }
}

static void push(uint8_t values[2], uint8_t value)
{
    values[1] = values[0];
    values[0] = value;
}

static void write_command(struct ide_channel *channel, uint8_t code)
{
    struct ide_drive *drive = ide_channel_selected(channel);

    /* Addressed to both drives whatever is selected; drive 0 reports (ATA-6, clause 8). */
    if (code == IDE_COMMAND_EXECUTE_DEVICE_DIAGNOSTIC) {
        select_drive_0(channel);
        for (unsigned i = 0; i < 2; i++)
            set_passed(&channel->drives[i]);
        end_command(channel, &channel->drives[0], channel->drives[0].status, DIAGNOSTIC_PASSED);
        return;
    }
    if (!drive || drive->power == IDE_POWER_SLEEP)
        return;
    drive->interrupt = false;
    ide_channel_update_interrupt(channel);
    drive->error = 0;
    ide_command_execute(channel, drive, code);
}

static void write_task_file(struct ide_task_file *registers, unsigned offset, uint8_t value)
{
    switch (offset) {
    case REGISTER_ERROR:
        push(registers->features, value);
        break;
    case REGISTER_COUNT:
        push(registers->count, value);
        break;
    case REGISTER_LBA_LOW:
        push(registers->lba_low, value);
        break;
    case REGISTER_LBA_MIDDLE:
        push(registers->lba_middle, value);
        break;
    case REGISTER_LBA_HIGH:
        push(registers->lba_high, value);
        break;
    case REGISTER_DEVICE:
        registers->device = value;
        break;
    }
}

static bool is_device_reset(struct ide_channel *channel, unsigned offset, uint8_t value)
{
    const struct ide_drive *drive = ide_channel_selected(channel);

    return offset == REGISTER_STATUS && value == COMMAND_DEVICE_RESET && drive && drive->kind == IDE_DRIVE_DVD;
}

static void write_register(struct ide_channel *channel, unsigned offset, uint8_t value)
{
    if (channel_empty(channel))
        return;
    channel->control &= (uint8_t)~CONTROL_HOB;
    if (channel->abandoned || channel->control & CONTROL_SRST)
        return;
    if (is_device_reset(channel, offset, value)) {
        device_reset(channel, ide_channel_selected(channel));
        return;
    }
    /* A command in progress cannot be disturbed but by a reset. */
    if (channel->phase != IDE_PHASE_IDLE)
        return;
    if (offset == REGISTER_STATUS) {
        write_command(channel, value);
        return;
    }
    for (unsigned i = 0; i < 2; i++)
        write_task_file(&channel->drives[i].registers, offset, value);
    if (offset == REGISTER_DEVICE)
        ide_channel_update_interrupt(channel);
}

static void write_control(struct ide_channel *channel, uint8_t value)
{
    uint8_t before = channel->control;

    if (channel_empty(channel))
        return;
    channel->control = value & (CONTROL_HOB | CONTROL_SRST | CONTROL_NIEN);
    if (value & ~before & CONTROL_SRST)
        soft_reset(channel);
    else if (before & ~value & CONTROL_SRST)
        finish_reset(channel);
    ide_channel_update_interrupt(channel);
}

/* Data that nobody offers: the bus floats. */
static size_t read_data(struct ide_channel *channel, uint8_t *data, size_t length)
{
    size_t moved = ide_transfer_data_in(channel, data, length);

    memset(data + moved, 0xff, length - moved);
    return moved;
}

static uint64_t command_block_read(void *device, uint64_t offset, unsigned size)
{
    uint64_t value = 0;

    if (offset == REGISTER_DATA && size > 1) {
        read_data(device, (uint8_t *)&value, size);
        return value;
    }
    for (unsigned i = 0; i < size; i++) {
        uint8_t byte;

        if (offset + i == REGISTER_DATA)
            read_data(device, &byte, 1);
        else
            byte = read_register(device, (unsigned)offset + i);
        value |= (uint64_t)byte << (8 * i);
    }
    return value;
}

static void command_block_write(void *device, uint64_t offset, unsigned size, uint64_t value)
{
    if (offset == REGISTER_DATA) {
        ide_transfer_data_out(device, (const uint8_t *)&value, size);
        return;
    }
    for (unsigned i = 0; i < size; i++)
        write_register(device, (unsigned)offset + i, value >> (8 * i) & 0xff);
}

static size_t command_block_in(void *device, uint64_t offset, unsigned size, void *items, size_t count)
{
    size_t moved;

    if (offset != REGISTER_DATA) {
        uint64_t value = command_block_read(device, offset, size);

        memcpy(items, &value, size);
        return 1;
    }
    moved = ide_transfer_data_in(device, items, size * count);
    if (moved == 0) {
        memset(items, 0xff, size * count);
        return count;
    }
    if (moved % size)
        memset((uint8_t *)items + moved, 0xff, size - moved % size);
    return (moved + size - 1) / size;
}

static size_t command_block_out(void *device, uint64_t offset, unsigned size, const void *items, size_t count)
{
    size_t moved;

    if (offset != REGISTER_DATA) {
        uint64_t value = 0;

        memcpy(&value, items, size);
        command_block_write(device, offset, size, value);
        return 1;
    }
    moved = ide_transfer_data_out(device, items, size * count);
    return moved == 0 ? count : (moved + size - 1) / size;
}

const struct bus_operations ide_command_block_operations = {
    .read = command_block_read,
    .write = command_block_write,
    .block_in = command_block_in,
    .block_out = command_block_out,
};

static uint64_t control_block_read(void *device, uint64_t offset, unsigned size)
{
    (void)offset;
    (void)size;
    return current_status(device); /* does not acknowledge the interrupt */
}

static void control_block_write(void *device, uint64_t offset, unsigned size, uint64_t value)
{
    (void)offset;
    (void)size;
    write_control(device, value & 0xff);
}

const struct bus_operations ide_control_block_operations = {
    .read = control_block_read,
    .write = control_block_write,
};

uint8_t ide_channel_master_read(struct ide_channel *channel, unsigned offset)
{
    return ide_bus_master_read(&channel->master, offset);
}

void ide_channel_master_write(struct ide_channel *channel, unsigned offset, uint8_t value)
{
    if (ide_bus_master_write(&channel->master, offset, value))
        ide_transfer_bus_master(channel);
}

void ide_channel_master_enabled(struct ide_channel *channel)
{
    ide_transfer_bus_master(channel);
}

void ide_channel_release_medium(struct ide_channel *channel, struct ide_drive *drive)
{
    struct disk *disk = drive->disk;

    drive->disk = NULL;
    if (channel->phase != IDE_PHASE_IDLE && drive == ide_channel_selected(channel))
        channel->transfer.medium_lost = true;
    if (channel->in_flight && channel->requested == disk)
        channel->leaving = disk;
    else
        channel->medium_released_hook(channel->machine, disk);
}

void ide_channel_resume(struct ide_channel *channel)
{
    ide_transfer_retry(channel);
}
