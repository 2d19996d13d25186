/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/disk/vhdx/edit.h"

#include <errno.h>

#include "partitions/root/disk/vhdx/image.h"

bool vhdx_edit_begin(struct vhdx_edit *edit, struct disk_file *file, unsigned flags, struct disk_error *error)
{
    edit->image = NULL;
    edit->cache = metadata_cache_create();
    if (!edit->cache) {
        disk_error_set(error, ENOMEM, file->name, "no memory");
        return false;
    }
    edit->image = (struct vhdx_image *)vhdx_open(file, flags, edit->cache, error);
    if (!edit->image)
        metadata_cache_destroy(edit->cache);
    return edit->image;
}

int vhdx_edit_end(struct vhdx_edit *edit)
{
    struct disk_image *image = &edit->image->disk;
    struct disk_file *file = image->file;
    bool read_only = image->read_only;
    int error = image->operations->close(image);
    metadata_cache_destroy(edit->cache);
    return error || read_only ? error : disk_file_synchronize(file);
}
