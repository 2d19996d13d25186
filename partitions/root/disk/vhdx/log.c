/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/disk/vhdx/log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "partitions/root/disk/crc32c.h"

#define ENTRY_HEADER 64u

void vhdx_log_begin(struct vhdx_log *log, struct disk_file *file, uint64_t offset, uint32_t length, const uint8_t *guid)
{
    *log = (struct vhdx_log){.file = file, .offset = offset, .length = length, .sequence = 1};
    memcpy(log->guid, guid, VHDX_GUID_SIZE);
}

void vhdx_log_renew(struct vhdx_log *log, const uint8_t *guid)
{
    memcpy(log->guid, guid, VHDX_GUID_SIZE);
    log->tail = log->placed = log->head;
}

bool vhdx_log_entry_begin(struct vhdx_log_entry *entry, uint32_t updates)
{
    entry->updates = 0;
    entry->bytes = malloc((size_t)(1 + updates) * VHDX_LOG_SECTOR);
    return entry->bytes;
}

void vhdx_log_entry_free(struct vhdx_log_entry *entry)
{
    free(entry->bytes);
    entry->bytes = NULL;
}

static uint8_t *sector_of(const struct vhdx_log_entry *entry, uint32_t update)
{
    return entry->bytes + (size_t)(1 + update) * VHDX_LOG_SECTOR;
}

uint8_t *vhdx_log_entry_add(struct vhdx_log_entry *entry, uint64_t offset)
{
    entry->offset[entry->updates] = offset;
    return sector_of(entry, entry->updates++);
}

bool vhdx_log_has_room(const struct vhdx_log *log, uint32_t updates)
{
    uint64_t needed = (uint64_t)(1 + updates + 1) * VHDX_LOG_SECTOR;
    return log->head - log->durable_tail + needed <= log->length;
}

/* The first sector: the header and the descriptors; the updates become data sectors. */
static void seal(const struct vhdx_log *log, struct vhdx_log_entry *entry, uint64_t file_end, uint64_t used_end)
{
    struct vhdx_log_header header = {
        .length = (1 + entry->updates) * VHDX_LOG_SECTOR,
        .tail = (uint32_t)(log->tail % log->length),
        .sequence = log->sequence,
        .descriptors = entry->updates,
        .flushed_end = file_end / VHDX_MIB * VHDX_MIB,
        .last_end = (used_end + VHDX_MIB - 1) / VHDX_MIB * VHDX_MIB,
    };
    memcpy(header.guid, log->guid, VHDX_GUID_SIZE);
    memset(entry->bytes, 0, VHDX_LOG_SECTOR);
    vhdx_log_header_encode(&header, entry->bytes);
    for (uint32_t i = 0; i < entry->updates; i++)
        vhdx_data_pack(sector_of(entry, i), entry->offset[i], log->sequence,
                       entry->bytes + ENTRY_HEADER + i * VHDX_DESCRIPTOR_SIZE);
    uint32_t checksum = vhdx_log_first_checksum(entry->bytes);
    checksum = crc32c(checksum, sector_of(entry, 0), (size_t)entry->updates * VHDX_LOG_SECTOR);
    vhdx_log_header_seal(entry->bytes, checksum);
}

int vhdx_log_write(struct vhdx_log *log, struct vhdx_log_entry *entry, uint64_t file_end, uint64_t used_end)
{
    seal(log, entry, file_end, used_end);
    size_t length = (size_t)(1 + entry->updates) * VHDX_LOG_SECTOR;
    uint64_t at = log->head % log->length;
    size_t before_end = log->length - at < length ? (size_t)(log->length - at) : length;
    int error = disk_file_write_buffer(log->file, entry->bytes, before_end, log->offset + at);
    if (!error && before_end < length)
        error = disk_file_write_buffer(log->file, entry->bytes + before_end, length - before_end, log->offset);
    vhdx_log_entry_free(entry);
    if (error)
        return error;
    log->newest_tail = log->tail;
    log->head += length;
    log->sequence++;
    return 0;
}

void vhdx_log_placed(struct vhdx_log *log)
{
    log->placed = log->head;
}

void vhdx_log_synchronized(struct vhdx_log *log)
{
    log->durable_tail = log->newest_tail;
    log->tail = log->placed;
}
