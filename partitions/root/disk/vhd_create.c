/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/disk/vhd_create.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

/* What Windows writes. Readers that do not know a creator take the geometry, which is rounded, for the size.
 */
#define CREATOR_APPLICATION "win "
#define CREATOR_VERSION     0x000a0000u
#define CREATOR_HOST        "Wi2k"

/* The layout of a dynamic image: the copy of the footer, the header, the table. */
#define HEADER_OFFSET VHD_FOOTER_SIZE
#define TABLE_OFFSET  (HEADER_OFFSET + VHD_HEADER_SIZE)

/* A random (version 4) UUID, RFC 4122 section 4.4. */
static int make_identifier(uint8_t *identifier)
{
    if (getrandom(identifier, 16, 0) != 16)
        return EIO;
    identifier[6] = (uint8_t)((identifier[6] & 0x0f) | 0x40);
    identifier[8] = (uint8_t)((identifier[8] & 0x3f) | 0x80);
    return 0;
}

static int make_footer(uint64_t size, enum vhd_type type, uint8_t *bytes)
{
    time_t now = time(NULL);
    struct vhd_footer footer = {
        .features = VHD_FEATURES_RESERVED,
        .version = VHD_VERSION,
        .data_offset = type == VHD_FIXED ? VHD_NO_OFFSET : HEADER_OFFSET,
        .timestamp = now > VHD_EPOCH ? (uint32_t)(now - VHD_EPOCH) : 0,
        .creator_version = CREATOR_VERSION,
        .original_size = size,
        .current_size = size,
        .geometry = vhd_geometry(size / DISK_SECTOR_SIZE),
        .type = type,
    };
    memcpy(footer.creator_application, CREATOR_APPLICATION, sizeof(footer.creator_application));
    memcpy(footer.creator_host, CREATOR_HOST, sizeof(footer.creator_host));
    int error = make_identifier(footer.identifier);
    if (!error)
        vhd_footer_encode(&footer, bytes);
    return error;
}

int vhd_create_fixed(struct disk_file *file, uint64_t size)
{
    uint8_t footer[VHD_FOOTER_SIZE];
    int error = make_footer(size, VHD_FIXED, footer);
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

int vhd_create_dynamic(struct disk_file *file, uint64_t size, uint32_t block_size)
{
    struct vhd_header header = {
        .table_offset = TABLE_OFFSET,
        .version = VHD_VERSION,
        .table_entries = (uint32_t)((size + block_size - 1) / block_size),
        .block_size = block_size,
    };
    uint64_t table_length = (uint64_t)header.table_entries * sizeof(uint32_t);
    table_length = (table_length + DISK_SECTOR_SIZE - 1) / DISK_SECTOR_SIZE * DISK_SECTOR_SIZE;

    uint8_t start[VHD_FOOTER_SIZE + VHD_HEADER_SIZE];
    int error = make_footer(size, VHD_DYNAMIC, start);
    if (error)
        return error;
    vhd_header_encode(&header, start + HEADER_OFFSET);
    error = disk_file_write_buffer(file, start, sizeof(start), 0);
    if (!error)
        error = write_empty_table(file, table_length);
    if (!error)
        error = disk_file_write_buffer(file, start, VHD_FOOTER_SIZE, TABLE_OFFSET + table_length);
    return error;
}
