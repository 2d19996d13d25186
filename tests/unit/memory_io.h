/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Asynchronous I/O on a file in memory: reads take effect when somebody waits for them, in an order that is left to
 * chance, and fail as the file is told to.
 */
#ifndef TESTS_MEMORY_IO_H
#define TESTS_MEMORY_IO_H

#include "partitions/root/disk/disk.h"
#include "tests/unit/memory_file.h"

/* The extents of the disk's requests are moved so, until another disk is attached. The disk is that of `memory`. */
void memory_io_attach(struct disk *disk, struct memory_file *memory);

/* The most operations that have been under way at a time since the last call. */
unsigned memory_io_most(void);

#endif
