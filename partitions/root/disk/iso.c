/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/disk/iso.h"

#include <errno.h>
#include <string.h>

/* The first volume descriptor is that of the primary volume (ECMA-119, 6.3 and 8.4). */
#define DESCRIPTOR_BLOCK  16u
#define DESCRIPTOR_TYPE   1
#define DESCRIPTOR_NAME   "CD001"
#define OFFSET_NAME       1
#define OFFSET_SPACE_SIZE 80  /* in logical blocks; least significant byte first, then the other way round */
#define OFFSET_BLOCK_SIZE 128 /* likewise */
#define SMALLEST_LOGICAL  512u

static uint32_t little_endian(const uint8_t *bytes, unsigned length)
{
    uint32_t value = 0;
    for (unsigned i = length; i-- > 0;)
        value = value << 8 | bytes[i];
    return value;
}

/* How many bytes the volume has by its descriptor; 0 if that is none, or says nothing sensible. */
static uint64_t volume_size(const uint8_t descriptor[ISO_BLOCK_SIZE])
{
    uint32_t block = little_endian(descriptor + OFFSET_BLOCK_SIZE, 2);
    if (descriptor[0] != DESCRIPTOR_TYPE ||
        memcmp(descriptor + OFFSET_NAME, DESCRIPTOR_NAME, strlen(DESCRIPTOR_NAME)) != 0)
        return 0;
    if (block < SMALLEST_LOGICAL || block > ISO_BLOCK_SIZE || (block & (block - 1)) != 0)
        return 0;
    return (uint64_t)little_endian(descriptor + OFFSET_SPACE_SIZE, 4) * block;
}

bool iso_check(struct disk_file *file, uint64_t size, struct disk_error *error)
{
    if (size == 0) {
        disk_error_set(error, EINVAL, file->name, "no disc image: it is empty");
        return false;
    }
    if (size % ISO_BLOCK_SIZE != 0) {
        disk_error_set(error, EINVAL, file->name,
                       "no whole disc image: its size of %llu bytes is not a multiple of 2048; it may not have been "
                       "copied to the end",
                       (unsigned long long)size);
        return false;
    }
    if (size / ISO_BLOCK_SIZE <= DESCRIPTOR_BLOCK)
        return true;

    uint8_t descriptor[ISO_BLOCK_SIZE];
    int result = disk_file_read_buffer(file, descriptor, sizeof(descriptor), DESCRIPTOR_BLOCK * ISO_BLOCK_SIZE);
    if (result) {
        disk_error_set(error, result, file->name, "cannot be read: %s", strerror(result));
        return false;
    }
    uint64_t volume = volume_size(descriptor);
    if (volume > size) {
        disk_error_set(error, EUCLEAN, file->name,
                       "truncated: the file has %llu bytes, and the file system in it %llu; copy it again",
                       (unsigned long long)size, (unsigned long long)volume);
        return false;
    }
    return true;
}
