/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/disk/vhd/create.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "partitions/root/disk/vhd/parent.h"

/* The layout of a dynamic image: the copy of the footer, the header, the table. */
#define HEADER_OFFSET VHD_FOOTER_SIZE
#define TABLE_OFFSET  (HEADER_OFFSET + VHD_HEADER_SIZE)
/* Behind the table of a differencing image, so that other paths can take their places: any path, and any path as a URL.
 */
#define RELATIVE_SPACE (2u * PATH_MAX)
#define ABSOLUTE_SPACE (3u * PATH_MAX)

/* A random (version 4) UUID, RFC 4122 section 4.4. */
static int make_identifier(uint8_t *identifier)
{
    if (getrandom(identifier, 16, 0) != 16)
        return EIO;
    identifier[6] = (uint8_t)((identifier[6] & 0x0f) | 0x40);
    identifier[8] = (uint8_t)((identifier[8] & 0x3f) | 0x80);
    return 0;
}

static int make_footer(uint64_t size, struct disk_geometry geometry, enum vhd_type type, uint8_t *bytes)
{
    struct vhd_footer footer = {
        .features = VHD_FEATURES_RESERVED,
        .version = VHD_VERSION,
        .data_offset = type == VHD_FIXED ? VHD_NO_OFFSET : HEADER_OFFSET,
        .timestamp = vhd_timestamp(time(NULL)),
        .original_size = size,
        .current_size = size,
        .geometry = geometry,
        .type = type,
    };
    vhd_set_creator(&footer);
    int error = make_identifier(footer.identifier);
    if (!error)
        vhd_footer_encode(&footer, bytes);
    return error;
}

int vhd_create_fixed(struct disk_file *file, uint64_t size)
{
    uint8_t footer[VHD_FOOTER_SIZE];
    int error = make_footer(size, vhd_geometry(size / DISK_SECTOR_SIZE), VHD_FIXED, footer);
    return error ? error : disk_file_write_buffer(file, footer, sizeof(footer), size);
}

static int write_empty_table(struct disk_file *file, uint64_t length)
{
    uint8_t unallocated[16384];
    memset(unallocated, 0xff, sizeof(unallocated));
    for (uint64_t offset = 0; offset < length; offset += sizeof(unallocated)) {
        size_t piece = length - offset < sizeof(unallocated) ? (size_t)(length - offset) : sizeof(unallocated);
        int error = disk_file_write_buffer(file, unallocated, piece, TABLE_OFFSET + offset);
        if (error)
            return error;
    }
    return 0;
}

static uint64_t whole_sectors(uint64_t bytes)
{
    return (bytes + DISK_SECTOR_SIZE - 1) / DISK_SECTOR_SIZE * DISK_SECTOR_SIZE;
}

static struct vhd_header make_header(uint64_t size, uint32_t block_size)
{
    return (struct vhd_header){
        .table_offset = TABLE_OFFSET,
        .version = VHD_VERSION,
        .table_entries = (uint32_t)((size + block_size - 1) / block_size),
        .block_size = block_size,
    };
}

/* `start` is the copy of the footer and the header; `end` where the last footer goes. */
static int write_sparse(struct disk_file *file, const uint8_t *start, uint64_t table_length, uint64_t end)
{
    int error = disk_file_write_buffer(file, start, VHD_FOOTER_SIZE + VHD_HEADER_SIZE, 0);
    if (!error)
        error = write_empty_table(file, table_length);
    return error ? error : disk_file_write_buffer(file, start, VHD_FOOTER_SIZE, end);
}

int vhd_create_dynamic(struct disk_file *file, uint64_t size, uint32_t block_size)
{
    const struct vhd_header header = make_header(size, block_size);
    uint64_t table_length = whole_sectors((uint64_t)header.table_entries * sizeof(uint32_t));
    uint8_t start[VHD_FOOTER_SIZE + VHD_HEADER_SIZE];
    int error = make_footer(size, vhd_geometry(size / DISK_SECTOR_SIZE), VHD_DYNAMIC, start);
    if (error)
        return error;
    vhd_header_encode(&header, start + HEADER_OFFSET);
    return write_sparse(file, start, table_length, TABLE_OFFSET + table_length);
}

/* Writes what is said of the parent to byte `offset` on; the bytes that it takes. */
static int write_parent(struct disk_file *file, const struct vhd_child *child, struct vhd_parent *parent,
                        uint64_t offset, uint64_t *length)
{
    memcpy(parent->identifier, child->identifier, sizeof(parent->identifier));
    if (child->remote) {
        *length = VHD_REMOTE_SPACE;
        parent->locators[0] = (struct vhd_locator){VHD_PLATFORM_LOUR, VHD_REMOTE_SPACE, 0, offset};
        return vhd_parent_write_remote(file, parent, child->remote);
    }
    *length = RELATIVE_SPACE + ABSOLUTE_SPACE;
    parent->timestamp = vhd_timestamp(child->timestamp);
    parent->locators[0] = (struct vhd_locator){VHD_PLATFORM_W2RU, RELATIVE_SPACE, 0, offset};
    parent->locators[1] = (struct vhd_locator){VHD_PLATFORM_MACX, ABSOLUTE_SPACE, 0, offset + RELATIVE_SPACE};
    return vhd_parent_write_names(file, parent, child->relative_path, child->absolute_path);
}

int vhd_create_child(struct disk_file *file, const struct vhd_child *child)
{
    const struct vhd_header header = make_header(child->size, child->block_size);
    uint64_t table_length = whole_sectors((uint64_t)header.table_entries * sizeof(uint32_t));
    uint64_t locators = TABLE_OFFSET + table_length, locators_length;
    struct vhd_parent parent = {0};
    uint8_t start[VHD_FOOTER_SIZE + VHD_HEADER_SIZE];
    int error = make_footer(child->size, child->geometry, VHD_DIFFERENCING, start);
    if (!error)
        error = write_parent(file, child, &parent, locators, &locators_length);
    if (error)
        return error;
    vhd_header_encode(&header, start + HEADER_OFFSET);
    if (!vhd_parent_encode(start + HEADER_OFFSET, &parent))
        return EILSEQ;
    vhd_header_seal(start + HEADER_OFFSET);
    return write_sparse(file, start, table_length, locators + locators_length);
}
