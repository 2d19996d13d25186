/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Telling what is wrong with a VHDX. */
#ifndef DISK_VHDX_ERROR_H
#define DISK_VHDX_ERROR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "partitions/root/disk/error.h"
#include "partitions/root/disk/file.h"

/*
 * EUCLEAN: "a damaged VHDX: FIELD at byte OFFSET is ...", where `format` says what. `field` is the specification's
 * name, `offset` is where it stands in the file. Always false, for the caller to return.
 */
bool vhdx_damaged(struct disk_error *error, const struct disk_file *file, const char *field, uint64_t offset,
                  const char *format, ...) __attribute__((format(printf, 5, 6)));

/* Reads, and tells what went wrong. */
bool vhdx_read(struct disk_file *file, void *buffer, size_t length, uint64_t offset, struct disk_error *error);

#endif
