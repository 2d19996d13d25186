/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The host's file system as the engine sees it: what is asked for by name. Everything else in the engine works on
 * descriptors that are open. So a process that may open nothing can read and change images, if it has another do this
 * for it (tools/loam/broker.h).
 */
#ifndef DISK_HOST_FILES_H
#define DISK_HOST_FILES_H

#include <limits.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <time.h>

#include "partitions/root/disk/error.h"

struct new_file;
struct remote_source;

struct host_files {
    /* As image_file_open: the descriptor of the file, which is of a usable kind and locked; -1 with `error`. */
    int (*open_image)(const char *path, unsigned flags, struct disk_error *error);

    /* Has what is at a URL fetched: the other end of a loam-fetch's socket, which has found the source; -1 with
     * `error`. A source whose size is 0 is not known yet. */
    int (*open_source)(const struct remote_source *source, struct disk_error *error);

    /* As in new_file.h. */
    bool (*begin_file)(struct new_file *file, const char *path, bool replace, struct disk_error *error);
    bool (*commit_file)(struct new_file *file, struct disk_error *error);
    void (*abandon_file)(struct new_file *file);

    /*
     * Where the file is that the image `child` calls `name`: an absolute path, or one from the directory in which the
     * child's file really is. If there is none, one whose name differs in case only will do. False: there is none.
     */
    bool (*find_parent)(const char *child, const char *name, char found[PATH_MAX]);

    /* As realpath(3) and stat(2), of a file that was opened, found or listed, or of the directory that it is in. 0 or
     * an errno. */
    int (*real_path)(const char *path, char real[PATH_MAX]);
    int (*status)(const char *path, struct stat *status);

    /* The names that are in a file's directory: a descriptor to read them from, each with a NUL at its end; -1 if the
     * directory cannot be read. */
    int (*list_beside)(const char *path);

    /* Removes the file that is open, for good, if it still has the name, and not a link to it; ESTALE if it has not. 0
     * or an errno. */
    int (*remove)(const char *path, int descriptor);

    /* As futimens(3) of the file that is open and has the name. Whether it works matters to nobody. */
    void (*set_times)(const char *path, int descriptor, const struct timespec times[2]);
};

/* This process does it itself. */
extern const struct host_files host_files_direct;

/* Whom the engine asks. Those above, unless the program has put others in their place, once, before it uses the engine.
 */
extern const struct host_files *host_files;

#endif
