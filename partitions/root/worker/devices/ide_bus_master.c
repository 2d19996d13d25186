/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/worker/devices/ide_bus_master.h"

#include <stddef.h>
#include "partitions/root/disk/disk.h"

#define REGISTER_COMMAND 0
#define REGISTER_STATUS  2
#define REGISTER_TABLE   4

#define COMMAND_WRITABLE (IDE_BUS_MASTER_START | IDE_BUS_MASTER_TO_MEMORY)
#define STATUS_WRITABLE  0x60 /* drive 0 and 1 DMA capable: for software's own use */
#define STATUS_CLEARABLE (IDE_BUS_MASTER_ERROR | IDE_BUS_MASTER_INTERRUPT)

#define PRD_SIZE    8u
#define PRD_LAST    0x80000000u
#define PRD_MAXIMUM (0x10000u / PRD_SIZE) /* a table lies within 64 KiB */

/* Loads the next descriptor. */
static enum ide_gather_result load_region(struct ide_prd_walk *walk, const struct guest_memory *memory)
{
    uint32_t descriptor[2];

    if (walk->last || walk->entries == PRD_MAXIMUM)
        return IDE_GATHER_EXHAUSTED;
    if (!guest_memory_read(memory, walk->next, descriptor, sizeof descriptor))
        return IDE_GATHER_FAULT;
    walk->next += PRD_SIZE;
    walk->entries++;
    walk->address = descriptor[0] & ~1u;
    walk->left = descriptor[1] & 0xfffe;
    if (walk->left == 0)
        walk->left = 0x10000;
    walk->last = descriptor[1] & PRD_LAST;
    return IDE_GATHER_OK;
}

/* What of the current region to take next: whole sectors, or the part of one that it holds. */
static uint32_t next_piece(const struct ide_prd_walk *walk, uint64_t bytes, uint64_t wanted)
{
    uint32_t partial = bytes % DISK_SECTOR_SIZE;
    uint64_t piece = walk->left;

    if (partial) {
        if (piece > DISK_SECTOR_SIZE - partial)
            piece = DISK_SECTOR_SIZE - partial;
    } else if (piece > DISK_SECTOR_SIZE) {
        piece -= piece % DISK_SECTOR_SIZE;
    }
    return (uint32_t)(piece < wanted - bytes ? piece : wanted - bytes);
}

/* False if there is no vector left for it. */
static bool append(struct iovec *vector, unsigned capacity, unsigned *count, uint8_t *host, uint32_t length)
{
    if (*count > 0 && (uint8_t *)vector[*count - 1].iov_base + vector[*count - 1].iov_len == host) {
        vector[*count - 1].iov_len += length;
        return true;
    }
    if (*count == capacity)
        return false;
    vector[(*count)++] = (struct iovec){host, length};
    return true;
}

enum ide_gather_result ide_bus_master_gather(struct ide_bus_master *master, const struct guest_memory *memory,
                                             uint32_t sectors, struct iovec *vector, unsigned capacity, unsigned *count,
                                             uint32_t *gathered)
{
    struct ide_prd_walk walk = master->walk;
    uint64_t wanted = (uint64_t)sectors * DISK_SECTOR_SIZE;
    uint64_t bytes = 0;
    unsigned used = 0;
    size_t whole_length = 0; /* of the last vector, where the last whole sector ends */
    enum ide_gather_result result = IDE_GATHER_OK;

    *count = 0;
    *gathered = 0;
    while (bytes < wanted) {
        uint32_t piece;
        uint8_t *host;

        if (walk.left == 0) {
            result = load_region(&walk, memory);
            if (result != IDE_GATHER_OK)
                break;
        }
        piece = next_piece(&walk, bytes, wanted);
        host = guest_memory_range(memory, walk.address, piece);
        if (!host) {
            result = IDE_GATHER_FAULT;
            break;
        }
        if (!append(vector, capacity, &used, host, piece))
            break;
        walk.address += piece;
        walk.left -= piece;
        bytes += piece;
        if (bytes % DISK_SECTOR_SIZE == 0) {
            master->walk = walk;
            *count = used;
            whole_length = vector[used - 1].iov_len;
            *gathered = (uint32_t)(bytes / DISK_SECTOR_SIZE);
        }
    }
    if (*gathered == 0)
        return result;
    vector[*count - 1].iov_len = whole_length;
    return IDE_GATHER_OK;
}

enum ide_gather_result ide_bus_master_copy(struct ide_bus_master *master, const struct guest_memory *memory,
                                           uint8_t *buffer, uint32_t length, bool to_memory, uint32_t *copied)
{
    struct ide_prd_walk *walk = &master->walk;

    for (*copied = 0; *copied < length;) {
        uint32_t piece = length - *copied;
        enum ide_gather_result result = walk->left == 0 ? load_region(walk, memory) : IDE_GATHER_OK;

        if (result != IDE_GATHER_OK)
            return result;
        if (piece > walk->left)
            piece = walk->left;
        if (to_memory ? !guest_memory_write(memory, walk->address, buffer + *copied, piece)
                      : !guest_memory_read(memory, walk->address, buffer + *copied, piece))
            return IDE_GATHER_FAULT;
        walk->address += piece;
        walk->left -= piece;
        *copied += piece;
    }
    return IDE_GATHER_OK;
}

void ide_bus_master_finish(struct ide_bus_master *master)
{
    if (master->walk.last && master->walk.left == 0)
        master->status &= (uint8_t)~IDE_BUS_MASTER_ACTIVE;
}

uint8_t ide_bus_master_read(const struct ide_bus_master *master, unsigned offset)
{
    if (offset == REGISTER_COMMAND)
        return master->command;
    if (offset == REGISTER_STATUS)
        return master->status;
    if (offset >= REGISTER_TABLE)
        return master->table >> (8 * (offset - REGISTER_TABLE)) & 0xff;
    return 0;
}

static bool write_command(struct ide_bus_master *master, uint8_t value)
{
    bool was_started = master->command & IDE_BUS_MASTER_START;
    uint8_t writable = master->status & IDE_BUS_MASTER_ACTIVE ? IDE_BUS_MASTER_START : COMMAND_WRITABLE;

    /* The direction is read-only while a transfer is in progress (PIIX4, 5.2.1). */
    master->command = (uint8_t)((master->command & ~writable) | (value & writable));
    if (!(value & IDE_BUS_MASTER_START)) {
        master->status &= (uint8_t)~IDE_BUS_MASTER_ACTIVE;
        return false;
    }
    if (was_started)
        return false;
    master->status |= IDE_BUS_MASTER_ACTIVE;
    master->walk = (struct ide_prd_walk){.next = master->table};
    return true;
}

bool ide_bus_master_write(struct ide_bus_master *master, unsigned offset, uint8_t value)
{
    if (offset == REGISTER_COMMAND)
        return write_command(master, value);
    if (offset == REGISTER_STATUS) {
        master->status =
            (uint8_t)((master->status & ~STATUS_WRITABLE & ~(value & STATUS_CLEARABLE)) | (value & STATUS_WRITABLE));
    } else if (offset >= REGISTER_TABLE) {
        unsigned shift = 8 * (offset - REGISTER_TABLE);

        master->table = (master->table & ~(0xffu << shift)) | (uint32_t)value << shift;
        master->table &= ~3u;
    }
    return false;
}
