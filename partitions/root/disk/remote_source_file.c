/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/disk/remote_source_file.h"

#include <errno.h>
#include <string.h>

#include "partitions/root/disk/host_files.h"
#include "partitions/root/disk/open.h"
#include "partitions/root/disk/remote_file.h"

struct disk_file *remote_source_open(struct remote_source *source, struct disk_error *error)
{
    const char *fault = remote_source_check_url(source->url);
    if (fault) {
        disk_error_set(error, EINVAL, source->url, "%s", fault);
        return NULL;
    }
    int socket = host_files->open_source(source, error);
    struct disk_file *file = socket >= 0 ? remote_file_open(socket, source, false, error) : NULL;
    if (!file)
        return NULL;
    remote_file_set_patience(file, DISK_OPEN_PATIENCE);
    int result = remote_file_source(file, source);
    if (!result)
        return file;
    char status[FETCH_TEXT_SIZE];
    remote_file_status(file, status);
    disk_error_set(error, result, source->url, "%s", status[0] ? status : strerror(result));
    disk_file_close(file);
    return NULL;
}
