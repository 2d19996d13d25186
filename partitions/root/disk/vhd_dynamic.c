/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/disk/vhd_dynamic.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "partitions/root/disk/vhd_table.h"

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
/* Bitmaps kept in memory, of blocks whose bitmap has zeros. */
#define BITMAP_SLOTS 8u

struct bitmap_slot {
    bool valid;
    uint32_t block;
    uint8_t *bits; /* bitmap_size bytes, from the first use on */
};

struct vhd_dynamic {
    struct disk disk;
    struct vhd_table table;
    unsigned sector_shift;                  /* sectors in a block, as a power of two */
    uint8_t *full;                          /* a bit for each block whose bitmap is known to be all ones */
    struct bitmap_slot slots[BITMAP_SLOTS]; /* block n is kept in slot n % BITMAP_SLOTS */

    /* Only for writing: */
    uint8_t footer[VHD_FOOTER_SIZE];
    uint8_t *ones;       /* the bitmap of a new block */
    uint64_t file_end;   /* UNKNOWN_END while a change of it is under way or has failed */
    bool room_made;      /* in this session */
    uint64_t room;       /* where the next block goes */
    uint32_t room_count; /* blocks that there is room for */
};

static struct vhd_dynamic *to_dynamic(struct disk *disk)
{
    return (struct vhd_dynamic *)disk;
}

/* Where the data of an allocated block begins. */
static uint64_t data_offset(const struct vhd_dynamic *image, uint32_t block)
{
    return (uint64_t)image->table.sector[block] * DISK_SECTOR_SIZE + image->table.bitmap_size;
}

static bool is_full(const struct vhd_dynamic *image, uint32_t block)
{
    return image->full[block / 8] & 1u << block % 8;
}

static void set_full(struct vhd_dynamic *image, uint32_t block)
{
    image->full[block / 8] |= (uint8_t)(1u << block % 8);
}

/* In the file, the first sector's bit is the most significant one of the first byte. */
static bool bitmap_bit(const uint8_t *bits, uint32_t sector)
{
    return bits[sector / 8] & 0x80u >> sector % 8;
}

/* How many sectors from `first` on, below `end`, have the same bit as `first`. */
static uint32_t bitmap_run(const uint8_t *bits, uint32_t first, uint32_t end)
{
    bool value = bitmap_bit(bits, first);
    uint32_t sector = first + 1;
    while (sector < end && bitmap_bit(bits, sector) == value)
        sector++;
    return sector - first;
}

/*
 * The bitmap of an allocated block that is not known to be full, in *bits; if it turns out to be full, that
 * is noted. Bits of sectors behind the disk's end do not count.
 */
static int load_bitmap(struct vhd_dynamic *image, uint32_t block, uint8_t **bits)
{
    struct bitmap_slot *slot = &image->slots[block % BITMAP_SLOTS];
    if (!slot->valid || slot->block != block) {
        slot->valid = false;
        if (!slot->bits)
            slot->bits = malloc(image->table.bitmap_size);
        if (!slot->bits)
            return ENOMEM;
        int error = disk_file_read_buffer(image->disk.file, slot->bits, image->table.bitmap_size,
                                          (uint64_t)image->table.sector[block] * DISK_SECTOR_SIZE);
        if (error)
            return error;
        slot->valid = true;
        slot->block = block;
        uint32_t sectors = vhd_table_block_bytes(&image->table, block) / DISK_SECTOR_SIZE;
        if (bitmap_bit(slot->bits, 0) && bitmap_run(slot->bits, 0, sectors) == sectors)
            set_full(image, block);
    }
    *bits = slot->bits;
    return 0;
}

/* Reads from an allocated block; sectors without their bit are zeros. */
static int read_block(struct vhd_dynamic *image, struct disk_cursor *cursor, uint32_t block, uint32_t first,
                      uint32_t count)
{
    uint64_t offset = data_offset(image, block) + (uint64_t)first * DISK_SECTOR_SIZE;
    uint8_t *bits = NULL;
    if (!is_full(image, block)) {
        int error = load_bitmap(image, block, &bits);
        if (error)
            return error;
    }
    if (is_full(image, block))
        return disk_file_read(image->disk.file, cursor, (uint64_t)count * DISK_SECTOR_SIZE, offset);

    for (uint32_t end = first + count; first < end;) {
        uint32_t run = bitmap_run(bits, first, end);
        uint64_t length = (uint64_t)run * DISK_SECTOR_SIZE;
        int error = 0;
        if (bitmap_bit(bits, first))
            error = disk_file_read(image->disk.file, cursor, length, offset);
        else
            disk_cursor_zero(cursor, length);
        if (error)
            return error;
        first += run;
        offset += length;
    }
    return 0;
}

static int dynamic_read(struct disk *disk, struct disk_cursor *cursor, uint64_t sector, uint32_t sectors)
{
    struct vhd_dynamic *image = to_dynamic(disk);
    uint32_t block_sectors = 1u << image->sector_shift;
    while (sectors) {
        uint32_t block = (uint32_t)(sector >> image->sector_shift);
        uint32_t first = (uint32_t)sector & (block_sectors - 1);
        uint32_t count = block_sectors - first < sectors ? block_sectors - first : sectors;
        int error = 0;
        if (image->table.sector[block] == VHD_BLOCK_UNALLOCATED)
            disk_cursor_zero(cursor, (uint64_t)count * DISK_SECTOR_SIZE);
        else if (image->table.sector[block] == VHD_BLOCK_DAMAGED)
            error = EIO;
        else
            error = read_block(image, cursor, block, first, count);
        if (error)
            return error;
        sector += count;
        sectors -= count;
    }
    return 0;
}

/* Whether the file is anything but the blocks in use and the footer. */
static bool has_tail(const struct vhd_dynamic *image)
{
    return image->file_end != image->table.used_end + VHD_FOOTER_SIZE;
}

/* Ends the file with the footer behind the last block that is in use; everything after that is gone. */
static int cut_tail(struct vhd_dynamic *image)
{
    uint64_t end = image->table.used_end + VHD_FOOTER_SIZE;
    image->room_count = 0;
    int error =
        disk_file_write_buffer(image->disk.file, image->footer, VHD_FOOTER_SIZE, image->table.used_end);
    if (!error)
        error = disk_file_truncate(image->disk.file, end);
    if (!error)
        image->file_end = end;
    return error;
}

/* The first place from `offset` on for a block. */
static uint64_t place_from(const struct vhd_dynamic *image, uint64_t offset)
{
    uint64_t alignment = image->table.block_size >= SMALLEST_ALIGNED_BLOCK ? HOST_PAGE : DISK_SECTOR_SIZE;
    uint64_t data = (offset + image->table.bitmap_size + alignment - 1) & ~(alignment - 1);
    return data - image->table.bitmap_size;
}

static uint64_t block_length(const struct vhd_dynamic *image)
{
    return (uint64_t)image->table.bitmap_size + image->table.block_size;
}

static uint64_t smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/*
 * Makes room for blocks at the file's end. The footer that is there stays in its place, unused, until the new
 * one is synchronized; on failure it is the last of the file again.
 */
static int make_room(struct vhd_dynamic *image)
{
    int error = has_tail(image) ? cut_tail(image) : 0;
    if (error)
        return error;

    uint64_t first = place_from(image, image->file_end);
    uint64_t stride = place_from(image, first + block_length(image)) - first;
    if (first >= END_OF_PLACES)
        return EFBIG;
    uint64_t count = (END_OF_PLACES - 1 - first) / stride + 1;
    count = smaller(count, image->table.blocks - image->table.allocated);
    count = smaller(count, smaller(image->table.allocated, MOST_ROOM / stride) + 1);

    image->room_made = true;
    image->file_end = UNKNOWN_END;
    uint64_t footer_offset = first + (count - 1) * stride + block_length(image);
    error = disk_file_write_buffer(image->disk.file, image->footer, VHD_FOOTER_SIZE, footer_offset);
    if (!error)
        error = disk_file_synchronize(image->disk.file);
    if (error) {
        cut_tail(image);
        return error;
    }
    image->file_end = footer_offset + VHD_FOOTER_SIZE;
    image->room = first;
    image->room_count = (uint32_t)count;
    return 0;
}

/*
 * Gives a block a place. If its entry of the BAT cannot be written, nobody knows what is in the file, so the
 * place is never used again. If its bitmap cannot be, the block is there, with zeros in it.
 */
static int allocate_block(struct vhd_dynamic *image, uint32_t block)
{
    if (image->room_count == 0) {
        int error = make_room(image);
        if (error)
            return error;
    }
    uint64_t place = image->room;
    image->table.used_end = place + block_length(image);
    image->room = place_from(image, image->table.used_end);
    image->room_count--;

    uint8_t entry[sizeof(uint32_t)];
    uint32_t sector = (uint32_t)(place / DISK_SECTOR_SIZE);
    vhd_store_entry(entry, sector);
    int error = disk_file_write_buffer(image->disk.file, entry, sizeof(entry),
                                       image->table.offset + (uint64_t)block * sizeof(entry));
    if (error)
        return error;
    image->table.sector[block] = sector;
    image->table.allocated++;

    error = disk_file_write_buffer(image->disk.file, image->ones, image->table.bitmap_size, place);
    if (!error)
        set_full(image, block);
    return error;
}

/* Puts zeros where there is anything else. */
static int zero_range(struct disk_file *file, uint64_t offset, uint64_t length)
{
    static const uint8_t zeros[HOST_PAGE];
    uint8_t bytes[HOST_PAGE];
    while (length) {
        size_t piece = length < sizeof(bytes) ? (size_t)length : sizeof(bytes);
        int error = disk_file_read_buffer(file, bytes, piece, offset);
        if (!error && memcmp(bytes, zeros, piece) != 0)
            error = disk_file_write_buffer(file, zeros, piece, offset);
        if (error)
            return error;
        offset += piece;
        length -= piece;
    }
    return 0;
}

/* Makes the bitmap of an allocated block all ones, without changing what its sectors read as. */
static int fill_block(struct vhd_dynamic *image, uint32_t block)
{
    uint8_t *bits;
    int error = load_bitmap(image, block, &bits);
    if (error || is_full(image, block))
        return error;

    struct disk_file *file = image->disk.file;
    uint32_t sectors = vhd_table_block_bytes(&image->table, block) / DISK_SECTOR_SIZE;
    for (uint32_t first = 0, run; first < sectors && !error; first += run) {
        run = bitmap_run(bits, first, sectors);
        if (!bitmap_bit(bits, first))
            error = zero_range(file, data_offset(image, block) + (uint64_t)first * DISK_SECTOR_SIZE,
                               (uint64_t)run * DISK_SECTOR_SIZE);
    }
    if (!error)
        error = disk_file_synchronize(file);
    if (error)
        return error;

    for (uint32_t sector = 0; sector < sectors; sector++)
        bits[sector / 8] |= (uint8_t)(0x80u >> sector % 8);
    error = disk_file_write_buffer(file, bits, image->table.bitmap_size,
                                   (uint64_t)image->table.sector[block] * DISK_SECTOR_SIZE);
    if (error)
        image->slots[block % BITMAP_SLOTS].valid = false;
    else
        set_full(image, block);
    return error;
}

static int write_block(struct vhd_dynamic *image, struct disk_cursor *cursor, uint32_t block, uint32_t first,
                       uint32_t count)
{
    int error = 0;
    if (image->table.sector[block] == VHD_BLOCK_UNALLOCATED)
        error = allocate_block(image, block);
    else if (!is_full(image, block))
        error = fill_block(image, block);
    if (error)
        return error;
    return disk_file_write(image->disk.file, cursor, (uint64_t)count * DISK_SECTOR_SIZE,
                           data_offset(image, block) + (uint64_t)first * DISK_SECTOR_SIZE);
}

static int dynamic_write(struct disk *disk, struct disk_cursor *cursor, uint64_t sector, uint32_t sectors)
{
    struct vhd_dynamic *image = to_dynamic(disk);
    uint32_t block_sectors = 1u << image->sector_shift;
    while (sectors) {
        uint32_t first = (uint32_t)sector & (block_sectors - 1);
        uint32_t count = block_sectors - first < sectors ? block_sectors - first : sectors;
        int error = write_block(image, cursor, (uint32_t)(sector >> image->sector_shift), first, count);
        if (error)
            return error;
        sector += count;
        sectors -= count;
    }
    return 0;
}

static uint64_t dynamic_next_data(struct disk *disk, uint64_t sector)
{
    struct vhd_dynamic *image = to_dynamic(disk);
    uint32_t block = (uint32_t)(sector >> image->sector_shift);
    while (block < image->table.blocks && image->table.sector[block] == VHD_BLOCK_UNALLOCATED)
        block++;
    if (block == image->table.blocks)
        return disk->sectors;
    uint64_t start = (uint64_t)block << image->sector_shift;
    return start > sector ? start : sector;
}

static void release(struct vhd_dynamic *image)
{
    vhd_table_free(&image->table);
    for (unsigned i = 0; i < BITMAP_SLOTS; i++)
        free(image->slots[i].bits);
    free(image->full);
    free(image->ones);
    free(image);
}

static int dynamic_close(struct disk *disk)
{
    struct vhd_dynamic *image = to_dynamic(disk);
    int error = image->room_made && has_tail(image) ? cut_tail(image) : 0;
    release(image);
    return error;
}

static const struct disk_format_operations dynamic_operations = {
    .read = dynamic_read,
    .write = dynamic_write,
    .next_data = dynamic_next_data,
    .close = dynamic_close,
};

/* Keeps the first problem of the table. */
static void keep_first(void *context, const char *text)
{
    char **first = context;
    if (!*first)
        *first = strdup(text);
}

static bool load_table(struct vhd_dynamic *image, const struct vhd_metadata *metadata, bool read_only,
                       struct disk_error *error)
{
    struct disk_file *file = image->disk.file;
    char *problem = NULL;
    int result = vhd_table_load(&image->table, file, metadata, keep_first, &problem);
    bool usable = !result && (read_only || !image->table.damaged);
    if (result)
        disk_error_set(error, result, file->name, "the block allocation table cannot be loaded: %s",
                       strerror(result));
    else if (!usable)
        disk_error_set(error, EUCLEAN, file->name, "a damaged VHD, %u blocks of it: %s", image->table.damaged,
                       problem ? problem : "no memory to say more");
    free(problem);
    return usable;
}

/* Renews what a crash or an accident left of the two footers, from the one that is valid. */
static bool renew_footers(struct vhd_dynamic *image, const struct vhd_metadata *metadata,
                          struct disk_error *error)
{
    struct disk_file *file = image->disk.file;
    int result = 0;
    if (metadata->copy_state != VHD_VALID)
        result = disk_file_write_buffer(file, image->footer, VHD_FOOTER_SIZE, 0);
    if (!result && metadata->end_state != VHD_VALID)
        result = cut_tail(image);
    if (result)
        disk_error_set(error, result, file->name, "its footer cannot be renewed: %s", strerror(result));
    return result == 0;
}

static bool prepare_writing(struct vhd_dynamic *image, const struct vhd_metadata *metadata,
                            struct disk_error *error)
{
    memcpy(image->footer, metadata->footer_bytes, VHD_FOOTER_SIZE);
    image->file_end = metadata->file_size;
    image->ones = malloc(image->table.bitmap_size);
    if (!image->ones) {
        disk_error_set(error, ENOMEM, image->disk.file->name, "no memory");
        return false;
    }
    memset(image->ones, 0xff, image->table.bitmap_size);
    return renew_footers(image, metadata, error);
}

struct disk *vhd_dynamic_open(struct disk_file *file, const struct vhd_metadata *metadata, bool read_only,
                              struct disk_error *error)
{
    struct vhd_dynamic *image = calloc(1, sizeof(*image));
    if (!image) {
        disk_error_set(error, ENOMEM, file->name, "no memory");
        return NULL;
    }
    image->disk.operations = &dynamic_operations;
    image->disk.file = file;
    image->disk.format = DISK_FORMAT_DYNAMIC;
    image->disk.sectors = metadata->disk_size / DISK_SECTOR_SIZE;
    image->disk.read_only = read_only;
    image->sector_shift = (unsigned)__builtin_ctz(metadata->header.block_size / DISK_SECTOR_SIZE);
    bool opened = load_table(image, metadata, read_only, error);
    if (opened) {
        image->full = calloc(image->table.blocks / 8 + 1, 1);
        opened = image->full != NULL;
        if (!opened)
            disk_error_set(error, ENOMEM, file->name, "no memory");
    }
    if (!opened || (!read_only && !prepare_writing(image, metadata, error))) {
        release(image);
        return NULL;
    }
    return &image->disk;
}
