/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/disk/create.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "partitions/root/disk/chain.h"
#include "partitions/root/disk/new_file.h"
#include "partitions/root/disk/image_open.h"
#include "partitions/root/disk/parent_paths.h"
#include "partitions/root/disk/remote_source_file.h"
#include "partitions/root/disk/space.h"
#include "partitions/root/disk/vhd/create.h"
#include "partitions/root/disk/vhdx/create.h"
#include "partitions/root/disk/vhdx/image.h"

#define SMALLEST_BLOCK_SIZE 4096u
#define LARGEST_RAW_SIZE    ((uint64_t)INT64_MAX / DISK_SECTOR_SIZE * DISK_SECTOR_SIZE)

/* Disks go into a VHDX if the file's name ends so, as with Hyper-V, and into a VHD otherwise. */
static bool is_vhdx(const char *path, enum disk_format format)
{
    return format != DISK_FORMAT_RAW && disk_container_by_name(path) == DISK_CONTAINER_VHDX;
}

uint32_t disk_default_block_size(const char *path, enum disk_format format)
{
    if (!is_vhdx(path, format))
        return VHD_DEFAULT_BLOCK_SIZE;
    return format == DISK_FORMAT_DIFFERENCING ? VHDX_DEFAULT_DIFFERENCING_BLOCK : VHDX_DEFAULT_BLOCK;
}

static bool check_block_size(const char *path, uint64_t size, uint32_t block_size, struct disk_error *error)
{
    if (block_size < SMALLEST_BLOCK_SIZE || (block_size & (block_size - 1))) {
        disk_error_set(error, EINVAL, path, "a block size of %u: it must be a power of two of at least %u", block_size,
                       SMALLEST_BLOCK_SIZE);
        return false;
    }
    if ((size + block_size - 1) / block_size > VHD_MAXIMUM_BLOCKS) {
        disk_error_set(error, EINVAL, path, "a block size of %u is too small for so large a disk", block_size);
        return false;
    }
    return true;
}

static bool check_vhdx(const char *path, const struct vhdx_creation *creation, struct disk_error *error)
{
    const char *fault = vhdx_creation_fault(creation);
    if (fault)
        disk_error_set(error, EINVAL, path, "%s", fault);
    return !fault;
}

static bool check_vhd(const char *path, uint64_t size, enum disk_format format, uint32_t block_size,
                      struct disk_error *error)
{
    if (size > VHD_MAXIMUM_SIZE) {
        disk_error_set(
            error, EFBIG, path,
            "a size of %llu bytes is too large: a VHD has at most 2040 GiB; a VHDX, whose name ends with .vhdx, "
            "has up to 64 TiB",
            (unsigned long long)size);
        return false;
    }
    return format == DISK_FORMAT_FIXED || check_block_size(path, size, block_size, error);
}

/* What is wanted, of which a VHD has no logical sectors but those of 512 bytes, and a raw image nothing but a size. */
static bool check(const char *path, const struct vhdx_creation *wanted, struct disk_error *error)
{
    uint64_t size = wanted->size;
    if (size == 0 || size % DISK_SECTOR_SIZE != 0)
        disk_error_set(error, EINVAL, path, "a size of %llu bytes: it must be a multiple of 512, and not 0",
                       (unsigned long long)size);
    else if (is_vhdx(path, wanted->format))
        return check_vhdx(path, wanted, error);
    else if (wanted->format == DISK_FORMAT_RAW && size > LARGEST_RAW_SIZE)
        disk_error_set(error, EFBIG, path, "a size of %llu bytes is too large", (unsigned long long)size);
    else if (wanted->format != DISK_FORMAT_RAW && !check_vhd(path, size, wanted->format, wanted->block_size, error))
        return false;
    else if (wanted->logical_sector != 0 && wanted->logical_sector != DISK_SECTOR_SIZE)
        disk_error_set(error, EINVAL, path,
                       "logical sectors of %u bytes: only a VHDX, whose name ends with .vhdx, has them",
                       wanted->logical_sector);
    else
        return true;
    return false;
}

bool disk_check_size(const char *path, uint64_t size, enum disk_format format, uint32_t block_size,
                     struct disk_error *error)
{
    return check(path, &(struct vhdx_creation){.format = format, .size = size, .block_size = block_size}, error);
}

static int make_empty(struct disk_file *file, const struct vhdx_creation *wanted)
{
    if (is_vhdx(file->name, wanted->format))
        return vhdx_create(file, wanted);
    switch (wanted->format) {
    case DISK_FORMAT_FIXED:
        return vhd_create_fixed(file, wanted->size);
    case DISK_FORMAT_DYNAMIC:
        return vhd_create_dynamic(file, wanted->size, wanted->block_size);
    default:
        return disk_file_truncate(file, wanted->size);
    }
}

int disk_create_in(struct disk_file *file, uint64_t size, enum disk_format format, uint32_t block_size)
{
    return make_empty(file, &(struct vhdx_creation){.format = format, .size = size, .block_size = block_size});
}

static int make_image(struct disk_file *file, const struct vhdx_creation *wanted,
                      const struct disk_create_options *options)
{
    uint64_t size = wanted->size;
    uint64_t file_size = is_vhdx(file->name, wanted->format) ? vhdx_created_size(wanted) : size;
    int error = 0;
    if (wanted->format != DISK_FORMAT_DYNAMIC && !options->sparse)
        error = disk_allocate_space(file, 0, file_size, &options->progress);
    if (!error)
        error = make_empty(file, wanted);
    if (!error && !disk_progress_step(&options->progress, size, size))
        error = ECANCELED;
    return error;
}

/* Gives the new file its name if it was filled without error, and removes it otherwise. `file` may be NULL. */
static bool finish_file(struct new_file *new_file, struct disk_file *file, int result, struct disk_error *error)
{
    if (file)
        disk_file_close(file);
    if (!result)
        return new_file_commit(new_file, error);
    disk_error_set(error, result, new_file->path, "%s", result == ECANCELED ? "cancelled" : strerror(result));
    new_file_abandon(new_file);
    return false;
}

bool disk_create(const char *path, uint64_t size, enum disk_format format, const struct disk_create_options *options,
                 struct disk_error *error)
{
    static const struct disk_create_options defaults;
    if (!options)
        options = &defaults;
    const struct vhdx_creation wanted = {
        .format = format,
        .size = size,
        .block_size = options->block_size ? options->block_size : disk_default_block_size(path, format),
        .logical_sector = options->logical_sector,
    };
    struct new_file new_file;
    if (!check(path, &wanted, error) || !new_file_begin(&new_file, path, options->replace, error))
        return false;
    struct disk_file *file = new_file_wrap(&new_file);
    return finish_file(&new_file, file, file ? make_image(file, &wanted, options) : ENOMEM, error);
}

/* ---- Differencing disks ---- */

static bool check_parent(const char *path, const struct disk_image *parent, const char *name, struct disk_error *error)
{
    enum disk_container container = parent->container;
    if (container == DISK_CONTAINER_NONE)
        disk_error_set(error, EOPNOTSUPP, path, "%s is a raw image, which cannot be a parent: convert it first", name);
    else if (is_vhdx(path, DISK_FORMAT_DIFFERENCING) != (container == DISK_CONTAINER_VHDX))
        disk_error_set(error, EOPNOTSUPP, path,
                       "its parent %s is a %s, so that it has to be one too: give it a name that ends with .%s", name,
                       disk_container_name(container), container == DISK_CONTAINER_VHDX ? "vhdx" : "vhd");
    else
        return true;
    return false;
}

/* Where the parent is: by its paths, or at a URL. */
struct parent_place {
    struct parent_paths paths;
    const struct remote_source *remote; /* NULL: it is a file */
};

static int create_vhdx_child(struct disk_file *file, const struct disk_image *parent, const struct parent_place *place,
                             uint32_t block_size)
{
    struct vhdx_parent link = {.remote = place->remote};
    if (!place->remote) {
        link.relative_path = place->paths.relative;
        link.absolute_path = place->paths.absolute;
    }
    const struct vhdx_creation creation = {
        .format = DISK_FORMAT_DIFFERENCING,
        .size = parent->sectors * DISK_SECTOR_SIZE,
        .block_size = block_size,
        .logical_sector = parent->write_unit * DISK_SECTOR_SIZE,
        .disk_id = parent->container == DISK_CONTAINER_VHDX ? vhdx_disk_id(parent) : NULL,
        .parent = &link,
    };
    memcpy(link.identifier, parent->identifier, sizeof(link.identifier));
    return vhdx_create(file, &creation);
}

static int create_vhd_child(struct disk_file *file, const struct disk_image *parent, const struct parent_place *place,
                            uint32_t block_size)
{
    struct vhd_child child = {
        .size = parent->sectors * DISK_SECTOR_SIZE,
        .geometry = parent->container == DISK_CONTAINER_VHD ? parent->footer_geometry : vhd_geometry(parent->sectors),
        .block_size = block_size,
        .timestamp = disk_file_modified(parent->file),
        .remote = place->remote,
        .relative_path = place->paths.relative,
        .absolute_path = place->paths.absolute,
    };
    memcpy(child.identifier, parent->identifier, sizeof(child.identifier));
    return vhd_create_child(file, &child);
}

/* As the options have it, or the parent has it, if it has blocks. */
static uint32_t block_size_of_child(const char *path, const struct disk_image *parent,
                                    const struct disk_create_options *options)
{
    if (options->block_size)
        return options->block_size;
    if (parent->block_size && parent->container == DISK_CONTAINER_VHD)
        return parent->block_size;
    return disk_default_block_size(path, DISK_FORMAT_DIFFERENCING);
}

static bool make_child(const char *path, const struct disk_image *parent, const struct parent_place *place,
                       const struct disk_create_options *options, struct disk_error *error)
{
    uint32_t block_size = block_size_of_child(path, parent, options);
    struct new_file new_file;
    if (!disk_check_size(path, parent->sectors * DISK_SECTOR_SIZE, DISK_FORMAT_DIFFERENCING, block_size, error) ||
        !new_file_begin(&new_file, path, options->replace, error))
        return false;
    struct disk_file *file = new_file_wrap(&new_file);
    int result = ENOMEM;
    if (file && is_vhdx(path, DISK_FORMAT_DIFFERENCING))
        result = create_vhdx_child(file, parent, place, block_size);
    else if (file)
        result = create_vhd_child(file, parent, place, block_size);
    return finish_file(&new_file, file, result, error);
}

/* Of an image at a URL, which stays the caller's. */
static bool make_remote_child(const char *path, struct disk_image *parent, const struct remote_source *source,
                              const struct disk_create_options *options, struct disk_error *error)
{
    const struct parent_place place = {.remote = source};
    if (parent->differencing) {
        disk_error_set(error, EOPNOTSUPP, path,
                       "%s is a differencing disk itself, whose parents cannot be fetched: make a disk of it and them "
                       "there, with loam disk convert",
                       source->url);
        return false;
    }
    if (source->raw)
        remote_source_identifier(source, parent->identifier);
    else if (!check_parent(path, parent, source->url, error))
        return false;
    return make_child(path, parent, &place, options, error);
}

static bool create_remote_child(const char *path, const char *url, const struct disk_create_options *options,
                                struct disk_error *error)
{
    struct remote_source source = {.raw = options->parent_raw};
    if (snprintf(source.url, sizeof(source.url), "%s", url) >= (int)sizeof(source.url)) {
        disk_error_set(error, EINVAL, path, "the URL of its parent is too long");
        return false;
    }
    struct disk_error reason;
    struct disk_file *file = remote_source_open(&source, &reason);
    struct metadata_cache *cache = metadata_cache_create();
    unsigned flags = DISK_OPEN_READ_ONLY | (source.raw ? DISK_OPEN_RAW : 0);
    struct disk_image *parent = file && cache ? image_open(file, flags, cache, &reason) : NULL;
    bool made = parent && make_remote_child(path, parent, &source, options, error);
    if (!parent && file && !cache)
        disk_error_set(error, ENOMEM, path, "no memory");
    else if (!parent && file && reason.code == EMEDIUMTYPE)
        disk_error_set(error, EMEDIUMTYPE, path, "its parent %s; if it is a raw image, say so with --parent-raw",
                       reason.text);
    else if (!parent)
        disk_error_set(error, reason.code, path, "its parent %s", reason.text);
    if (parent)
        parent->operations->close(parent);
    if (file)
        disk_file_close(file);
    metadata_cache_destroy(cache);
    return made;
}

bool disk_create_child(const char *path, const char *parent, const struct disk_create_options *options,
                       struct disk_error *error)
{
    static const struct disk_create_options defaults;
    options = options ? options : &defaults;
    if (remote_source_is_url(parent))
        return create_remote_child(path, parent, options, error);
    struct disk *disk = disk_open(parent, DISK_OPEN_READ_ONLY, error);
    if (!disk)
        return false;
    const struct disk_image *image = disk_top(disk);
    struct parent_place place = {0};
    bool done = check_parent(path, image, parent, error) && parent_paths_find(&place.paths, path, parent, error) &&
                make_child(path, image, &place, options, error);
    disk_close(disk);
    return done;
}
