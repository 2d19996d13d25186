/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/disk/vhdx/replay.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "partitions/root/disk/crc32c.h"
#include "partitions/root/disk/vhdx/error.h"
#include "partitions/root/disk/vhdx/log_entry.h"

#define ENTRY_HEADER   64u
#define ZEROS_PER_STEP 65536u
/* Where the headers' fields stand that lead here. */
enum { AT_LOG_GUID = 48 };

/* What is at a sector of the log: an entry that is valid by itself, or `sectors` is 0. */
struct found {
    uint32_t sectors;
    uint32_t tail; /* a sector of the log */
    uint64_t sequence;
    bool follows; /* another entry precedes it in its sequence */
};

struct scan {
    const struct vhdx_replay *replay;
    const struct vhdx_header *header;
    uint32_t sectors; /* of the log */
    struct found *found;
};

static uint8_t *log_sector(const struct vhdx_replay *replay, uint32_t sector)
{
    return replay->bytes + (uint64_t)sector * VHDX_LOG_SECTOR % replay->length;
}

/* The descriptor of an entry that begins at `sector`. */
static uint8_t *descriptor_at(const struct vhdx_replay *replay, uint32_t sector, uint32_t index)
{
    uint64_t offset = ENTRY_HEADER + (uint64_t)index * VHDX_DESCRIPTOR_SIZE;
    return log_sector(replay, sector + (uint32_t)(offset / VHDX_LOG_SECTOR)) + offset % VHDX_LOG_SECTOR;
}

static bool is_entry_header(const uint8_t *sector)
{
    struct vhdx_log_header header;
    uint32_t checksum;
    return vhdx_log_header_decode(sector, &header, &checksum);
}

static bool header_valid(const struct scan *scan, const struct vhdx_log_header *header)
{
    uint32_t descriptor_sectors = vhdx_log_descriptor_sectors(header->descriptors);
    return header->length % VHDX_LOG_SECTOR == 0 && header->length <= scan->replay->length &&
           descriptor_sectors <= header->length / VHDX_LOG_SECTOR && header->tail % VHDX_LOG_SECTOR == 0 &&
           header->tail < scan->replay->length && header->sequence > 0 && header->reserved == 0 &&
           vhdx_same_guid(header->guid, scan->header->log_guid) && header->flushed_end % VHDX_MIB == 0 &&
           header->last_end % VHDX_MIB == 0 && header->last_end <= VHDX_END_OF_FILES;
}

static bool target_valid(const struct scan *scan, const struct vhdx_descriptor *descriptor)
{
    uint64_t offset = descriptor->offset, length = descriptor->length;
    if (offset % VHDX_LOG_SECTOR || length % VHDX_LOG_SECTOR || offset < VHDX_REGIONS_OFFSET(0) ||
        offset > VHDX_END_OF_FILES || length > VHDX_END_OF_FILES - offset)
        return false;
    return offset >= scan->header->log_offset + scan->header->log_length || offset + length <= scan->header->log_offset;
}

/*
 * Whether all that belongs to the entry carries its sequence number. It does not run into another entry: that bounds
 * the work, since no two entries for which this holds share a sector.
 */
static bool body_valid(const struct scan *scan, uint32_t sector, const struct vhdx_log_header *header)
{
    uint32_t next = vhdx_log_descriptor_sectors(header->descriptors);
    uint32_t sectors = header->length / VHDX_LOG_SECTOR;
    for (uint32_t i = 0; i < header->descriptors; i++) {
        struct vhdx_descriptor descriptor;
        vhdx_descriptor_decode(descriptor_at(scan->replay, sector, i), &descriptor);
        if (descriptor.kind == VHDX_DESCRIPTOR_NONE || descriptor.sequence != header->sequence ||
            !target_valid(scan, &descriptor))
            return false;
        if (descriptor.kind == VHDX_DESCRIPTOR_ZERO)
            continue;
        if (next >= sectors || !vhdx_is_data_sector(log_sector(scan->replay, sector + next), header->sequence))
            return false;
        next++;
    }
    for (; next < sectors; next++)
        if (is_entry_header(log_sector(scan->replay, sector + next)))
            return false;
    return true;
}

static bool checksum_valid(const struct scan *scan, uint32_t sector, uint32_t sectors, uint32_t checksum)
{
    uint32_t sum = vhdx_log_first_checksum(log_sector(scan->replay, sector));
    for (uint32_t i = 1; i < sectors; i++)
        sum = crc32c(sum, log_sector(scan->replay, sector + i), VHDX_LOG_SECTOR);
    return sum == checksum;
}

static void find_entries(struct scan *scan)
{
    for (uint32_t sector = 0; sector < scan->sectors; sector++) {
        struct vhdx_log_header header;
        uint32_t checksum;
        if (!vhdx_log_header_decode(log_sector(scan->replay, sector), &header, &checksum) ||
            !header_valid(scan, &header) || !body_valid(scan, sector, &header) ||
            !checksum_valid(scan, sector, header.length / VHDX_LOG_SECTOR, checksum))
            continue;
        scan->found[sector].sectors = header.length / VHDX_LOG_SECTOR;
        scan->found[sector].tail = header.tail / VHDX_LOG_SECTOR;
        scan->found[sector].sequence = header.sequence;
    }
}

/* The entry that continues the sequence after `sector`, or `sector` if none does. */
static uint32_t next_entry(const struct scan *scan, uint32_t sector)
{
    const struct found *entry = &scan->found[sector];
    uint32_t next = (sector + entry->sectors) % scan->sectors;
    const struct found *candidate = &scan->found[next];
    return candidate->sectors && candidate->sequence == entry->sequence + 1 ? next : sector;
}

/* The sequence that begins at `first` and is as long as it can be: valid if its last entry's tail is one of its
 * entries. If its number is greater than that of the candidate so far, it takes its place. */
static void consider(const struct scan *scan, uint32_t first, uint64_t *best, struct vhdx_replay *replay)
{
    uint32_t head = first;
    for (uint32_t next; (next = next_entry(scan, head)) != head;)
        head = next;
    const struct found *last = &scan->found[head];
    uint32_t tail = first;
    while (tail != last->tail && tail != head)
        tail = next_entry(scan, tail);
    if (tail != last->tail || last->sequence <= *best)
        return;

    struct vhdx_log_header header;
    uint32_t checksum;
    vhdx_log_header_decode(log_sector(replay, head), &header, &checksum);
    *best = last->sequence;
    replay->first = tail * VHDX_LOG_SECTOR;
    replay->entries = (uint32_t)(last->sequence - scan->found[tail].sequence) + 1;
    replay->flushed_end = header.flushed_end;
    replay->last_end = header.last_end;
}

static void find_active_sequence(struct scan *scan, struct vhdx_replay *replay)
{
    find_entries(scan);
    for (uint32_t sector = 0; sector < scan->sectors; sector++) {
        if (!scan->found[sector].sectors)
            continue;
        uint32_t next = next_entry(scan, sector);
        scan->found[next].follows |= next != sector;
    }
    uint64_t best = 0;
    for (uint32_t sector = 0; sector < scan->sectors; sector++)
        if (scan->found[sector].sectors && !scan->found[sector].follows)
            consider(scan, sector, &best, replay);
}

static bool check_sequence(const struct vhdx_replay *replay, const struct disk_file *file,
                           const struct vhdx_headers *headers, struct disk_error *error)
{
    if (!replay->entries)
        return vhdx_damaged(error, file, "LogGuid", VHDX_HEADER_OFFSET(headers->current) + AT_LOG_GUID,
                            "set, and the log has no valid sequence of entries with it");
    if (headers->file_size >= replay->flushed_end)
        return true;
    disk_error_set(error, EUCLEAN, file->name,
                   "a damaged VHDX: it was truncated to %llu bytes; its log says (FlushedFileOffset) that it had %llu",
                   (unsigned long long)headers->file_size, (unsigned long long)replay->flushed_end);
    return false;
}

bool vhdx_replay_load(struct vhdx_replay *replay, struct disk_file *file, const struct vhdx_headers *headers,
                      struct disk_error *error)
{
    const struct vhdx_header *header = &headers->header;
    *replay = (struct vhdx_replay){.length = header->log_length};
    if (header->log_length > VHDX_LARGEST_LOG) {
        disk_error_set(error, EOPNOTSUPP, file->name, "a log of %u bytes is to be replayed; at most %u bytes can be",
                       header->log_length, VHDX_LARGEST_LOG);
        return false;
    }
    struct scan scan = {.replay = replay, .header = header, .sectors = header->log_length / VHDX_LOG_SECTOR};
    replay->bytes = malloc(replay->length);
    scan.found = calloc(scan.sectors, sizeof(*scan.found));
    bool loaded = replay->bytes && scan.found;
    if (!loaded)
        disk_error_set(error, ENOMEM, file->name, "no memory for its log");
    else if ((loaded = vhdx_read(file, replay->bytes, replay->length, header->log_offset, error)))
        find_active_sequence(&scan, replay);
    free(scan.found);
    return loaded && check_sequence(replay, file, headers, error);
}

void vhdx_replay_free(struct vhdx_replay *replay)
{
    free(replay->bytes);
    replay->bytes = NULL;
}

static int visit_entry(struct vhdx_replay *replay, uint32_t sector, const struct vhdx_log_header *header,
                       vhdx_replay_visit *visit, void *context)
{
    uint32_t data = vhdx_log_descriptor_sectors(header->descriptors);
    int error = 0;
    for (uint32_t i = 0; i < header->descriptors && !error; i++) {
        const uint8_t *bytes = descriptor_at(replay, sector, i);
        struct vhdx_descriptor descriptor;
        vhdx_descriptor_decode(bytes, &descriptor);
        uint8_t *content = NULL;
        if (descriptor.kind == VHDX_DESCRIPTOR_DATA) {
            content = log_sector(replay, sector + data++);
            vhdx_data_unpack(content, bytes);
        }
        error = visit(context, descriptor.offset, descriptor.length, content);
    }
    return error;
}

int vhdx_replay_each(struct vhdx_replay *replay, vhdx_replay_visit *visit, void *context)
{
    uint32_t sector = replay->first / VHDX_LOG_SECTOR;
    int error = 0;
    for (uint32_t i = 0; i < replay->entries && !error; i++) {
        struct vhdx_log_header header;
        uint32_t checksum;
        vhdx_log_header_decode(log_sector(replay, sector), &header, &checksum);
        error = visit_entry(replay, sector, &header, visit, context);
        sector += header.length / VHDX_LOG_SECTOR;
    }
    return error;
}

/* Only where the file has anything, so that a long range costs no more than what is there. */
static int zero_range(struct disk_file *file, uint64_t offset, uint64_t end)
{
    static const uint8_t zeros[ZEROS_PER_STEP];
    uint64_t size;
    int error = disk_file_size(file, &size);
    if (!error && size < end)
        error = disk_file_truncate(file, end);
    if (size < end)
        end = size;
    while (!error && (offset = file->operations->next_data(file, offset)) < end) {
        uint64_t length = sizeof(zeros) - offset % sizeof(zeros);
        if (length > end - offset)
            length = end - offset;
        error = disk_file_write_buffer(file, zeros, (size_t)length, offset);
        offset += length;
    }
    return error;
}

static int apply(void *context, uint64_t offset, uint64_t length, const uint8_t *bytes)
{
    if (bytes)
        return disk_file_write_buffer(context, bytes, (size_t)length, offset);
    return zero_range(context, offset, offset + length);
}

int vhdx_replay_apply(struct vhdx_replay *replay, struct disk_file *file)
{
    uint64_t size = 0;
    int error = vhdx_replay_each(replay, apply, file);
    if (!error)
        error = disk_file_size(file, &size);
    if (!error && size < replay->last_end)
        error = disk_file_truncate(file, replay->last_end);
    return error;
}
