/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/disk/vhd/log.h"

#include <errno.h>
#include <stdlib.h>

#include "partitions/root/disk/crc32c.h"
#include "partitions/root/disk/little_endian.h"

#define MAGIC 0x4c6d4f4cu

enum { RECORD_MAGIC = 0, RECORD_SECTORS = 4, RECORD_SECTOR = 8, RECORD_CHECKSUM = 16, RECORD_CHECKSUMS = 20 };

static uint32_t record_size(uint32_t sectors)
{
    return RECORD_CHECKSUMS + sectors * (uint32_t)sizeof(uint32_t);
}

bool vhd_log_has_room(const struct vhd_log *log, uint32_t sectors)
{
    return log->offset && record_size(sectors) <= VHD_LOG_SIZE - log->used;
}

int vhd_log_append(struct vhd_log *log, struct disk_file *file, uint64_t sector, uint32_t sectors,
                   const uint32_t *checksums)
{
    uint8_t record[RECORD_CHECKSUMS + VHD_LOG_SECTORS * sizeof(uint32_t)];
    little_endian_store32(record + RECORD_MAGIC, MAGIC);
    little_endian_store32(record + RECORD_SECTORS, sectors);
    little_endian_store64(record + RECORD_SECTOR, sector);
    little_endian_store32(record + RECORD_CHECKSUM, 0);
    for (uint32_t i = 0; i < sectors; i++)
        little_endian_store32(record + record_size(i), checksums[i]);
    little_endian_store32(record + RECORD_CHECKSUM, crc32c(0, record, record_size(sectors)));
    int error = disk_file_write_buffer(file, record, record_size(sectors), log->offset + log->used);
    if (!error)
        log->used += record_size(sectors);
    return error;
}

void vhd_log_clear(struct vhd_log *log)
{
    log->used = 0;
}

/* The sectors of the record at `bytes`, of which `length` are left; 0 if there is none. */
static uint32_t find_record(uint8_t *bytes, uint32_t length)
{
    if (length < record_size(1) || little_endian_load32(bytes + RECORD_MAGIC) != MAGIC)
        return 0;
    uint32_t sectors = little_endian_load32(bytes + RECORD_SECTORS),
             checksum = little_endian_load32(bytes + RECORD_CHECKSUM);
    if (sectors == 0 || sectors > VHD_LOG_SECTORS || record_size(sectors) > length)
        return 0;
    little_endian_store32(bytes + RECORD_CHECKSUM, 0);
    return crc32c(0, bytes, record_size(sectors)) == checksum ? sectors : 0;
}

static int visit_record(const uint8_t *bytes, uint32_t sectors, vhd_log_visit *visit, void *context)
{
    uint64_t sector = little_endian_load64(bytes + RECORD_SECTOR);
    int error = sectors > UINT64_MAX - sector ? EUCLEAN : 0;
    for (uint32_t i = 0; i < sectors && !error; i++)
        error = visit(context, sector + i, little_endian_load32(bytes + record_size(i)));
    return error;
}

int vhd_log_read(struct disk_file *file, uint64_t offset, vhd_log_visit *visit, void *context)
{
    uint8_t *bytes = malloc(VHD_LOG_SIZE);
    int error = bytes ? disk_file_read_padded(file, bytes, VHD_LOG_SIZE, offset) : ENOMEM;
    uint32_t sectors;
    for (uint32_t place = 0; !error && (sectors = find_record(bytes + place, VHD_LOG_SIZE - place));
         place += record_size(sectors))
        error = visit_record(bytes + place, sectors, visit, context);
    free(bytes);
    return error;
}
