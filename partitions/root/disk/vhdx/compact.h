/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Taking blocks out of a dynamic or differencing VHDX, and closing the gaps that they leave. */
#ifndef DISK_VHDX_COMPACT_H
#define DISK_VHDX_COMPACT_H

#include "partitions/root/disk/compact.h"

/*
 * Gives up the blocks that are not needed, those of zeros, and sector bitmap blocks of chunks none of whose blocks is
 * partially present; see compact.h. The last blocks of the file move into the first gaps that are large enough; gaps
 * that remain become holes. The image is open for writing unless this is a dry run, and in no other use. It keeps its
 * identifier. Progress is reported from half of `total` on. False with `error`; EUCLEAN if it is damaged.
 */
bool vhdx_compact(struct disk_file *file, const struct disk_compact_blocks *blocks, uint64_t total,
                  const struct disk_compact_options *options, struct disk_compact_result *result,
                  struct disk_error *error);

#endif
