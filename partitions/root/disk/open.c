/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/disk/open.h"

#include <errno.h>
#include <string.h>

#include "partitions/root/disk/file.h"
#include "partitions/root/disk/format.h"
#include "partitions/root/disk/image_file.h"
#include "partitions/root/disk/iso.h"
#include "partitions/root/disk/linear.h"
#include "partitions/root/disk/vhd_dynamic.h"
#include "partitions/root/disk/vhd_metadata.h"

const char *disk_format_name(enum disk_format format)
{
    static const char *const names[] = {
        [DISK_FORMAT_RAW] = "raw",
        [DISK_FORMAT_FIXED] = "fixed",
        [DISK_FORMAT_DYNAMIC] = "dynamic",
    };
    return names[format];
}

enum disk_format disk_format(const struct disk *disk)
{
    return disk->format;
}

static struct disk *open_linear(struct disk_file *file, uint64_t size, enum disk_format format,
                                struct disk_geometry geometry, bool read_only, struct disk_error *error)
{
    struct disk *disk = linear_open();
    if (!disk) {
        disk_error_set(error, ENOMEM, file->name, "no memory");
        return NULL;
    }
    disk->file = file;
    disk->format = format;
    disk->sectors = size / DISK_SECTOR_SIZE;
    disk->geometry = vhd_identify_geometry(geometry, disk->sectors);
    disk->read_only = read_only;
    return disk;
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

static struct disk *open_raw(struct disk_file *file, unsigned flags, struct disk_error *error)
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
    return open_linear(file, size, DISK_FORMAT_RAW, vhd_geometry(size / DISK_SECTOR_SIZE),
                       flags & DISK_OPEN_READ_ONLY, error);
}

static struct disk *open_vhd(struct disk_file *file, bool read_only, struct disk_error *error)
{
    struct vhd_metadata metadata;
    if (!vhd_metadata_read(file, &metadata, error))
        return NULL;
    if (metadata.footer.type == VHD_FIXED)
        return open_linear(file, metadata.disk_size, DISK_FORMAT_FIXED, metadata.footer.geometry, read_only,
                           error);

    struct disk *disk = vhd_dynamic_open(file, &metadata, read_only, error);
    if (disk)
        disk->geometry = vhd_identify_geometry(metadata.footer.geometry, disk->sectors);
    return disk;
}

struct disk *disk_open_file(struct disk_file *file, unsigned flags, struct disk_error *error)
{
    if (flags & DISK_OPEN_RAW)
        return open_raw(file, flags, error);
    return open_vhd(file, flags & DISK_OPEN_READ_ONLY, error);
}

static struct disk *open_image(struct disk_file *file, unsigned flags, struct disk_error *error)
{
    struct disk *disk = file ? disk_open_file(file, flags, error) : NULL;
    if (file && !disk)
        image_file_close(file);
    return disk;
}

struct disk *disk_open_descriptor(int descriptor, const char *name, unsigned flags, struct disk_error *error)
{
    return open_image(image_file_wrap(descriptor, name, flags, error), flags, error);
}

struct disk *disk_open(const char *path, unsigned flags, struct disk_error *error)
{
    return open_image(image_file_open(path, flags, error), flags, error);
}

int disk_close(struct disk *disk)
{
    struct disk_file *file = disk->file;
    bool read_only = disk->read_only;
    int error = disk->operations->close(disk);
    int unwritten = read_only ? 0 : disk_file_synchronize(file);
    image_file_close(file);
    return error ? error : unwritten;
}
