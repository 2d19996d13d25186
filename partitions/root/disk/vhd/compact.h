/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Taking blocks out of a dynamic or differencing VHD, and closing the gaps that they leave. */
#ifndef DISK_VHD_COMPACT_H
#define DISK_VHD_COMPACT_H

#include "partitions/root/disk/compact.h"

/*
 * Gives up the blocks whose bits are set in `unneeded`, a bit for each of the disk, the least significant first; see
 * compact.h. The image is open for writing unless this is a dry run, in order, and in no other use. Progress is
 * reported from half of `total` on. False with `error`.
 */
bool vhd_compact(struct disk_file *file, const uint8_t *unneeded, uint64_t total,
                 const struct disk_compact_options *options, struct disk_compact_result *result,
                 struct disk_error *error);

#endif
