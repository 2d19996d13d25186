/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The log of a VHD that is being written to: which sectors were written whose bits are not in the file yet
 * (vhd/image.h), each with the CRC of its contents. Who finds a log looks which of these contents are there, and sets
 * the bits of those; so nothing that was written is lost when the process is killed, and nothing has to wait for the
 * host's storage before a flush. After a loss of power any part of the log and of the contents may be missing: such
 * sectors are as they were.
 *
 * It lies before the footer at the file's end, in room that belongs to no block, and is gone when the image is closed.
 * Other programs take no notice of it. A record has, least significant byte first,
 *
 *     0  4  a magic number      8  8  the disk's sector
 *     4  4  sectors            16  4  CRC-32C of the record, with zeros in this place
 *    20  4  of each sector: CRC-32C of its contents
 */
#ifndef DISK_VHD_LOG_H
#define DISK_VHD_LOG_H

#include "partitions/root/disk/file.h"

#define VHD_LOG_SIZE    (128u << 10)
#define VHD_LOG_SECTORS 1024u /* of a record, at most */

struct vhd_log {
    uint64_t offset; /* byte of the file; 0: there is none */
    uint32_t used;   /* bytes */
};

/* Whether a record of so many sectors still goes in. */
bool vhd_log_has_room(const struct vhd_log *log, uint32_t sectors);

/* Adds a record, for which there is room: `sectors`, 1 to VHD_LOG_SECTORS, with these checksums. 0 or an errno. */
int vhd_log_append(struct vhd_log *log, struct disk_file *file, uint64_t sector, uint32_t sectors,
                   const uint32_t *checksums);

/* Everything in the log is durable: it begins anew. */
void vhd_log_clear(struct vhd_log *log);

/*
 * Calls `visit` for each sector of each record of the log at this place of the file, in order, until it returns an
 * errno. 0 or an errno. The numbers are as the file has them.
 */
typedef int vhd_log_visit(void *context, uint64_t sector, uint32_t checksum);
int vhd_log_read(struct disk_file *file, uint64_t offset, vhd_log_visit *visit, void *context);

#endif
