/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/disk/vhdx/commit.h"

#include <errno.h>
#include <string.h>

#define PAGE_SECTORS (VHDX_LOG_SECTOR / METADATA_SECTOR_SIZE)

static struct vhdx_image *to_vhdx(struct disk_image *image)
{
    return (struct vhdx_image *)image;
}

int vhdx_synchronize(struct vhdx_image *image)
{
    int error = disk_file_synchronize(image->disk.file);
    if (!error && image->log_begun)
        vhdx_log_synchronized(&image->log);
    return error;
}

/* ---- The log ---- */

static int write_empty_entry(struct vhdx_image *image, uint64_t file_end)
{
    struct vhdx_log_entry entry;
    if (!vhdx_log_entry_begin(&entry, 0))
        return ENOMEM;
    int error = vhdx_log_write(&image->log, &entry, file_end, image->used_end);
    return error ? error : vhdx_synchronize(image);
}

/* The log has an entry before the header points to it: without one, a log that is in use counts as damaged. */
static int begin_log(struct vhdx_image *image)
{
    const struct vhdx_header *header = &image->headers.header;
    uint8_t guid[VHDX_GUID_SIZE];
    int error = vhdx_make_guid(guid);
    if (error)
        return error;
    vhdx_log_begin(&image->log, image->disk.file, header->log_offset, header->log_length, guid);
    error = write_empty_entry(image, image->file_end);
    image->log_begun = !error;
    return error;
}

int vhdx_begin_writing_as(struct vhdx_image *image, const uint8_t *identifier)
{
    if (image->writing)
        return 0;
    int error = image->log_begun ? 0 : begin_log(image);
    if (error)
        return error;
    struct vhdx_header header = image->headers.header;
    memcpy(header.log_guid, image->log.guid, VHDX_GUID_SIZE);
    memcpy(header.data_write_guid, identifier, VHDX_GUID_SIZE);
    error = vhdx_make_guid(header.file_write_guid);
    if (!error)
        error = vhdx_headers_update(image->disk.file, &image->headers, &header);
    if (error)
        return error;
    memcpy(image->disk.identifier, header.data_write_guid, VHDX_GUID_SIZE);
    image->writing = true;
    return 0;
}

int vhdx_begin_writing(struct vhdx_image *image)
{
    uint8_t identifier[VHDX_GUID_SIZE];
    int error = image->writing ? 0 : vhdx_make_guid(identifier);
    return error ? error : vhdx_begin_writing_as(image, identifier);
}

int vhdx_renew_identifier(struct vhdx_image *image)
{
    struct vhdx_header header = image->headers.header;
    int error = vhdx_make_guid(header.data_write_guid);
    if (!error)
        error = vhdx_headers_update(image->disk.file, &image->headers, &header);
    if (!error)
        memcpy(image->disk.identifier, header.data_write_guid, VHDX_GUID_SIZE);
    return error;
}

static bool in_bat(const struct vhdx_image *image, uint64_t offset)
{
    return offset >= image->bat_offset && offset - image->bat_offset < image->bat_length;
}

static int place_sector(void *context, uint64_t offset, const uint8_t *bytes)
{
    struct vhdx_image *image = context;
    return disk_file_write_buffer(image->disk.file, bytes, METADATA_SECTOR_SIZE, offset);
}

static int place_bat_sector(void *context, uint64_t offset, const uint8_t *bytes)
{
    return in_bat(context, offset) ? place_sector(context, offset, bytes) : 0;
}

/*
 * Makes room in the log. Of what is held, the BAT's sectors are in the log, and the bitmaps' are not; the former are
 * put in their places, so that an entry can leave all before it behind.
 */
int vhdx_make_log_room(struct vhdx_image *image, uint32_t updates)
{
    if (vhdx_log_has_room(&image->log, updates))
        return 0;
    int error = vhdx_synchronize(image);
    if (!error)
        error = metadata_cache_held(image->disk.cache, image->disk.file, place_bat_sector, image);
    if (error)
        return error;
    vhdx_log_placed(&image->log);
    error = vhdx_synchronize(image);
    return error ? error : write_empty_entry(image, image->file_end);
}

/* The 4 KiB around a held sector as they are now. */
static int add_page(struct vhdx_image *image, struct vhdx_log_entry *entry, uint64_t offset)
{
    uint8_t *page = vhdx_log_entry_add(entry, offset);
    for (unsigned i = 0; i < PAGE_SECTORS; i++) {
        const uint8_t *bytes;
        int error = metadata_cache_read(image->disk.cache, image->disk.file,
                                        offset + (uint64_t)i * METADATA_SECTOR_SIZE, &bytes);
        if (error)
            return error;
        memcpy(page + (size_t)i * METADATA_SECTOR_SIZE, bytes, METADATA_SECTOR_SIZE);
    }
    return 0;
}

static uint64_t page_of(uint64_t offset)
{
    return offset / VHDX_LOG_SECTOR * VHDX_LOG_SECTOR;
}

struct pages {
    const struct vhdx_image *image;
    uint32_t count;
    uint64_t offset[VHDX_LOG_UPDATES];
};

static int collect_page(void *context, uint64_t offset, const uint8_t *bytes)
{
    struct pages *pages = context;
    (void)bytes;
    if (in_bat(pages->image, offset))
        return 0;
    if (pages->count == 0 || pages->offset[pages->count - 1] != page_of(offset))
        pages->offset[pages->count++] = page_of(offset);
    return 0;
}

/* Writes the bits that are held to the log; their data are durable. */
static int log_bits(struct vhdx_image *image)
{
    struct pages pages = {.image = image};
    metadata_cache_held(image->disk.cache, image->disk.file, collect_page, &pages);
    int error = vhdx_make_log_room(image, pages.count);
    if (error)
        return error;
    struct vhdx_log_entry entry;
    if (!vhdx_log_entry_begin(&entry, pages.count))
        return ENOMEM;
    for (uint32_t i = 0; i < pages.count && !error; i++)
        error = add_page(image, &entry, pages.offset[i]);
    if (!error)
        error = vhdx_log_write(&image->log, &entry, image->file_end, image->used_end);
    vhdx_log_entry_free(&entry);
    return error;
}

int vhdx_flush(struct disk_image *disk)
{
    struct vhdx_image *image = to_vhdx(disk);
    int error = vhdx_synchronize(image);
    if (!error && image->bits_held) {
        error = log_bits(image);
        if (!error)
            error = vhdx_synchronize(image);
    }
    if (error || !image->writing)
        return error;
    error = metadata_cache_held(disk->cache, disk->file, place_sector, image);
    if (error)
        return error;
    metadata_cache_release(disk->cache, disk->file);
    vhdx_log_placed(&image->log);
    image->bits_held = 0;
    return 0;
}

/* ---- Entries of the BAT ---- */

/* Holds the sectors of the entries; if there are too many, after letting go of all. */
static int hold_entries(struct vhdx_image *image, const struct vhdx_change *changes, unsigned count)
{
    for (unsigned attempt = 0;; attempt++) {
        int error = 0;
        uint8_t *bytes;
        for (unsigned i = 0; i < count && !error; i++)
            error = metadata_cache_hold(image->disk.cache, image->disk.file, vhdx_entry_sector(image, changes[i].index),
                                        &bytes);
        if (error != ENOSPC || attempt)
            return error == ENOSPC ? ENOMEM : error; /* others hold them all */
        error = vhdx_flush(&image->disk);
        if (error)
            return error;
    }
}

/* Adds the pages of the entries to the log's entry, with the changes in them. */
static int add_changes(struct vhdx_image *image, struct vhdx_log_entry *entry, const struct vhdx_change *changes,
                       unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        uint64_t at = image->bat_offset + (uint64_t)changes[i].index * VHDX_ENTRY_SIZE;
        unsigned page = 0;
        while (page < entry->updates && entry->offset[page] != page_of(at))
            page++;
        int error = page == entry->updates ? add_page(image, entry, page_of(at)) : 0;
        if (error)
            return error;
        uint8_t *bytes = entry->bytes + (size_t)(1 + page) * VHDX_LOG_SECTOR;
        vhdx_entry_encode(changes[i].entry, bytes + at % VHDX_LOG_SECTOR);
    }
    return 0;
}

int vhdx_change_entries(struct vhdx_image *image, const struct vhdx_change *changes, unsigned count)
{
    int error = hold_entries(image, changes, count);
    if (!error)
        error = vhdx_make_log_room(image, VHDX_MOST_CHANGES);
    if (error)
        return error;
    struct vhdx_log_entry entry;
    if (!vhdx_log_entry_begin(&entry, VHDX_MOST_CHANGES))
        return ENOMEM;
    error = add_changes(image, &entry, changes, count);
    if (!error)
        error = vhdx_log_write(&image->log, &entry, image->file_end, image->used_end);
    vhdx_log_entry_free(&entry);
    for (unsigned i = 0; i < count && !error; i++) {
        uint8_t *bytes;
        error = metadata_cache_hold(image->disk.cache, image->disk.file, vhdx_entry_sector(image, changes[i].index),
                                    &bytes);
        if (!error)
            vhdx_entry_encode(changes[i].entry, bytes + vhdx_entry_within(changes[i].index));
    }
    if (!error)
        image->disk.changes++;
    return error;
}

/* ---- Bits ---- */

int vhdx_change_bits(struct vhdx_image *image, struct vhdx_bits bits, bool value)
{
    uint8_t *bytes;
    if (image->bits_held == VHDX_LOG_UPDATES) {
        int error = vhdx_flush(&image->disk);
        if (error)
            return error;
    }
    unsigned before = metadata_cache_held_count(image->disk.cache);
    int error = metadata_cache_hold(image->disk.cache, image->disk.file, bits.at, &bytes);
    if (error == ENOSPC) {
        error = vhdx_flush(&image->disk);
        before = metadata_cache_held_count(image->disk.cache);
        if (!error)
            error = metadata_cache_hold(image->disk.cache, image->disk.file, bits.at, &bytes);
    }
    if (error)
        return error == ENOSPC ? ENOMEM : error;
    image->bits_held += metadata_cache_held_count(image->disk.cache) - before;
    vhdx_set_bits(bytes, bits, value);
    image->disk.changes++;
    return 0;
}

/* ---- The end ---- */

/*
 * A log in use has to know of a shorter file before it is one (2.3.1.1, "FlushedFileOffset"). QEMU looks at entries
 * that are left behind, too, and refuses a file that is shorter than any of them says; so the log begins anew. All that
 * it has is in its place.
 */
static int give_room_back(struct vhdx_image *image)
{
    struct vhdx_header header = image->headers.header;
    int error = vhdx_make_log_room(image, 0);
    if (!error)
        error = vhdx_make_guid(header.log_guid);
    if (error)
        return error;
    vhdx_log_renew(&image->log, header.log_guid);
    error = write_empty_entry(image, image->used_end);
    if (!error)
        error = vhdx_headers_write(image->disk.file, &image->headers, &header);
    if (!error)
        error = disk_file_truncate(image->disk.file, image->used_end);
    if (!error)
        image->file_end = image->data_end = image->used_end;
    return error;
}

int vhdx_end_writing(struct vhdx_image *image)
{
    if (!image->log_begun)
        return 0;
    int error = image->unplaced ? EIO : vhdx_flush(&image->disk);
    if (!error)
        error = vhdx_synchronize(image);
    if (!error && image->room_made)
        error = give_room_back(image);
    if (error)
        return error;
    struct vhdx_header header = image->headers.header;
    memcpy(header.log_guid, vhdx_zero_guid, VHDX_GUID_SIZE);
    return vhdx_headers_update(image->disk.file, &image->headers, &header);
}
