/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who may use an image file: one writer, or any number of readers (flock, so the kernel frees it with the
 * process). */
#ifndef DISK_LOCK_H
#define DISK_LOCK_H

#include <stdbool.h>

#include "partitions/root/disk/error.h"

/*
 * Locks the file without waiting, except for the end of a process that was killed. False, with EBUSY, the holder and
 * its name, if someone else's lock is in the way. The lock lasts until disk_unlock or until every copy of the
 * descriptor is closed.
 */
bool disk_lock(int descriptor, const char *name, bool exclusive, struct disk_error *error);
/* The same for a process that may open nothing: the holder stays unknown. */
bool disk_lock_confined(int descriptor, const char *name, bool exclusive, struct disk_error *error);
void disk_unlock(int descriptor);

#endif
