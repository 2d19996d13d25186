/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Any changes of sound VHDX files: opening, checking, reading, replaying and writing neither crash nor hang, and what
 * the engine agrees to write stays an image that it agrees with, and that holds what was written. So do compacting,
 * resizing, changing the parent's identifiers, and repairing, of which the last leaves no damage.
 *
 * A file has megabytes, most of them zeros. So the input is not the file: its first byte chooses one of those that the
 * harness makes, the next three the requests, and the rest are changes of numbers in places that mean something, after
 * which the checksums are right again.
 */
#include <stdlib.h>
#include <string.h>

#include "partitions/root/disk/check.h"
#include "partitions/root/disk/crc32c.h"
#include "partitions/root/disk/vhdx/check.h"
#include "partitions/root/disk/vhdx/compact.h"
#include "partitions/root/disk/vhdx/create.h"
#include "partitions/root/disk/vhdx/image.h"
#include "partitions/root/disk/vhdx/item.h"
#include "partitions/root/disk/vhdx/log_entry.h"
#include "partitions/root/disk/vhdx/parent.h"
#include "partitions/root/disk/vhdx/repair.h"
#include "partitions/root/disk/vhdx/resize.h"
#include "tests/fuzz/fuzz_input.h"
#include "tests/unit/memory_file.h"

#define MIB             (1u << 20)
#define SECTORS_PER_MIB (MIB / DISK_SECTOR_SIZE)
#define DISK_MIB        6u
/* Files do not grow further; what would is out of space, which is one more thing to try. */
#define LARGEST_FILE    (24u << 20)
#define LOG             (1u << 20)
#define METADATA        (2u << 20)
#define BAT             (3u << 20)
#define REQUEST_SECTORS 64u
#define REQUESTS        12u
#define CONTROL_BYTES   4u
#define MOST_CHANGES    64u

enum { WORK_FIRST = 0x10, SHORT_TRANSFERS = 0x40, UNSEALED = 0x80 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition)
{
    if (!condition)
        abort();
}

/* ---- The images to begin with ---- */

enum { DYNAMIC, DIFFERENCING, LEFT_OPEN, DIFFERENCING_LEFT_OPEN, FIXED, TEMPLATES };
static struct memory_file templates[TEMPLATES];

static int write_stretch(struct disk_image *image, const void *bytes, uint64_t sector, uint32_t sectors)
{
    const struct iovec vector = {.iov_base = (void *)bytes, .iov_len = (size_t)sectors * DISK_SECTOR_SIZE};
    struct disk_cursor cursor = {.vector = &vector};
    return image->operations->write(image, &cursor, sector, sectors);
}

static void make_template(unsigned which)
{
    static const enum disk_format formats[] = {
        [DYNAMIC] = DISK_FORMAT_DYNAMIC,   [DIFFERENCING] = DISK_FORMAT_DIFFERENCING,
        [LEFT_OPEN] = DISK_FORMAT_DYNAMIC, [DIFFERENCING_LEFT_OPEN] = DISK_FORMAT_DIFFERENCING,
        [FIXED] = DISK_FORMAT_FIXED,
    };
    static const struct vhdx_parent parent = {.relative_path = "../parent.vhdx", .absolute_path = "/parent.vhdx"};
    static const uint8_t bytes[REQUEST_SECTORS * DISK_SECTOR_SIZE] = {1};
    const struct vhdx_creation creation = {
        .format = formats[which], .size = DISK_MIB * MIB, .block_size = MIB, .parent = &parent};
    struct memory_file *memory = &templates[which];
    struct metadata_cache *cache = metadata_cache_create();
    memory_file_initialize(memory);
    require(vhdx_create(&memory->file, &creation) == 0);
    struct disk_image *image = vhdx_open(&memory->file, 0, cache, NULL);
    require(image && write_stretch(image, bytes, SECTORS_PER_MIB - 8, 16) == 0);
    require(image->operations->flush(image) == 0 && write_stretch(image, bytes, 4 * SECTORS_PER_MIB, 64) == 0);
    require(image->operations->flush(image) == 0);
    bool left_open = which == LEFT_OPEN || which == DIFFERENCING_LEFT_OPEN;
    memory->file.failed = left_open; /* as if the process were gone */
    image->operations->close(image);
    metadata_cache_destroy(cache);
    memory_file_reset(memory);
}

/* ---- Changes ---- */

/* Stretches of the file in which numbers mean something. */
static const struct {
    uint32_t offset, length;
} areas[] = {
    {VHDX_HEADER_OFFSET(0),               96                       },
    {VHDX_HEADER_OFFSET(1),               96                       },
    {VHDX_REGIONS_OFFSET(0),              16 + 4 * 32              },
    {VHDX_REGIONS_OFFSET(1),              16 + 4 * 32              },
    {METADATA,                            32 + 8 * 32              },
    {METADATA + VHDX_METADATA_TABLE_SIZE, 400                      },
    {BAT,                                 DISK_MIB *VHDX_ENTRY_SIZE},
    {BAT + 4096 * VHDX_ENTRY_SIZE,        VHDX_ENTRY_SIZE          }, /* the chunk's bitmap */
    {LOG,                                 10 * VHDX_LOG_SECTOR     },
    {LOG,                                 256                      },
    {LOG + VHDX_LOG_SECTOR,               256                      },
    {LOG + 3 * VHDX_LOG_SECTOR,           256                      },
    {LOG + MIB - 2 * VHDX_LOG_SECTOR,     2 * VHDX_LOG_SECTOR      },
};
#define AREAS (sizeof(areas) / sizeof(areas[0]))

static uint64_t choose_value(struct fuzz_input *input, uint64_t old)
{
    uint32_t kind = fuzz_take(input, 1);
    uint64_t value = fuzz_take(input, 2);
    switch (kind % 8) {
    case 0:
        return value;
    case 1:
        return value << 20;
    case 2:
        return old + value - 8;
    case 3:
        return old ^ 1ull << value % 64;
    case 4:
        return UINT64_MAX - value;
    case 5:
        return (value & 15) << 20 | (value >> 8 & 7);
    case 6:
        return value << 12;
    default:
        return fuzz_take(input, 4) | (uint64_t)fuzz_take(input, 4) << 32;
    }
}

static void change(struct memory_file *memory, struct fuzz_input *input)
{
    size_t area = fuzz_take(input, 1) % AREAS;
    uint32_t width = 1u << fuzz_take(input, 1) % 4;
    uint64_t place = areas[area].offset + fuzz_take(input, 2) % areas[area].length / width * width;
    uint64_t old = 0;
    for (uint32_t i = 0; i < width; i++)
        old |= (uint64_t)memory->bytes[place + i] << 8 * i;
    uint64_t value = choose_value(input, old);
    for (uint32_t i = 0; i < width; i++)
        memory->bytes[place + i] = (uint8_t)(value >> 8 * i);
}

/* Entries in the log's first and last sectors are made to look right, as far as they lie within it. */
static void seal_log(struct memory_file *memory)
{
    for (uint32_t at = 0; at < MIB; at += VHDX_LOG_SECTOR) {
        struct vhdx_log_header header;
        uint32_t checksum;
        uint8_t *sector = memory->bytes + LOG + at;
        if (!vhdx_log_header_decode(sector, &header, &checksum) || header.length % VHDX_LOG_SECTOR ||
            header.length == 0 || header.length > MIB - at)
            continue;
        uint32_t sum =
            crc32c(vhdx_log_first_checksum(sector), sector + VHDX_LOG_SECTOR, header.length - VHDX_LOG_SECTOR);
        vhdx_log_header_seal(sector, sum);
    }
}

static void seal(struct memory_file *memory)
{
    for (unsigned copy = 0; copy < VHDX_HEADERS; copy++) {
        vhdx_header_seal(memory->bytes + VHDX_HEADER_OFFSET(copy));
        vhdx_regions_seal(memory->bytes + VHDX_REGIONS_OFFSET(copy));
    }
    seal_log(memory);
}

/* ---- Work ---- */

static struct metadata_cache *cache;

static int read_stretch(struct disk_image *image, uint8_t *bytes, uint64_t sector, uint32_t sectors)
{
    memset(bytes, 0, (size_t)sectors * DISK_SECTOR_SIZE);
    while (sectors) {
        struct disk_extent extent;
        int error = image->operations->map(image, sector, sectors, &extent);
        if (error)
            return error;
        require(extent.sectors >= 1 && extent.sectors <= sectors);
        if (extent.kind == DISK_EXTENT_DATA)
            error = disk_file_read_buffer(image->file, bytes, (size_t)extent.sectors * DISK_SECTOR_SIZE, extent.offset);
        if (error)
            return error;
        bytes += (size_t)extent.sectors * DISK_SECTOR_SIZE;
        sector += extent.sectors;
        sectors -= extent.sectors;
    }
    return 0;
}

/* Where request number `number` goes: near the start, near the end, or anywhere; in whole units. */
static uint64_t choose_sector(const struct disk_image *image, const uint8_t *control, unsigned number, uint32_t sectors)
{
    uint64_t last = image->sectors - sectors;
    uint64_t spread = (control[1] | (uint64_t)control[2] << 8 | (uint64_t)control[3] << 16) * (number + 1);
    uint64_t near = spread % (last < 1024 ? last + 1 : 1024);
    uint64_t sector = number % 3 == 0 ? near : number % 3 == 1 ? last - near : spread * 977 % (last + 1);
    return sector / image->write_unit * image->write_unit;
}

static uint32_t choose_length(const struct disk_image *image, uint32_t wish)
{
    uint32_t sectors = (1 + wish % REQUEST_SECTORS + image->write_unit - 1) / image->write_unit * image->write_unit;
    return sectors > image->sectors ? (uint32_t)image->sectors : sectors;
}

/* A hash of what was read; what cannot be read counts as nothing. */
static uint64_t read_all_over(struct disk_image *image, const uint8_t *control)
{
    uint64_t hash = 0;
    static uint8_t bytes[2 * REQUEST_SECTORS * DISK_SECTOR_SIZE];
    static struct parent_link link;
    for (unsigned i = 0; i < REQUESTS; i++) {
        uint32_t sectors = choose_length(image, control[1] + i * 7);
        if (read_stretch(image, bytes, choose_sector(image, control, i, sectors), sectors) != 0)
            continue;
        for (uint32_t j = 0; j < sectors * DISK_SECTOR_SIZE; j++)
            hash = (hash ^ bytes[j]) * 0x100000001b3u;
    }
    uint64_t present = image->operations->next_present(image, control[1] % image->sectors);
    require(present <= image->sectors);
    if (image->differencing)
        vhdx_read_parent(image, &link, NULL);
    return hash;
}

/* Every request that succeeds is read back, if no two blocks of the image are one. */
static void write_all_over(struct disk_image *image, const uint8_t *control, bool sound)
{
    static uint8_t bytes[2 * REQUEST_SECTORS * DISK_SECTOR_SIZE], read[sizeof(bytes)];
    for (unsigned i = 0; i < REQUESTS; i++) {
        uint32_t sectors = choose_length(image, control[2] + i * 5);
        uint64_t sector = choose_sector(image, control, i, sectors);
        memset(bytes, (int)i + 1, sizeof(bytes));
        if (write_stretch(image, bytes, sector, sectors) == 0 && sound) {
            require(read_stretch(image, read, sector, sectors) == 0);
            require(memcmp(read, bytes, (size_t)sectors * DISK_SECTOR_SIZE) == 0);
        }
        if (i % 4 == 3)
            image->operations->flush(image);
    }
}

struct findings {
    uint64_t errors;
};

static void count_finding(void *context, enum disk_check_level level, const char *text)
{
    struct findings *findings = context;
    require(level < DISK_CHECK_LEVELS && strlen(text) < 1024);
    findings->errors += level == DISK_CHECK_ERROR;
}

static uint64_t count_errors(struct memory_file *memory)
{
    struct findings findings = {0};
    return vhdx_check(&memory->file, count_finding, &findings, NULL) ? findings.errors : UINT64_MAX;
}

/* ---- Work on the image ---- */

struct summary {
    bool opened, differencing;
    uint64_t sectors, hash;
    uint32_t unit; /* bytes of a logical sector */
};

static struct summary summarize(struct memory_file *memory, const uint8_t *control)
{
    struct disk_image *image = vhdx_open(&memory->file, DISK_OPEN_READ_ONLY, cache, NULL);
    struct summary summary = {.opened = image};
    if (!image)
        return summary;
    summary.differencing = image->differencing;
    summary.sectors = image->sectors;
    summary.unit = image->write_unit * DISK_SECTOR_SIZE;
    summary.hash = read_all_over(image, control);
    image->operations->close(image);
    return summary;
}

/* A child is compacted alone: its blocks move, and those that its parent has, too, are not looked for. */
static void compact(struct memory_file *memory, const uint8_t *control)
{
    static const struct disk_compact_options options;
    struct disk_compact_result result;
    struct disk_error error;
    struct disk_file *files[] = {&memory->file};
    struct summary before = summarize(memory, control);
    uint64_t errors = count_errors(memory);
    if (!before.opened)
        return;
    struct disk_compact_blocks none = {.unneeded = calloc(before.sectors / SECTORS_PER_MIB / 8 + 1, 1)};
    bool done = before.differencing ? vhdx_compact(&memory->file, &none, before.sectors, &options, &result, &error)
                                    : disk_compact_files(files, 1, &options, &result, &error);
    free(none.unneeded);
    require(!done || errors == 0);
    require(errors || (count_errors(memory) == 0 && summarize(memory, control).hash == before.hash));
}

static void resize(struct memory_file *memory, const uint8_t *control)
{
    static const struct disk_progress progress;
    struct disk_error error;
    struct summary before = summarize(memory, control);
    if (!before.opened || before.differencing || count_errors(memory))
        return;
    uint64_t sectors = 1 + control[1] + ((uint64_t)control[2] << 8);
    const struct vhdx_resize resize = {.size = sectors * before.unit << (control[1] % 3 * 8), .progress = &progress};
    bool done = vhdx_resize(&memory->file, &resize, &error);
    require(count_errors(memory) == 0);
    require(summarize(memory, control).sectors == (done ? resize.size / DISK_SECTOR_SIZE : before.sectors));
}

static void change_parent(struct memory_file *memory, const uint8_t *control)
{
    static struct parent_link link;
    static const uint8_t identifier[VHDX_GUID_SIZE] = {1}, alternative[VHDX_GUID_SIZE] = {2};
    struct summary before = summarize(memory, control);
    if (!before.opened || !before.differencing || count_errors(memory))
        return;
    struct disk_image *image = vhdx_open(&memory->file, 0, cache, NULL);
    bool done = image && vhdx_set_parent_identifiers((struct vhdx_image *)image, identifier, alternative) == 0;
    if (image && image->operations->close(image))
        done = false;
    require(count_errors(memory) == 0 && summarize(memory, control).hash == before.hash);
    image = vhdx_open(&memory->file, DISK_OPEN_READ_ONLY, cache, NULL);
    require(image && vhdx_read_parent(image, &link, NULL));
    require(!done || (vhdx_same_guid(link.identifier, identifier) && vhdx_same_guid(link.alternative, alternative)));
    image->operations->close(image);
}

static void look_at_finding(void *context, enum disk_repair_kind kind, const char *text)
{
    (void)context;
    require(kind < DISK_REPAIR_KINDS && strlen(text) < 1024);
}

static int look_at_part(void *context, uint64_t offset, uint64_t length)
{
    const struct memory_file *memory = context;
    require(length && offset < memory->size && length <= memory->size - offset);
    return 0;
}

static void repair(struct memory_file *memory, const uint8_t *control)
{
    struct disk_error error;
    struct disk_repair_findings findings = {.report = look_at_finding};
    struct vhdx_repair *work = malloc(sizeof(*work));
    (void)control;
    require(work != NULL);
    bool looked = vhdx_repair_look(work, &memory->file, &findings, &error);
    if (looked && vhdx_repair_is_needed(work)) {
        vhdx_repair_overwritten(work, look_at_part, memory);
        if (vhdx_repair_mend(work, &error))
            require(count_errors(memory) == 0);
    }
    vhdx_repair_free(work);
    free(work);
}

static void work_on(struct memory_file *memory, const uint8_t *control)
{
    static void (*const works[])(struct memory_file * memory, const uint8_t *control) = {compact, resize, change_parent,
                                                                                         repair};
    works[control[3] % 4](memory, control);
}

/* ---- All of it ---- */

static void use(struct memory_file *memory, const uint8_t *control)
{
    if (control[3] & WORK_FIRST)
        work_on(memory, control);
    memory->changes = 0;
    uint64_t errors = count_errors(memory);
    struct disk_image *image = vhdx_open(&memory->file, DISK_OPEN_READ_ONLY, cache, NULL);
    require(image || errors);
    if (image) {
        read_all_over(image, control);
        require(image->operations->close(image) == 0);
    }
    require(memory->changes == 0);
    image = vhdx_open(&memory->file, 0, cache, NULL);
    if (!image)
        return;
    write_all_over(image, control, errors == 0);
    image->operations->close(image);
    if (errors == 0)
        require(count_errors(memory) == 0);
    if (!(control[3] & WORK_FIRST))
        work_on(memory, control);
}

/* Makes the file that of the template again, of which little has changed. */
static void restore(struct memory_file *memory, const struct memory_file *template)
{
    size_t lowest = template->size;
    for (size_t i = 0; i < memory->log_count; i++) {
        const struct memory_change *done = &memory->log[i];
        if (done->kind == MEMORY_TRUNCATE && done->offset < lowest)
            lowest = done->offset;
        if (done->kind != MEMORY_WRITE || done->offset >= template->size)
            continue;
        size_t length = done->length < template->size - done->offset ? done->length : template->size - done->offset;
        memcpy(memory->bytes + done->offset, template->bytes + done->offset, length);
    }
    memory_file_resize(memory, template->size);
    memcpy(memory->bytes + lowest, template->bytes + lowest, template->size - lowest);
    memcpy(memory->bytes, template->bytes, 4 * MIB); /* what was changed by hand */
    memory_file_reset(memory);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct memory_file files[TEMPLATES];
    if (size < CONTROL_BYTES)
        return 0;
    if (!cache) {
        cache = metadata_cache_create();
        for (unsigned i = 0; i < TEMPLATES; i++) {
            make_template(i);
            memory_file_initialize(&files[i]);
            memory_file_set(&files[i], templates[i].bytes, templates[i].size);
        }
    }
    unsigned which = data[0] % TEMPLATES;
    struct memory_file *memory = &files[which];
    struct fuzz_input input = {.data = data + CONTROL_BYTES, .left = size - CONTROL_BYTES};
    for (unsigned i = 0; i < MOST_CHANGES && input.left; i++)
        change(memory, &input);
    if (!(data[0] & UNSEALED))
        seal(memory);
    memory->logging = true;
    memory->limit = LARGEST_FILE;
    memory->short_transfers = data[0] & SHORT_TRANSFERS;
    use(memory, data);
    restore(memory, &templates[which]);
    return 0;
}
