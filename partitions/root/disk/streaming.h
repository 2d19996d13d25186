/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A disk whose last image is at a URL (remote_file.h): what is read of it is kept in the disk's first image, so that it
 * is fetched once. Before sectors are read that no local image has, and the remote one has data for, the pieces in
 * which they are are fetched and stored; then they are read as ever. While nothing else is to be done the rest is
 * fetched too.
 *
 * Of a piece what is absent is fetched at once, and stored where it is still absent when it comes: what the guest has
 * written meanwhile stays. A piece that is under way is waited for. Pieces have 256 KiB: on a line of 100 Mbit/s they
 * take 20 ms, about as long as the answer takes that comes before, so that a random read costs little more for the
 * piece than for its sectors, and a few of them at a time fill the line.
 *
 * Where a guest discards sectors they stay the first image's, or, if it has not got them, are as before: nothing that
 * was fetched is absent again. The metadata of the remote image are fetched again each time the disk is opened.
 *
 * With no space on the host a read that would store fails with ENOSPC, as a write does, and finds what has come already
 * when it is tried again. Were it answered without storing, the same would be fetched over and over until somebody
 * notices. If storing fails otherwise, reads are answered from the source.
 */
#ifndef DISK_STREAMING_H
#define DISK_STREAMING_H

#include <stdbool.h>
#include <stdint.h>

#include "partitions/root/disk/disk.h"

struct disk_file;

#define STREAMING_PIECE_SECTORS 512u
/* Pieces, or parts of them, that are under way at a time; of these so many for nobody yet, that a read has to wait for
 * at most. */
#define STREAMING_FETCHES    8u
#define STREAMING_PREFETCHES 4u

/* Readies a disk whose last image is remote. False: no memory. */
bool streaming_begin(struct disk *disk);
/* Keeps what has come, and lets go of the rest. For disks that have none of it, too. */
void streaming_end(struct disk *disk);

/* Sees to it that no sector of these has to be fetched: waits for what is. 0 or an errno. */
int streaming_bring(struct disk *disk, uint64_t sector, uint32_t sectors);

enum streaming_progress {
    STREAMING_DONE,  /* all is local, or the disk is none of these */
    STREAMING_WAITS, /* for what is under way, or for space */
    STREAMING_MORE,  /* there is more to do at once */
};

/* Does a little of what is to be done while there are no requests, without waiting for the source. */
enum streaming_progress streaming_prefetch(struct disk *disk);

/* From the disk's begin on so many bytes need not be fetched. Any thread may call it. */
uint64_t streaming_local(const struct disk *disk);

/* The file behind the URL, for remote_file's functions; NULL: all images are local. */
struct disk_file *streaming_source(const struct disk *disk);

#endif
