/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/disk/vhd/image.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "partitions/root/disk/crc32c.h"
#include "partitions/root/disk/vhd/bitmap.h"
#include "partitions/root/disk/vhd/log.h"
#include "partitions/root/disk/vhd/table.h"

/*
 * Room made at once: as much as is in use, up to this. It costs a synchronization and no space, and is given
 * back at the end.
 */
#define MOST_ROOM (64ull << 20)
/* Blocks at least this large have their data on pages of the host, for speed. */
#define SMALLEST_ALIGNED_BLOCK (64u << 10)
#define HOST_PAGE              4096u
/* Blocks begin before this byte of the file: entries of the BAT have 32 bits, and one value is taken. */
#define END_OF_PLACES ((uint64_t)VHD_UNALLOCATED * DISK_SECTOR_SIZE)
/* Never equal to where the tail is cut. */
#define UNKNOWN_END 0
/* Blocks of which is remembered whether their bitmap is all ones: half a MiB. Of larger disks it is read each time. */
#define MOST_REMEMBERED (4u << 20)

struct vhd_image {
    struct disk_image image; /* first */
    struct vhd_table table;
    unsigned sector_shift; /* sectors in a block, as a power of two */
    uint8_t *full;         /* a bit for each block whose bitmap is known to be all ones; NULL: not remembered */

    /* Only for writing: */
    uint8_t footer[VHD_FOOTER_SIZE];
    uint64_t file_end; /* UNKNOWN_END while a change of it is under way or has failed */
    bool room_made;    /* in this session */
    bool punches;      /* the host can make holes in the file */
    bool logs;         /* room is made with a log */
    struct vhd_log log;
    uint64_t room;       /* where the next block goes */
    uint32_t room_count; /* blocks that there is room for */
};

/* A part of a request that lies in one block. */
struct block_range {
    uint32_t block;
    uint32_t place;        /* sector of the file; VHD_BLOCK_UNALLOCATED or VHD_BLOCK_DAMAGED */
    uint32_t first, count; /* sectors of the block */
};

static struct vhd_image *to_vhd(struct disk_image *image)
{
    return (struct vhd_image *)image;
}

static bool is_full(const struct vhd_image *vhd, uint32_t block)
{
    return vhd->full && vhd->full[block / 8] & 1u << block % 8;
}

static void set_full(struct vhd_image *vhd, uint32_t block)
{
    if (vhd->full)
        vhd->full[block / 8] |= (uint8_t)(1u << block % 8);
}

static int find_range(struct vhd_image *vhd, uint64_t sector, uint32_t sectors, struct block_range *range)
{
    uint32_t block_sectors = 1u << vhd->sector_shift;
    range->block = (uint32_t)(sector >> vhd->sector_shift);
    range->first = (uint32_t)sector & (block_sectors - 1);
    range->count = block_sectors - range->first < sectors ? block_sectors - range->first : sectors;
    int error = vhd_table_find(&vhd->table, vhd->image.cache, vhd->image.file, range->block, &range->place);
    return error ? error : range->place == VHD_BLOCK_DAMAGED ? EIO : 0;
}

/* Where the range's data are in the file. */
static uint64_t data_offset(const struct vhd_image *vhd, const struct block_range *range)
{
    return ((uint64_t)range->place + range->first) * DISK_SECTOR_SIZE + vhd->table.bitmap_size;
}

/* Where the sector of the bitmap is that has the bit of a block's sector. */
static uint64_t bitmap_offset(const struct block_range *range, uint32_t sector)
{
    return ((uint64_t)range->place + sector / VHD_BITMAP_BITS) * DISK_SECTOR_SIZE;
}

/* Looks whether the block's bitmap is all ones, and remembers it. Bits of sectors behind the disk's end do not count.
 */
static int look_for_zeros(struct vhd_image *vhd, const struct block_range *range, bool *full)
{
    uint32_t sectors = vhd_table_block_bytes(&vhd->table, range->block) / DISK_SECTOR_SIZE;
    bool held = false;
    *full = true;
    for (uint32_t sector = 0; sector < sectors && *full; sector += VHD_BITMAP_BITS) {
        const uint8_t *bits;
        uint32_t count = sectors - sector < VHD_BITMAP_BITS ? sectors - sector : VHD_BITMAP_BITS;
        uint64_t offset = bitmap_offset(range, sector);
        int error = metadata_cache_read(vhd->image.cache, vhd->image.file, offset, &bits);
        if (error)
            return error;
        *full = vhd_bitmap_all(bits, 0, count);
        held |= metadata_cache_is_held(vhd->image.cache, vhd->image.file, offset);
    }
    if (*full && !held)
        set_full(vhd, range->block);
    return 0;
}

/* ---- Reading ---- */

static int map_block(struct vhd_image *vhd, const struct block_range *range, struct disk_extent *extent)
{
    bool full = is_full(vhd, range->block);
    int error = full ? 0 : look_for_zeros(vhd, range, &full);
    *extent = (struct disk_extent){DISK_EXTENT_DATA, range->count, data_offset(vhd, range)};
    if (error || full)
        return error;

    const uint8_t *bits;
    error = metadata_cache_read(vhd->image.cache, vhd->image.file, bitmap_offset(range, range->first), &bits);
    if (error)
        return error;
    uint32_t first = range->first % VHD_BITMAP_BITS;
    uint32_t end = range->count < VHD_BITMAP_BITS - first ? first + range->count : VHD_BITMAP_BITS;
    extent->sectors = vhd_bitmap_run(bits, first, end);
    if (!vhd_bitmap_bit(bits, first))
        extent->kind = DISK_EXTENT_ABSENT;
    return 0;
}

static int vhd_map(struct disk_image *image, uint64_t sector, uint32_t sectors, struct disk_extent *extent)
{
    struct vhd_image *vhd = to_vhd(image);
    struct block_range range;
    int error = find_range(vhd, sector, sectors, &range);
    if (error || range.place != VHD_BLOCK_UNALLOCATED)
        return error ? error : map_block(vhd, &range, extent);
    *extent = (struct disk_extent){.kind = DISK_EXTENT_ABSENT, .sectors = range.count};
    return 0;
}

static uint64_t vhd_next_present(struct disk_image *image, uint64_t sector)
{
    struct vhd_image *vhd = to_vhd(image);
    uint32_t block = (uint32_t)(sector >> vhd->sector_shift), next;
    if (vhd_table_next(&vhd->table, image->cache, image->file, block, &next))
        return sector; /* whoever reads it is told of the error */
    if (next == vhd->table.blocks)
        return image->sectors;
    uint64_t start = (uint64_t)next << vhd->sector_shift;
    return start > sector ? start : sector;
}

/* ---- Bits ---- */

static int write_bits(void *context, uint64_t offset, const uint8_t *bytes)
{
    return disk_file_write_buffer(context, bytes, METADATA_SECTOR_SIZE, offset);
}

/* Data are durable before the bits that make them visible. */
static int vhd_flush(struct disk_image *image)
{
    struct vhd_image *vhd = to_vhd(image);
    int error = disk_file_synchronize(image->file);
    if (error || !metadata_cache_held_count(image->cache))
        return error;
    error = metadata_cache_held(image->cache, image->file, write_bits, image->file);
    if (!error)
        error = disk_file_synchronize(image->file);
    if (error)
        return error;
    metadata_cache_release(image->cache, image->file);
    vhd_log_clear(&vhd->log);
    return 0;
}

/* The sector of the bitmap at `offset`, to be changed in memory until the next flush. */
static int hold_bits(struct vhd_image *vhd, uint64_t offset, uint8_t **bits)
{
    int error = metadata_cache_hold(vhd->image.cache, vhd->image.file, offset, bits);
    if (error != ENOSPC)
        return error;
    error = vhd_flush(&vhd->image);
    return error ? error : metadata_cache_hold(vhd->image.cache, vhd->image.file, offset, bits);
}

/* Says of the range that its sectors are in the image. */
static int set_bits(struct vhd_image *vhd, const struct block_range *range)
{
    uint32_t end = range->first + range->count;
    for (uint32_t sector = range->first, next; sector < end; sector = next) {
        next = (sector / VHD_BITMAP_BITS + 1) * VHD_BITMAP_BITS;
        if (next > end)
            next = end;
        uint32_t first = sector % VHD_BITMAP_BITS, last = first + (next - sector);
        const uint8_t *bits;
        uint8_t *changed;
        uint64_t offset = bitmap_offset(range, sector);
        int error = metadata_cache_read(vhd->image.cache, vhd->image.file, offset, &bits);
        if (error)
            return error;
        if (vhd_bitmap_all(bits, first, last))
            continue;
        error = hold_bits(vhd, offset, &changed);
        if (error)
            return error;
        vhd_bitmap_set(changed, first, last);
        vhd->image.changes++;
    }
    return 0;
}

/* ---- Room for blocks ---- */

/* Whether the file is anything but the blocks in use and the footer. */
static bool has_tail(const struct vhd_image *vhd)
{
    return vhd->file_end != vhd->table.used_end + VHD_FOOTER_SIZE;
}

/* Ends the file with the footer behind the last block that is in use; everything after that is gone. */
static int cut_tail(struct vhd_image *vhd)
{
    uint64_t end = vhd->table.used_end + VHD_FOOTER_SIZE;
    vhd->room_count = 0;
    vhd->log = (struct vhd_log){0};
    int error = disk_file_write_buffer(vhd->image.file, vhd->footer, VHD_FOOTER_SIZE, vhd->table.used_end);
    if (!error)
        error = disk_file_truncate(vhd->image.file, end);
    if (error)
        return error;
    vhd->file_end = end;
    vhd->table.data_end = vhd->table.used_end;
    return 0;
}

/* The first place from `offset` on for a block. */
static uint64_t place_from(const struct vhd_image *vhd, uint64_t offset)
{
    uint64_t alignment = vhd->table.block_size >= SMALLEST_ALIGNED_BLOCK ? HOST_PAGE : DISK_SECTOR_SIZE;
    uint64_t data = (offset + vhd->table.bitmap_size + alignment - 1) & ~(alignment - 1);
    return data - vhd->table.bitmap_size;
}

static uint64_t block_length(const struct vhd_image *vhd)
{
    return (uint64_t)vhd->table.bitmap_size + vhd->table.block_size;
}

static uint64_t smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* For how many blocks there shall be room from `first` on. */
static uint64_t count_room(const struct vhd_image *vhd, uint64_t first, uint64_t stride)
{
    uint64_t count = first < END_OF_PLACES ? (END_OF_PLACES - 1 - first) / stride + 1 : 0;
    count = smaller(count, vhd->table.blocks - vhd->table.allocated);
    return smaller(count, smaller(vhd->table.allocated, MOST_ROOM / stride) + 1);
}

/*
 * Makes room for blocks at the file's end, and for the log. The footer that is there stays in its place, unused, until
 * the new one is synchronized; on failure it is the last of the file again.
 */
static int make_room(struct vhd_image *vhd)
{
    int error = vhd->log.used ? vhd_flush(&vhd->image) : 0;
    if (!error && has_tail(vhd))
        error = cut_tail(vhd);
    if (error)
        return error;

    uint64_t first = place_from(vhd, vhd->file_end);
    uint64_t stride = place_from(vhd, first + block_length(vhd)) - first;
    uint64_t count = count_room(vhd, first, stride);
    uint64_t room_end = count ? first + (count - 1) * stride + block_length(vhd) : vhd->file_end;
    uint64_t footer_offset = room_end + (vhd->logs ? VHD_LOG_SIZE : 0);
    vhd->room_made = true;
    vhd->file_end = UNKNOWN_END;
    error = disk_file_write_buffer(vhd->image.file, vhd->footer, VHD_FOOTER_SIZE, footer_offset);
    if (!error)
        error = disk_file_synchronize(vhd->image.file);
    if (error) {
        cut_tail(vhd);
        return error;
    }
    vhd->file_end = footer_offset + VHD_FOOTER_SIZE;
    vhd->table.data_end = room_end;
    vhd->log.offset = vhd->logs ? room_end : 0;
    vhd->room = first;
    vhd->room_count = (uint32_t)count;
    return 0;
}

/*
 * The bitmap of a new block. In a dynamic image all its sectors are there, as zeros. In a differencing image none is,
 * and the bitmap has its space from now on, so that no flush fails for want of it.
 */
static int write_bitmap(struct vhd_image *vhd, const struct block_range *range)
{
    uint8_t bits[METADATA_SECTOR_SIZE];
    memset(bits, vhd->image.differencing ? 0 : 0xff, sizeof(bits));
    for (uint32_t offset = 0; offset < vhd->table.bitmap_size; offset += sizeof(bits)) {
        int error = metadata_cache_write(vhd->image.cache, vhd->image.file,
                                         (uint64_t)range->place * DISK_SECTOR_SIZE + offset, bits, sizeof(bits));
        if (error)
            return error;
    }
    if (!vhd->image.differencing)
        set_full(vhd, range->block);
    return 0;
}

/*
 * Gives the range's block a place. If its entry of the BAT cannot be written, nobody knows what is in the file, so the
 * place is never used again. If its bitmap cannot be, the block is there, with nothing in it.
 */
static int allocate_block(struct vhd_image *vhd, struct block_range *range)
{
    if (vhd->room_count == 0) {
        int error = make_room(vhd);
        if (error || vhd->room_count == 0)
            return error ? error : EFBIG;
    }
    uint64_t place = vhd->room;
    vhd->table.used_end = place + block_length(vhd);
    vhd->room = place_from(vhd, vhd->table.used_end);
    vhd->room_count--;

    uint32_t sector = (uint32_t)(place / DISK_SECTOR_SIZE);
    int error = vhd_table_set(&vhd->table, vhd->image.cache, vhd->image.file, range->block, sector);
    if (error)
        return error;
    range->place = sector;
    vhd->image.changes++;
    return write_bitmap(vhd, range);
}

/* ---- Writing ---- */

/* Whether the bits of the range are set, and in the file. */
static int bits_are_durable(struct vhd_image *vhd, const struct block_range *range, bool *durable)
{
    uint32_t end = range->first + range->count;
    *durable = true;
    for (uint32_t sector = range->first; sector < end && *durable;
         sector += VHD_BITMAP_BITS - sector % VHD_BITMAP_BITS) {
        uint32_t first = sector % VHD_BITMAP_BITS;
        uint32_t last = end - sector < VHD_BITMAP_BITS - first ? first + (end - sector) : VHD_BITMAP_BITS;
        uint64_t offset = bitmap_offset(range, sector);
        const uint8_t *bits;
        int error = metadata_cache_read(vhd->image.cache, vhd->image.file, offset, &bits);
        if (error)
            return error;
        *durable =
            vhd_bitmap_all(bits, first, last) && !metadata_cache_is_held(vhd->image.cache, vhd->image.file, offset);
    }
    return 0;
}

static int write_data(struct vhd_image *vhd, struct disk_cursor *cursor, const struct block_range *range)
{
    return disk_file_write(vhd->image.file, cursor, (uint64_t)range->count * DISK_SECTOR_SIZE, data_offset(vhd, range));
}

/* Makes room in the log. A file that is being made, and not to be seen before its end, has none. */
static int prepare_log(struct vhd_image *vhd, uint32_t sectors)
{
    vhd->logs = true;
    if (!vhd->log.offset)
        return make_room(vhd);
    return vhd_log_has_room(&vhd->log, sectors) ? 0 : vhd_flush(&vhd->image);
}

/* Writes sectors, VHD_LOG_SECTORS at most, that are not in the image, or not so that it would outlast the process. */
static int write_absent(struct vhd_image *vhd, struct disk_cursor *cursor, const struct block_range *range)
{
    bool logged = !vhd->image.file->deferred;
    uint32_t checksums[VHD_LOG_SECTORS];
    struct disk_cursor data = *cursor;
    for (uint32_t i = 0; i < range->count && logged; i++) {
        uint8_t bytes[DISK_SECTOR_SIZE];
        disk_cursor_get(&data, bytes, sizeof(bytes));
        checksums[i] = crc32c(0, bytes, sizeof(bytes));
    }
    int error = logged ? prepare_log(vhd, range->count) : 0;
    if (!error)
        error = write_data(vhd, cursor, range);
    if (!error && logged)
        error = vhd_log_append(&vhd->log, vhd->image.file, ((uint64_t)range->block << vhd->sector_shift) + range->first,
                               range->count, checksums);
    return error ? error : set_bits(vhd, range);
}

static int write_range(struct vhd_image *vhd, struct disk_cursor *cursor, struct block_range *range)
{
    int error = range->place == VHD_BLOCK_UNALLOCATED ? allocate_block(vhd, range) : 0;
    if (error)
        return error;
    bool durable = is_full(vhd, range->block);
    if (!durable)
        error = bits_are_durable(vhd, range, &durable);
    if (error || durable)
        return error ? error : write_data(vhd, cursor, range);
    struct block_range part = *range;
    for (uint32_t left = range->count; left && !error; left -= part.count, part.first += part.count) {
        part.count = left < VHD_LOG_SECTORS ? left : VHD_LOG_SECTORS;
        error = write_absent(vhd, cursor, &part);
    }
    return error;
}

static int vhd_write(struct disk_image *image, struct disk_cursor *cursor, uint64_t sector, uint32_t sectors)
{
    struct vhd_image *vhd = to_vhd(image);
    while (sectors) {
        struct block_range range;
        int error = find_range(vhd, sector, sectors, &range);
        if (!error)
            error = write_range(vhd, cursor, &range);
        if (error)
            return error;
        sector += range.count;
        sectors -= range.count;
    }
    return 0;
}

/* What is in the image becomes zeros without space; its place and its bits stay. */
static int vhd_discard(struct disk_image *image, uint64_t sector, uint32_t sectors)
{
    struct vhd_image *vhd = to_vhd(image);
    while (sectors && vhd->punches) {
        struct disk_extent extent;
        int error = vhd_map(image, sector, sectors, &extent);
        if (!error && extent.kind == DISK_EXTENT_DATA)
            error = disk_file_punch(image->file, extent.offset, (uint64_t)extent.sectors * DISK_SECTOR_SIZE);
        vhd->punches = error != EOPNOTSUPP;
        if (error && vhd->punches)
            return error;
        sector += extent.sectors;
        sectors -= extent.sectors;
    }
    return 0;
}

/* ---- What a process that was killed has left ---- */

/* Sets the bit of a sector of the log if what was written to it is there. */
static int recover_sector(void *context, uint64_t sector, uint32_t checksum)
{
    struct vhd_image *vhd = context;
    struct disk_extent extent;
    struct block_range range;
    uint8_t bytes[DISK_SECTOR_SIZE];
    if (sector >= vhd->image.sectors)
        return 0;
    int error = vhd_map(&vhd->image, sector, 1, &extent);
    if (error || extent.kind == DISK_EXTENT_DATA)
        return error == EIO ? 0 : error;
    error = find_range(vhd, sector, 1, &range);
    if (error || range.place == VHD_BLOCK_UNALLOCATED)
        return error;
    error = disk_file_read_buffer(vhd->image.file, bytes, sizeof(bytes), data_offset(vhd, &range));
    if (error || crc32c(0, bytes, sizeof(bytes)) != checksum)
        return error;
    return set_bits(vhd, &range);
}

/* The bits are in memory afterwards, and in the file too unless it is read only. */
static bool recover(struct vhd_image *vhd, const struct vhd_metadata *metadata, struct disk_error *error)
{
    if (metadata->end_state != VHD_VALID || metadata->footer_offset < vhd->table.used_end + VHD_LOG_SIZE)
        return true;
    int result = vhd_log_read(vhd->image.file, metadata->footer_offset - VHD_LOG_SIZE, recover_sector, vhd);
    if (!result && !vhd->image.read_only)
        result = vhd_flush(&vhd->image);
    if (result)
        disk_error_set(error, result, vhd->image.file->name, "what was written last cannot be recovered: %s",
                       strerror(result));
    return result == 0;
}

/* ---- Opening and closing ---- */

static bool vhd_read_parent(struct disk_image *image, struct parent_link *link, struct disk_error *error)
{
    struct vhd_metadata metadata;
    if (!vhd_metadata_read(image->file, &metadata, error))
        return false;
    *link = (struct parent_link){
        .has_timestamp = metadata.parent.timestamp != 0,
        .timestamp = (int64_t)metadata.parent.timestamp + VHD_EPOCH,
    };
    memcpy(link->identifier, metadata.parent.identifier, sizeof(link->identifier));
    int result = vhd_parent_read_names(image->file, metadata.file_size, &metadata.parent, link);
    if (result)
        disk_error_set(error, result, image->file->name, "what it says of its parent cannot be read: %s",
                       strerror(result));
    return result == 0;
}

/* One sector, so that it reaches the disk as a whole. */
static int vhd_set_parent_time(struct disk_image *image, int64_t timestamp)
{
    struct vhd_metadata metadata;
    struct disk_error ignored;
    if (!vhd_metadata_read(image->file, &metadata, &ignored))
        return EIO;
    vhd_parent_encode_timestamp(metadata.header_bytes, timestamp > VHD_EPOCH ? (uint32_t)(timestamp - VHD_EPOCH) : 0);
    vhd_header_seal(metadata.header_bytes);
    int error =
        disk_file_write_buffer(image->file, metadata.header_bytes, DISK_SECTOR_SIZE, metadata.footer.data_offset);
    return error ? error : disk_file_synchronize(image->file);
}

static void release(struct vhd_image *vhd)
{
    vhd_table_free(&vhd->table);
    free(vhd->full);
    free(vhd);
}

static int vhd_close(struct disk_image *image)
{
    struct vhd_image *vhd = to_vhd(image);
    int error = image->read_only ? 0 : vhd_flush(image);
    if (!error && vhd->room_made && has_tail(vhd))
        error = cut_tail(vhd);
    release(vhd);
    return error;
}

static const struct disk_image_operations vhd_operations = {
    .map = vhd_map,
    .write = vhd_write,
    .discard = vhd_discard,
    .flush = vhd_flush,
    .next_present = vhd_next_present,
    .read_parent = vhd_read_parent,
    .set_parent_time = vhd_set_parent_time,
    .close = vhd_close,
};

/* Keeps the first problem of the table. */
static void keep_first(void *context, const char *text)
{
    char **first = context;
    if (!*first)
        *first = strdup(text);
}

static bool load_table(struct vhd_image *vhd, const struct vhd_metadata *metadata, bool read_only,
                       struct disk_error *error)
{
    struct disk_file *file = vhd->image.file;
    char *problem = NULL;
    int result = vhd_table_scan(&vhd->table, file, metadata, keep_first, &problem);
    bool usable = !result && (read_only || !vhd->table.damaged);
    if (result)
        disk_error_set(error, result, file->name, "the block allocation table cannot be loaded: %s", strerror(result));
    else if (!usable)
        disk_error_set(error, EUCLEAN, file->name,
                       "a damaged VHD, %u blocks of it: %s; to mend it: loam disk repair %s", vhd->table.damaged,
                       problem ? problem : "no memory to say more", file->name);
    free(problem);
    return usable;
}

/* Renews what a crash or an accident left of the two footers, from the one that is valid. */
static bool renew_footers(struct vhd_image *vhd, const struct vhd_metadata *metadata, struct disk_error *error)
{
    struct disk_file *file = vhd->image.file;
    int result = 0;
    if (metadata->copy_state != VHD_VALID)
        result = disk_file_write_buffer(file, vhd->footer, VHD_FOOTER_SIZE, 0);
    if (!result) /* before the one at the end is moved */
        result = disk_file_synchronize(file);
    if (!result && metadata->end_state != VHD_VALID)
        result = cut_tail(vhd);
    if (result)
        disk_error_set(error, result, file->name, "its footer cannot be renewed: %s", strerror(result));
    return result == 0;
}

static bool prepare_writing(struct vhd_image *vhd, const struct vhd_metadata *metadata, struct disk_error *error)
{
    if (metadata->has_stray_locator) {
        disk_error_set(
            error, EUCLEAN, vhd->image.file->name,
            "a damaged VHD: a parent locator, at byte %llu, does not lie within the file, and blocks that are "
            "written could come to lie over it (loam disk repair leaves it out)",
            (unsigned long long)metadata->stray_locator);
        return false;
    }
    memcpy(vhd->footer, metadata->footer_bytes, VHD_FOOTER_SIZE);
    vhd->file_end = metadata->file_size;
    vhd->punches = true;
    vhd->logs = vhd->image.differencing && !vhd->image.file->deferred;
    return renew_footers(vhd, metadata, error);
}

static bool load(struct vhd_image *vhd, const struct vhd_metadata *metadata, struct disk_error *error)
{
    if (!load_table(vhd, metadata, vhd->image.read_only, error))
        return false;
    bool remembers = vhd->table.blocks <= MOST_REMEMBERED;
    if (remembers)
        vhd->full = calloc(vhd->table.blocks / 8 + 1, 1);
    if (remembers && !vhd->full)
        disk_error_set(error, ENOMEM, vhd->image.file->name, "no memory");
    return !remembers || vhd->full;
}

struct disk_image *vhd_image_open(struct disk_file *file, const struct vhd_metadata *metadata, bool read_only,
                                  struct metadata_cache *cache, struct disk_error *error)
{
    struct vhd_image *vhd = calloc(1, sizeof(*vhd));
    if (!vhd) {
        disk_error_set(error, ENOMEM, file->name, "no memory");
        return NULL;
    }
    bool differencing = metadata->footer.type == VHD_DIFFERENCING;
    vhd->image = (struct disk_image){
        .operations = &vhd_operations,
        .file = file,
        .cache = cache,
        .format = differencing ? DISK_FORMAT_DIFFERENCING : DISK_FORMAT_DYNAMIC,
        .differencing = differencing,
        .read_only = read_only,
        .sectors = metadata->disk_size / DISK_SECTOR_SIZE,
        .block_size = metadata->header.block_size,
        .write_unit = 1,
    };
    vhd->sector_shift = (unsigned)__builtin_ctz(metadata->header.block_size / DISK_SECTOR_SIZE);
    if (!load(vhd, metadata, error) || (!read_only && !prepare_writing(vhd, metadata, error)) ||
        !recover(vhd, metadata, error)) {
        release(vhd);
        return NULL;
    }
    return &vhd->image;
}
