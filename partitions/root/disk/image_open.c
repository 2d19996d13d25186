/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/disk/image_open.h"

#include <errno.h>
#include <string.h>

#include "partitions/root/disk/iso.h"
#include "partitions/root/disk/linear.h"
#include "partitions/root/disk/vhd/image.h"
#include "partitions/root/disk/vhdx/image.h"

static const char vhdx_signature[] = "vhdxfile"; /* [MS-VHDX] 2.2.1 */

static struct disk_image *open_linear(struct disk_file *file, uint64_t size, enum disk_format format, bool read_only,
                                      struct disk_error *error)
{
    struct disk_image *image = linear_open(file, size);
    if (!image) {
        disk_error_set(error, ENOMEM, file->name, "no memory");
        return NULL;
    }
    image->format = format;
    image->sectors = size / DISK_SECTOR_SIZE;
    image->read_only = read_only;
    return image;
}

static bool check_raw(struct disk_file *file, uint64_t size, struct disk_error *error)
{
    if (size > 0 && size % DISK_SECTOR_SIZE == 0)
        return true;
    disk_error_set(error, EINVAL, file->name,
                   "no raw image: its size of %llu bytes is not a multiple of 512 (mend it with truncate -s %%512)",
                   (unsigned long long)size);
    return false;
}

static struct disk_image *open_raw(struct disk_file *file, unsigned flags, struct disk_error *error)
{
    uint64_t size;
    int result = disk_file_size(file, &size);
    if (result) {
        disk_error_set(error, result, file->name, "its size cannot be found out: %s", strerror(result));
        return NULL;
    }
    bool iso = (flags & DISK_OPEN_ISO) == DISK_OPEN_ISO;
    if (!(iso ? iso_check(file, size, error) : check_raw(file, size, error)))
        return NULL;
    struct disk_image *image = open_linear(file, size, DISK_FORMAT_RAW, flags & DISK_OPEN_READ_ONLY, error);
    if (image)
        image->geometry = vhd_identify_geometry(vhd_geometry(image->sectors), image->sectors);
    return image;
}

static struct disk_image *open_vhd(struct disk_file *file, unsigned flags, struct metadata_cache *cache,
                                   struct disk_error *error)
{
    struct vhd_metadata metadata;
    if (!vhd_metadata_read(file, &metadata, error))
        return NULL;
    bool read_only = flags & DISK_OPEN_READ_ONLY;
    struct disk_image *image = metadata.footer.type == VHD_FIXED
                                   ? open_linear(file, metadata.disk_size, DISK_FORMAT_FIXED, read_only, error)
                                   : vhd_image_open(file, &metadata, read_only, cache, error);
    if (!image)
        return NULL;
    image->geometry = vhd_identify_geometry(metadata.footer.geometry, image->sectors);
    image->container = DISK_CONTAINER_VHD;
    image->footer_geometry = metadata.footer.geometry;
    memcpy(image->identifier, metadata.footer.identifier, sizeof(image->identifier));
    return image;
}

/* ---- Which format it is ---- */

static bool begins_as_vhdx(struct disk_file *file)
{
    uint8_t bytes[sizeof(vhdx_signature) - 1];
    return disk_file_read_padded(file, bytes, sizeof(bytes), 0) == 0 &&
           memcmp(bytes, vhdx_signature, sizeof(bytes)) == 0;
}

static bool ends_as_vhd(struct disk_file *file)
{
    struct vhd_metadata metadata;
    return vhd_metadata_read(file, &metadata, NULL);
}

enum disk_container image_container(struct disk_file *file, struct disk_error *error)
{
    if (!begins_as_vhdx(file))
        return DISK_CONTAINER_VHD;
    if (!ends_as_vhd(file))
        return DISK_CONTAINER_VHDX;
    enum disk_container named = disk_container_by_name(file->name);
    if (named == DISK_CONTAINER_NONE)
        disk_error_set(error, EINVAL, file->name,
                       "it looks like a VHD and like a VHDX: give it a name that ends with what it is, .vhd or .vhdx");
    return named;
}

struct disk_image *image_open(struct disk_file *file, unsigned flags, struct metadata_cache *cache,
                              struct disk_error *error)
{
    if (flags & DISK_OPEN_RAW)
        return open_raw(file, flags, error);
    switch (image_container(file, error)) {
    case DISK_CONTAINER_VHD:
        return open_vhd(file, flags, cache, error);
    case DISK_CONTAINER_VHDX:
        return vhdx_open(file, flags, cache, error);
    default:
        return NULL;
    }
}
