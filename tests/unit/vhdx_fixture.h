/* SPDX-License-Identifier: GPL-2.0-or-later */
/* VHDX images in memory for tests: made, opened, read the way a disk reads them, and checked. */
#ifndef TESTS_VHDX_FIXTURE_H
#define TESTS_VHDX_FIXTURE_H

#include "partitions/root/disk/check.h"
#include "partitions/root/disk/image.h"
#include "partitions/root/disk/vhdx/create.h"
#include "tests/unit/memory_file.h"

/* Where vhdx_create puts things. */
#define VHDX_FIXTURE_LOG      (1u << 20)
#define VHDX_FIXTURE_METADATA (2u << 20)
#define VHDX_FIXTURE_BAT      (3u << 20)
#define VHDX_FIXTURE_BLOCKS   (4u << 20)

struct vhdx_fixture {
    struct memory_file memory;
    struct metadata_cache *cache;
    struct disk_image *image;
    /* A differencing image's parent: sectors, as many as the image's. NULL: zeros. */
    const uint8_t *parent;
};

/* Makes an image in `memory`, which is initialized. A differencing one gets a parent of some name. */
void vhdx_fixture_create(struct memory_file *memory, enum disk_format format, uint64_t size, uint32_t logical_sector);

/* A fixture around a copy of the file, without parent, not open. */
void vhdx_fixture_begin(struct vhdx_fixture *fixture, const struct memory_file *memory);
void vhdx_fixture_end(struct vhdx_fixture *fixture);

void vhdx_fixture_open(struct vhdx_fixture *fixture, unsigned flags);
int vhdx_fixture_close(struct vhdx_fixture *fixture);
/* The process dies: what is in memory is gone, and the file is as it is. */
void vhdx_fixture_kill(struct vhdx_fixture *fixture);

int vhdx_fixture_read(struct vhdx_fixture *fixture, void *buffer, uint64_t sector, uint32_t sectors);
int vhdx_fixture_write(struct vhdx_fixture *fixture, const void *buffer, uint64_t sector, uint32_t sectors);
int vhdx_fixture_discard(struct vhdx_fixture *fixture, uint64_t sector, uint32_t sectors);
int vhdx_fixture_flush(struct vhdx_fixture *fixture);

/* Findings of vhdx_check at each level; errors are printed. Fails if it could not be done. */
struct disk_check_result vhdx_fixture_check(struct memory_file *memory);

#endif
