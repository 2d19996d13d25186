/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Any bytes as a VHD file: opening, checking, reading and writing neither crash nor hang, and what the engine
 * agrees to write stays an image that it agrees with, and that holds what was written.
 *
 * A differencing image gets a parent, if it says that it is the child of that one.
 *
 * The first byte of the input says what is mended before, since no fuzzer finds checksums; the next three
 * choose the requests; the rest is the file. The harness makes its own first inputs: see
 * LLVMFuzzerCustomMutator.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "partitions/root/disk/check.h"
#include "partitions/root/disk/compact.h"
#include "partitions/root/disk/create.h"
#include "partitions/root/disk/chain.h"
#include "partitions/root/disk/vhd/vhd.h"
#include "partitions/root/disk/vhd/create.h"
#include "tests/unit/memory_file.h"

#define CONTROL_BYTES 4u
/* Files do not grow further; what would is out of space, which is one more thing to try. */
#define LARGEST_FILE    (4u << 20)
#define REQUEST_SECTORS 64u
#define REQUESTS        16u

#define PARENT_SECTORS 40u
#define HEADER_PARENT  (VHD_FOOTER_SIZE + 40u) /* where the parent's identifier is in images made here */

enum { SEAL_START = 1, SEAL_HEADER = 2, SEAL_END = 4, COPY_TO_END = 8, RAW = 16, SHORT_TRANSFERS = 32, ADOPT = 64 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t maximum);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t maximum, unsigned seed);

static void require(bool condition)
{
    if (!condition)
        abort();
}

/* Of all differencing images. */
static struct memory_file *parent_file(void)
{
    static struct memory_file parent;
    if (!parent.bytes) {
        memory_file_initialize(&parent);
        require(disk_create_in(&parent.file, PARENT_SECTORS * DISK_SECTOR_SIZE, DISK_FORMAT_FIXED, 0) == 0);
        memset(parent.bytes, 0x77, PARENT_SECTORS * DISK_SECTOR_SIZE);
        memory_file_reset(&parent);
    }
    return &parent;
}

static const uint8_t *parent_identifier(void)
{
    return parent_file()->bytes + PARENT_SECTORS * DISK_SECTOR_SIZE + 68;
}

static struct disk *open_image(struct memory_file *memory, unsigned flags)
{
    struct disk_error error;
    struct disk_file *files[] = {&memory->file, &parent_file()->file};
    struct disk *disk = disk_open_file(&memory->file, flags, &error);
    return disk || error.code != ENOLINK ? disk : disk_open_files(files, 2, flags, &error);
}

static void mend(struct memory_file *memory, unsigned what)
{
    uint8_t *bytes = memory->bytes;
    size_t size = memory->size;
    if (size < VHD_FOOTER_SIZE)
        return;
    if ((what & ADOPT) && size >= VHD_FOOTER_SIZE + VHD_HEADER_SIZE)
        memcpy(bytes + HEADER_PARENT, parent_identifier(), 16);
    if (what & SEAL_START)
        vhd_footer_seal(bytes);
    if ((what & SEAL_HEADER) && size >= VHD_FOOTER_SIZE + VHD_HEADER_SIZE)
        vhd_header_seal(bytes + VHD_FOOTER_SIZE);
    if ((what & COPY_TO_END) && size >= 2 * VHD_FOOTER_SIZE)
        memcpy(bytes + size - VHD_FOOTER_SIZE, bytes, VHD_FOOTER_SIZE);
    if (what & SEAL_END)
        vhd_footer_seal(bytes + size - VHD_FOOTER_SIZE);
}

static void look_at_finding(void *context, enum disk_check_level level, const char *text)
{
    (void)context;
    require(level < DISK_CHECK_LEVELS && strlen(text) < 1024);
}

/* Where request number `number` goes: near the start, near the end, or anywhere. */
static uint64_t choose_sector(const struct disk *disk, const uint8_t *control, unsigned number, uint32_t sectors)
{
    uint64_t last = disk_sectors(disk) - sectors;
    uint64_t spread = (control[1] | (uint64_t)control[2] << 8 | (uint64_t)control[3] << 16) * (number + 1);
    switch (number % 3) {
    case 0:
        return spread % (last < 1024 ? last + 1 : 1024);
    case 1:
        return last - spread % (last < 1024 ? last + 1 : 1024);
    default:
        return spread * 977 % (last + 1);
    }
}

/* A hash of what was read; what cannot be read counts as nothing. */
static uint64_t read_all_over(struct disk *disk, const uint8_t *control)
{
    static uint8_t bytes[REQUEST_SECTORS * DISK_SECTOR_SIZE];
    uint64_t hash = 0;
    for (unsigned i = 0; i < REQUESTS; i++) {
        uint32_t sectors = 1 + (control[1] + i * 7) % REQUEST_SECTORS;
        if (sectors > disk_sectors(disk))
            sectors = (uint32_t)disk_sectors(disk);
        if (disk_transfer(disk, DISK_READ, bytes, choose_sector(disk, control, i, sectors), sectors) != 0)
            continue;
        for (uint32_t j = 0; j < sectors * DISK_SECTOR_SIZE; j++)
            hash = (hash ^ bytes[j]) * 0x100000001b3u;
    }
    return hash;
}

/* Every request that succeeds is read back. */
static void write_all_over(struct disk *disk, const uint8_t *control)
{
    static uint8_t bytes[REQUEST_SECTORS * DISK_SECTOR_SIZE], read[sizeof(bytes)];
    for (unsigned i = 0; i < REQUESTS; i++) {
        uint32_t sectors = 1 + (control[2] + i * 5) % REQUEST_SECTORS;
        if (sectors > disk_sectors(disk))
            sectors = (uint32_t)disk_sectors(disk);
        uint64_t sector = choose_sector(disk, control, i, sectors);
        memset(bytes, (int)i + 1, sizeof(bytes));
        if (disk_transfer(disk, DISK_WRITE, bytes, sector, sectors) != 0)
            continue;
        require(disk_transfer(disk, DISK_READ, read, sector, sectors) == 0);
        require(memcmp(read, bytes, (size_t)sectors * DISK_SECTOR_SIZE) == 0);
        if (i % 4 == 3)
            require(disk_transfer(disk, DISK_FLUSH, NULL, 0, 0) == 0);
    }
}

static uint64_t count_errors(struct memory_file *memory)
{
    struct disk_check_result result;
    struct disk_error error;
    if (!disk_check_file(&memory->file, look_at_finding, NULL, &result, &error))
        return UINT64_MAX;
    return result.count[DISK_CHECK_ERROR];
}

/* Compacting changes nothing that is read, and leaves a sound image; what it cannot do it refuses. */
static void compact(struct memory_file *memory, bool raw, const uint8_t *control)
{
    const struct disk_compact_options options = {.raw = raw};
    struct disk_compact_result result;
    struct disk_file *files[] = {&memory->file, &parent_file()->file};
    struct disk_error error;
    struct disk *disk = open_image(memory, DISK_OPEN_READ_ONLY | (raw ? DISK_OPEN_RAW : 0));
    require(disk != NULL);
    unsigned count = disk->image_count;
    uint64_t before = read_all_over(disk, control);
    disk_close(disk);
    disk_compact_files(files, count, &options, &result, &error);
    disk = open_image(memory, DISK_OPEN_READ_ONLY | (raw ? DISK_OPEN_RAW : 0));
    require(disk != NULL && read_all_over(disk, control) == before);
    disk_close(disk);
    require(raw || count_errors(memory) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < CONTROL_BYTES || size > LARGEST_FILE)
        return 0;
    struct memory_file memory;
    memory_file_initialize(&memory);
    memory_file_set(&memory, data + CONTROL_BYTES, size - CONTROL_BYTES);
    mend(&memory, data[0]);
    memory.limit = LARGEST_FILE;
    memory.short_transfers = data[0] & SHORT_TRANSFERS;
    unsigned raw = data[0] & RAW ? DISK_OPEN_RAW : 0;

    uint64_t errors = count_errors(&memory);
    struct disk *disk = open_image(&memory, DISK_OPEN_READ_ONLY | raw);
    if (disk) {
        read_all_over(disk, data);
        disk_close(disk);
    }
    disk = raw ? open_image(&memory, DISK_OPEN_ISO) : NULL;
    if (disk) {
        read_all_over(disk, data);
        disk_close(disk);
    }
    require(memory.changes == 0);
    disk = open_image(&memory, raw);
    if (disk) {
        require(raw || errors == 0);
        write_all_over(disk, data);
        disk_close(disk);
        require(raw || count_errors(&memory) == 0);
        disk = open_image(&memory, raw);
        require(disk != NULL);
        disk_close(disk);
        compact(&memory, raw, data);
    }
    require(parent_file()->changes == 0);
    memory_file_release(&memory);
    return 0;
}

static int make_file(struct disk_file *file, enum disk_format format, unsigned seed)
{
    uint64_t size = DISK_SECTOR_SIZE * (1 + seed / 7 % 64);
    uint32_t block_size = 512u << seed / 11 % 5;
    struct vhd_child child = {
        .size = size, .block_size = block_size, .relative_path = "parent.vhd", .absolute_path = "/a/parent.vhd"};
    memcpy(child.identifier, parent_identifier(), sizeof(child.identifier));
    if (seed % 3 == 0)
        return vhd_create_child(file, &child);
    return disk_create_in(file, size, format, block_size);
}

/* A small sound image, now and then, as something to start from. */
static size_t make_image(uint8_t *data, size_t maximum, unsigned seed)
{
    struct memory_file memory;
    memory_file_initialize(&memory);
    enum disk_format format = seed % 4 ? DISK_FORMAT_DYNAMIC : DISK_FORMAT_FIXED;
    size_t size = 0;
    if (make_file(&memory.file, format, seed) == 0) {
        struct disk *disk = open_image(&memory, 0);
        if (seed & 256)
            write_all_over(disk, (const uint8_t[CONTROL_BYTES]){0, (uint8_t)seed, 3, 0});
        disk_close(disk);
        if (memory.size + CONTROL_BYTES <= maximum) {
            memset(data, SEAL_START | SEAL_HEADER | COPY_TO_END | ADOPT, CONTROL_BYTES);
            memcpy(data + CONTROL_BYTES, memory.bytes, memory.size);
            size = memory.size + CONTROL_BYTES;
        }
    }
    memory_file_release(&memory);
    return size;
}

/* Puts a number that may mean something where the format has one. */
static void change_number(uint8_t *file, size_t size, unsigned seed)
{
    /* Sizes, geometry, type, offsets, entries of the table: the layout of the images made here. */
    static const uint16_t places[] = {16, 20, 48, 52, 56, 60, 512 + 16, 512 + 20, 512 + 28, 512 + 32};
    size_t place = seed % 32 < 10 ? places[seed % 32] : 1536 + seed / 32 % 64 * 4;
    if (place + 4 > size)
        return;
    uint32_t values[] = {
        seed / 2048 % 16,
        seed / 2048 % 128,
        (uint32_t)(size / DISK_SECTOR_SIZE) - seed / 2048 % 16,
        512u << seed / 2048 % 24,
        vhd_load_entry(file + place) + seed / 2048 % 5 - 2,
        UINT32_MAX - seed / 2048 % 3,
    };
    vhd_store_entry(file + place, values[seed / 7 % (sizeof(values) / sizeof(values[0]))]);
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t maximum, unsigned seed)
{
    if (size < VHD_FOOTER_SIZE + CONTROL_BYTES || seed % 64 == 0) {
        size_t made = make_image(data, maximum, seed / 64);
        if (made)
            return made;
    }
    if (size >= VHD_FOOTER_SIZE + CONTROL_BYTES && seed % 64 < 24) {
        change_number(data + CONTROL_BYTES, size - CONTROL_BYTES, seed / 64);
        return size;
    }
    return LLVMFuzzerMutate(data, size, maximum);
}
