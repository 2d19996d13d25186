/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The VHD format and the disk interface: numbers, requests, and what is refused with which words. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "partitions/root/disk/check.h"
#include "partitions/root/disk/create.h"
#include "partitions/root/disk/chain.h"
#include "partitions/root/disk/vhd/vhd.h"
#include "tests/unit/memory_file.h"

#define KIB 1024ull
#define MIB (KIB * KIB)
#define GIB (MIB * KIB)

/* Where things are in the images that are made here. */
enum {
    FOOTER_VERSION = 12,
    FOOTER_DATA_OFFSET = 16,
    FOOTER_CREATOR = 28,
    FOOTER_SIZE = 48,
    FOOTER_CYLINDERS = 56,
    FOOTER_TYPE = 60,
    HEADER = 512,
    HEADER_TABLE_OFFSET = HEADER + 16,
    HEADER_VERSION = HEADER + 24,
    HEADER_ENTRIES = HEADER + 28,
    HEADER_BLOCK_SIZE = HEADER + 32,
    TABLE = 1536,
};

/* --- Numbers --- */

static void geometry_of_the_specification(void **state)
{
    (void)state;
    /* Worked out by hand from the appendix "CHS Calculation"; 100 MiB and 127 GiB are what Windows and QEMU
     * show. */
    static const struct {
        uint64_t sectors;
        struct disk_geometry geometry;
    } cases[] = {
        {0,                      {0, 4, 17}      },
        {67,                     {0, 4, 17}      },
        {68,                     {1, 4, 17}      },
        {2880,                   {42, 4, 17}     },
        {20480,                  {301, 4, 17}    },
        {4 * 1024 * 17 - 1,      {1023, 4, 17}   },
        {4 * 1024 * 17,          {140, 16, 31}   },
        {204800,                 {1003, 12, 17}  },
        {16 * 1024 * 17 - 1,     {1023, 16, 17}  },
        {16 * 1024 * 17,         {561, 16, 31}   },
        {16 * 1024 * 31,         {503, 16, 63}   },
        {16514064,               {16383, 16, 63} },
        {65535ull * 16 * 63 - 1, {65534, 16, 63} },
        {65535ull * 16 * 63,     {16191, 16, 255}},
        {127 * GIB / 512,        {65278, 16, 255}},
        {65535ull * 16 * 255,    {65535, 16, 255}},
        {2040 * GIB / 512,       {65535, 16, 255}},
        {UINT64_MAX,             {65535, 16, 255}},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct disk_geometry geometry = vhd_geometry(cases[i].sectors);
        assert_int_equal(geometry.cylinders, cases[i].geometry.cylinders);
        assert_int_equal(geometry.heads, cases[i].geometry.heads);
        assert_int_equal(geometry.sectors_per_track, cases[i].geometry.sectors_per_track);
    }
}

static void identify_geometry_is_one_of_ata(void **state)
{
    (void)state;
    static const struct {
        struct disk_geometry preferred;
        uint64_t sectors;
        struct disk_geometry geometry;
    } cases[] = {
        {{1003, 12, 17},   204800,                 {1003, 12, 17} },
        {{65535, 16, 255}, 2040 * GIB / 512,       {16383, 16, 63}},
        {{16191, 16, 255}, 65535ull * 16 * 63,     {16383, 16, 63}},
        {{65534, 16, 63},  65535ull * 16 * 63 - 1, {16383, 16, 63}},
        {{0, 4, 17},       40,                     {40, 1, 1}     },
        {{1003, 255, 17},  204800,                 {1003, 12, 17} }, /* too many heads for ATA */
        {{1003, 12, 255},  204800,                 {1003, 12, 17} }, /* too many sectors */
        {{2000, 12, 17},   204800,                 {1003, 12, 17} }, /* more than the disk has */
        {{100, 0, 17},     204800,                 {1003, 12, 17} },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct disk_geometry geometry = vhd_identify_geometry(cases[i].preferred, cases[i].sectors);
        assert_int_equal(geometry.cylinders, cases[i].geometry.cylinders);
        assert_int_equal(geometry.heads, cases[i].geometry.heads);
        assert_int_equal(geometry.sectors_per_track, cases[i].geometry.sectors_per_track);
    }
}

static void size_by_creator(void **state)
{
    (void)state;
    static const struct {
        const char *creator;
        struct disk_geometry geometry;
        uint64_t size;
    } cases[] = {
        {"win ", {1003, 12, 17},   104857600},
        {"vpc ", {1003, 12, 17},   104761344},
        {"qemu", {1003, 12, 17},   104761344},
        {"vpc ", {65535, 16, 255}, 104857600},
        {"qemu", {65535, 16, 255}, 104857600},
        {"qem2", {1003, 12, 17},   104857600},
        {"vs  ", {1003, 12, 17},   104857600},
        {"d2v",  {1003, 12, 17},   104857600},
        {"tap",  {1003, 12, 17},   104857600},
        {"loam", {1003, 12, 17},   104857600},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct vhd_footer footer = {.current_size = 104857600, .geometry = cases[i].geometry};
        memcpy(footer.creator_application, cases[i].creator, 4);
        assert_int_equal(vhd_disk_size(&footer), cases[i].size);
    }
}

static void bitmap_sizes(void **state)
{
    (void)state;
    assert_int_equal(vhd_bitmap_size(512), 512);
    assert_int_equal(vhd_bitmap_size(512 << 10), 512);
    assert_int_equal(vhd_bitmap_size(2 << 20), 512);
    assert_int_equal(vhd_bitmap_size(4 << 20), 1024);
    assert_int_equal(vhd_bitmap_size(1u << 31), 512 << 10);
}

/* A footer put together by hand, field by field, with its checksum from the specification's algorithm. */
static void footer_layout(void **state)
{
    (void)state;
    static const char before_checksum[] = "conectix"
                                          "\0\0\0\2"
                                          "\0\1\0\0"
                                          "\0\0\0\0\0\0\2\0"
                                          "\x12\x34\x56\x78"
                                          "win "
                                          "\0\x0a\0\0"
                                          "Wi2k"
                                          "\0\0\0\0\6\x40\0\0"
                                          "\0\0\0\0\6\x50\0\0"
                                          "\3\xeb\x0c\x11"
                                          "\0\0\0\3";
    static const char after_checksum[] = "an identifier ..\1";
    struct vhd_footer footer = {
        .features = 2,
        .version = 0x00010000,
        .data_offset = 512,
        .timestamp = 0x12345678,
        .creator_version = 0x000a0000,
        .original_size = 0x6400000,
        .current_size = 0x6500000,
        .type = VHD_DYNAMIC,
        .saved_state = 1,
    };
    footer.geometry = (struct disk_geometry){.cylinders = 1003, .heads = 12, .sectors_per_track = 17};
    memcpy(footer.creator_application, "win ", 4);
    memcpy(footer.creator_host, "Wi2k", 4);
    memcpy(footer.identifier, "an identifier ..", 16);
    uint8_t bytes[VHD_FOOTER_SIZE];
    vhd_footer_encode(&footer, bytes);
    uint32_t sum = 0;
    for (size_t i = 0; i < sizeof(bytes); i++)
        sum += i >= 64 && i < 68 ? 0 : bytes[i];
    assert_int_equal(vhd_load_entry(bytes + 64), ~sum);
    assert_memory_equal(bytes, before_checksum, 64);
    assert_memory_equal(bytes + 68, after_checksum, 17);
    for (size_t i = 85; i < sizeof(bytes); i++)
        assert_int_equal(bytes[i], 0);

    struct vhd_footer decoded;
    const char *fault = NULL;
    assert_int_equal(vhd_footer_decode(bytes, &decoded, &fault), VHD_VALID);
    uint8_t again[VHD_FOOTER_SIZE];
    vhd_footer_encode(&decoded, again);
    assert_memory_equal(bytes, again, sizeof(again));
    bytes[300] ^= 1;
    assert_int_equal(vhd_footer_decode(bytes, &decoded, &fault), VHD_FAULTY);
    assert_string_equal(fault, "wrong checksum");
}

/* --- Images in memory --- */

static void make_image(struct memory_file *memory, enum disk_format format, uint64_t size, uint32_t block_size)
{
    memory_file_initialize(memory);
    assert_int_equal(disk_create_in(&memory->file, size, format, block_size), 0);
}

static struct disk *must_open(struct memory_file *memory, unsigned flags)
{
    struct disk_error error;
    struct disk *disk = disk_open_file(&memory->file, flags, &error);
    if (!disk)
        print_error("%s\n", error.text);
    assert_non_null(disk);
    return disk;
}

static void expect_refusal(struct memory_file *memory, unsigned flags, int code, const char *text)
{
    struct disk_error error;
    assert_null(disk_open_file(&memory->file, flags, &error));
    if (error.code != code || !strstr(error.text, text))
        print_error("got %d, %s; not %d, %s\n", error.code, error.text, code, text);
    assert_int_equal(error.code, code);
    assert_non_null(strstr(error.text, text));
    assert_ptr_equal(strstr(error.text, "memory: "), error.text);
}

/* Renews the checksums after a change by hand. */
static void seal(struct memory_file *memory)
{
    vhd_footer_seal(memory->bytes);
    vhd_header_seal(memory->bytes + HEADER);
    memcpy(memory->bytes + memory->size - VHD_FOOTER_SIZE, memory->bytes, VHD_FOOTER_SIZE);
}

static void ignore_finding(void *context, enum disk_check_level level, const char *text)
{
    (void)context;
    (void)level;
    assert_true(strlen(text) > 10);
}

static struct disk_check_result count_findings(struct memory_file *memory)
{
    struct disk_check_result result;
    struct disk_error error;
    assert_true(disk_check_file(&memory->file, ignore_finding, NULL, &result, &error));
    return result;
}

static void new_images_are_sound(void **state)
{
    (void)state;
    static const uint64_t sizes[] = {512, 34816, 100 * MIB, 2 * MIB - 512, 127 * GIB + 512, 2040 * GIB};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct memory_file memory;
        make_image(&memory, DISK_FORMAT_DYNAMIC, sizes[i], VHD_DEFAULT_BLOCK_SIZE);
        struct disk_check_result result = count_findings(&memory);
        for (int level = 0; level < DISK_CHECK_LEVELS; level++)
            assert_int_equal(result.count[level], 0);
        uint64_t blocks = (sizes[i] + VHD_DEFAULT_BLOCK_SIZE - 1) / VHD_DEFAULT_BLOCK_SIZE;
        assert_int_equal(memory.size, 2048 + (blocks * 4 + 511) / 512 * 512);
        struct disk *disk = must_open(&memory, 0);
        assert_int_equal(disk_sectors(disk) * 512, sizes[i]);
        assert_true(disk_geometry(disk).sectors_per_track <= 63);
        assert_int_equal(disk_close(disk), 0);
        memory_file_release(&memory);
    }
}

/* --- Requests --- */

static unsigned completed;

static void count_done(struct disk_request *request)
{
    (void)request;
    completed++;
}

static int submit(struct disk *disk, enum disk_operation operation, uint64_t sector, uint32_t sectors,
                  const struct iovec *vector, int count)
{
    struct disk_request request = {
        .operation = operation,
        .sector = sector,
        .sectors = sectors,
        .vector = vector,
        .vector_count = count,
        .done = count_done,
        .error = -1,
    };
    unsigned before = completed;
    disk_submit(disk, &request);
    assert_int_equal(completed, before + 1);
    return request.error;
}

static void requests_are_checked(void **state)
{
    (void)state;
    static uint8_t bytes[4096];
    struct iovec one = {bytes, 512}, wrong = {bytes, 1024};
    struct memory_file memory;
    make_image(&memory, DISK_FORMAT_DYNAMIC, 64 * KIB, 4096);
    struct disk *disk = must_open(&memory, 0);
    static const enum disk_operation operations[] = {DISK_READ, DISK_WRITE};
    for (int i = 0; i < 2; i++) {
        assert_int_equal(submit(disk, operations[i], 0, 0, &one, 0), EINVAL);
        assert_int_equal(submit(disk, operations[i], 128, 1, &one, 1), EINVAL);
        assert_int_equal(submit(disk, operations[i], 127, 2, &wrong, 1), EINVAL);
        assert_int_equal(submit(disk, operations[i], UINT64_MAX, 1, &one, 1), EINVAL);
        assert_int_equal(submit(disk, operations[i], UINT64_MAX, 2, &wrong, 1), EINVAL);
        assert_int_equal(submit(disk, operations[i], 0, UINT32_MAX, &one, 1), EINVAL);
        assert_int_equal(submit(disk, operations[i], 0, 1, &wrong, 1), EINVAL);
        assert_int_equal(submit(disk, operations[i], 127, 1, &one, 1), 0);
    }
    assert_int_equal(submit(disk, (enum disk_operation)7, 0, 1, &one, 1), EINVAL);
    assert_int_equal(submit(disk, DISK_FLUSH, UINT64_MAX, 0, NULL, 0), 0);
    disk_close(disk);

    size_t changes = memory.changes;
    disk = must_open(&memory, DISK_OPEN_READ_ONLY);
    assert_true(disk_read_only(disk));
    assert_int_equal(submit(disk, DISK_WRITE, 0, 1, &one, 1), EROFS);
    assert_int_equal(submit(disk, DISK_WRITE, 128, 1, &one, 1), EINVAL);
    assert_int_equal(submit(disk, DISK_READ, 0, 1, &one, 1), 0);
    assert_int_equal(submit(disk, DISK_FLUSH, 0, 0, NULL, 0), 0);
    disk_close(disk);
    assert_int_equal(memory.changes, changes);
    memory_file_release(&memory);
}

/* Many small and odd pieces, over several blocks, both ways, with transfers cut short. */
static void scattered_memory(void **state)
{
    (void)state;
    enum { SECTORS = 100, PIECES = SECTORS * 512 / 64 };
    static uint8_t written[SECTORS * 512], read[SECTORS * 512];
    static struct iovec vector[PIECES + 3];
    for (size_t i = 0; i < sizeof(written); i++)
        written[i] = (uint8_t)(i * 7 + i / 512);
    for (enum disk_format format = DISK_FORMAT_RAW; format <= DISK_FORMAT_DYNAMIC; format++) {
        struct memory_file memory;
        make_image(&memory, format, 64 * KIB, 4096);
        memory.short_transfers = true;
        struct disk *disk = must_open(&memory, format == DISK_FORMAT_RAW ? DISK_OPEN_RAW : 0);
        assert_int_equal(disk_format(disk), format);

        int count = 0;
        size_t offset = 0;
        for (size_t step = 1; offset < sizeof(written); step = step * 5 % 193, count++) {
            size_t length = sizeof(written) - offset < step ? sizeof(written) - offset : step;
            vector[count] = (struct iovec){written + offset, length};
            offset += length;
            if (count == 5)
                vector[++count] = (struct iovec){NULL, 0};
        }
        assert_int_equal(submit(disk, DISK_WRITE, 5, SECTORS, vector, count), 0);
        for (int i = 0; i < PIECES; i++)
            vector[i] = (struct iovec){read + (size_t)i * 64, 64};
        assert_int_equal(submit(disk, DISK_READ, 5, SECTORS, vector, PIECES), 0);
        assert_memory_equal(read, written, sizeof(read));
        disk_close(disk);
        memory_file_release(&memory);
    }
}

struct chain {
    struct disk *disk;
    unsigned left, depth, deepest;
    struct disk_request request;
};

static void issue_next(struct disk_request *request)
{
    struct chain *chain = request->device;
    assert_int_equal(request->error, 0);
    if (++chain->depth > chain->deepest)
        chain->deepest = chain->depth;
    if (chain->left-- > 1)
        disk_submit(chain->disk, request);
    chain->depth--;
}

/* A device that issues the next request from within `done` does not grow the stack. */
static void requests_from_done(void **state)
{
    (void)state;
    static uint8_t bytes[512];
    struct iovec vector = {bytes, 512};
    struct memory_file memory;
    make_image(&memory, DISK_FORMAT_DYNAMIC, 64 * KIB, 4096);
    struct chain chain = {.disk = must_open(&memory, 0), .left = 10000};
    chain.request = (struct disk_request){
        .operation = DISK_READ,
        .sectors = 1,
        .vector = &vector,
        .vector_count = 1,
        .done = issue_next,
        .device = &chain,
    };
    disk_submit(chain.disk, &chain.request);
    assert_int_equal(chain.left, 0);
    assert_int_equal(chain.deepest, 1);
    disk_close(chain.disk);
    memory_file_release(&memory);
}

/* Reading and overwriting what is there costs one access of the file a block, and allocates nothing. */
static void accesses_per_request(void **state)
{
    (void)state;
    static uint8_t bytes[64 << 10];
    struct memory_file memory;
    make_image(&memory, DISK_FORMAT_DYNAMIC, 64 * MIB, VHD_DEFAULT_BLOCK_SIZE);
    struct disk *disk = must_open(&memory, 0);
    assert_int_equal(disk_transfer(disk, DISK_WRITE, bytes, 0, 128), 0);
    disk_close(disk);
    disk = must_open(&memory, 0);
    assert_int_equal(disk_transfer(disk, DISK_READ, bytes, 0, 128), 0);
    size_t reads = memory.reads, changes = memory.changes;
    for (unsigned i = 0; i < 10; i++)
        assert_int_equal(disk_transfer(disk, DISK_READ, bytes, i * 128, 128), 0);
    assert_int_equal(memory.reads, reads + 10);
    assert_int_equal(disk_transfer(disk, DISK_READ, bytes, 4096, 128), 0); /* a block that is not there */
    assert_int_equal(memory.reads, reads + 10);
    assert_int_equal(disk_transfer(disk, DISK_WRITE, bytes, 256, 128), 0);
    assert_int_equal(memory.reads, reads + 10);
    assert_int_equal(memory.changes, changes + 1);
    assert_int_equal(disk_transfer(disk, DISK_FLUSH, NULL, 0, 0), 0);
    assert_int_equal(disk_transfer(disk, DISK_FLUSH, NULL, 0, 0), 0); /* nothing to do */
    assert_int_equal(memory.changes, changes + 2);
    disk_close(disk);
    memory_file_release(&memory);
}

/* What is not needed at the end is given back: room made ahead, and what a crash has left. */
static void no_bytes_left_behind(void **state)
{
    (void)state;
    static uint8_t bytes[512] = {1};
    struct memory_file memory;
    make_image(&memory, DISK_FORMAT_DYNAMIC, 1 * MIB, 64 << 10);
    struct disk *disk = must_open(&memory, 0);
    for (unsigned block = 0; block < 5; block++)
        assert_int_equal(disk_transfer(disk, DISK_WRITE, bytes, block * 128, 1), 0);
    size_t with_room = memory.size;
    disk_close(disk);
    size_t without = memory.size;
    assert_true(without < with_room);
    assert_true(without < 2048 + 512 + 5 * ((64 << 10) + 8192));

    memory_file_resize(&memory, memory.size + 40000);
    memory.bytes[memory.size - 1] = 0x77;
    assert_int_equal(count_findings(&memory).count[DISK_CHECK_WARNING], 1);
    disk = must_open(&memory, 0);
    assert_int_equal(memory.size, without);
    disk_close(disk);

    /* With a footer at its end the file is in order, and is cut when it grows. */
    memory_file_resize(&memory, memory.size + 5120000);
    memcpy(memory.bytes + memory.size - 512, memory.bytes, 512);
    assert_int_equal(count_findings(&memory).count[DISK_CHECK_WARNING], 0);
    assert_int_equal(count_findings(&memory).count[DISK_CHECK_NOTE], 1);
    disk = must_open(&memory, 0);
    assert_int_equal(memory.size, without + 5120000);
    assert_int_equal(disk_transfer(disk, DISK_WRITE, bytes, 9 * 128, 1), 0);
    disk_close(disk);
    assert_true(memory.size < without + 80000);
    assert_int_equal(count_findings(&memory).count[DISK_CHECK_NOTE], 0);
    memory_file_release(&memory);
}

/* --- What is refused --- */

static void not_a_vhd(void **state)
{
    (void)state;
    struct memory_file memory;
    memory_file_initialize(&memory);
    expect_refusal(&memory, 0, EMEDIUMTYPE, "not a VHD: it has only 0 bytes");
    static const uint8_t zeros[5000];
    memory_file_set(&memory, zeros, sizeof(zeros));
    expect_refusal(&memory, 0, EMEDIUMTYPE, "not a VHD: it has no VHD footer");
    expect_refusal(&memory, DISK_OPEN_RAW, EINVAL, "not a multiple of 512");
    memory_file_set(&memory, zeros, 0);
    expect_refusal(&memory, DISK_OPEN_RAW, EINVAL, "size of 0 bytes");
    memory_file_release(&memory);
}

/* What a guest writes into a raw image changes nothing about it. */
static void raw_stays_raw(void **state)
{
    (void)state;
    struct memory_file memory, vhd;
    make_image(&memory, DISK_FORMAT_RAW, 64 * KIB, 0);
    make_image(&vhd, DISK_FORMAT_DYNAMIC, 64 * KIB, 4096);
    struct disk *disk = must_open(&memory, DISK_OPEN_RAW);
    assert_int_equal(disk_transfer(disk, DISK_WRITE, vhd.bytes, 0, (uint32_t)(vhd.size / 512)), 0);
    assert_int_equal(disk_transfer(disk, DISK_WRITE, vhd.bytes, 127, 1), 0);
    disk_close(disk);
    disk = must_open(&memory, DISK_OPEN_RAW);
    assert_int_equal(disk_format(disk), DISK_FORMAT_RAW);
    assert_int_equal(disk_sectors(disk), 128);
    disk_close(disk);
    memory_file_release(&memory);
    memory_file_release(&vhd);
}

/* Nor does a guest's own VHD at the start of a fixed image. */
static void fixed_stays_fixed(void **state)
{
    (void)state;
    struct memory_file memory, vhd;
    make_image(&memory, DISK_FORMAT_FIXED, 64 * KIB, 0);
    make_image(&vhd, DISK_FORMAT_DYNAMIC, 128 * KIB, 4096);
    memcpy(memory.bytes, vhd.bytes, vhd.size);
    struct disk *disk = must_open(&memory, 0);
    assert_int_equal(disk_format(disk), DISK_FORMAT_FIXED);
    assert_int_equal(disk_sectors(disk), 128);
    disk_close(disk);
    memory_file_release(&memory);
    memory_file_release(&vhd);
}

static void store64(uint8_t *bytes, uint64_t value)
{
    vhd_store_entry(bytes, (uint32_t)(value >> 32));
    vhd_store_entry(bytes + 4, (uint32_t)value);
}

static void damaged_metadata(void **state)
{
    (void)state;
    static const struct {
        unsigned offset, width; /* bytes */
        uint64_t value;
        int code;
        const char *text;
    } cases[] = {
        {FOOTER_TYPE,         4, 4,                      ENOLINK,    "a differencing disk, whose parent was not given"               },
        {FOOTER_TYPE,         4, 5,                      EOPNOTSUPP, "a VHD of type 5"                                               },
        {FOOTER_TYPE,         4, 0,                      EOPNOTSUPP, "a VHD of type 0"                                               },
        {FOOTER_TYPE,         4, 2,                      EUCLEAN,    "a disk of 102400 bytes, and the file holds only 2048"          },
        {FOOTER_VERSION,      4, 0x20000,                EUCLEAN,    "its footer has unknown version, and so the copy"               },
        {FOOTER_SIZE,         8, 0,                      EUCLEAN,    "gives a size of 0"                                             },
        {FOOTER_SIZE,         8, 102401,                 EUCLEAN,    "size of 102401 bytes is not a multiple of 512"                 },
        {FOOTER_SIZE,         8, 2040 * GIB + 512,       EFBIG,      "too large: 2190433321472 bytes, and a VHD has at most 2040 GiB"},
        {FOOTER_SIZE,         8, UINT64_MAX / 512 * 512, EFBIG,      "at most 2040 GiB"                                              },
        {FOOTER_SIZE,         8, 104 * KIB + 512,        EUCLEAN,    "table has 26 entries and the disk 27 blocks"                   },
        {FOOTER_DATA_OFFSET,  8, 0,                      EUCLEAN,    "no header at byte 0"                                           },
        {FOOTER_DATA_OFFSET,  8, 513,                    EUCLEAN,    "no header at byte 513"                                         },
        {FOOTER_DATA_OFFSET,  8, UINT64_MAX,             EUCLEAN,    "no header at byte 18446744073709551615"                        },
        {FOOTER_DATA_OFFSET,  8, 2048,                   EUCLEAN,    "no header at byte 2048"                                        },
        {FOOTER_DATA_OFFSET,  8, 1024,                   EUCLEAN,    "the header at byte 1024 has no cookie"                         },
        {HEADER_VERSION,      4, 0x30000,                EUCLEAN,    "the header at byte 512 has unknown version"                    },
        {HEADER_BLOCK_SIZE,   4, 0,                      EUCLEAN,    "a block size that is no power of two"                          },
        {HEADER_BLOCK_SIZE,   4, 256,                    EUCLEAN,    "a block size that is no power of two"                          },
        {HEADER_BLOCK_SIZE,   4, 4097,                   EUCLEAN,    "a block size that is no power of two"                          },
        {HEADER_BLOCK_SIZE,   4, 2048,                   EUCLEAN,    "table has 26 entries and the disk 50 blocks"                   },
        {HEADER_ENTRIES,      4, 24,                     EUCLEAN,    "table has 24 entries and the disk 25 blocks"                   },
        {HEADER_ENTRIES,      4, UINT32_MAX,             EUCLEAN,    "table, at byte 1536, does not lie within the file"             },
        {HEADER_TABLE_OFFSET, 8, 0,                      EUCLEAN,    "table, at byte 0, does not"                                    },
        {HEADER_TABLE_OFFSET, 8, 1537,                   EUCLEAN,    "table, at byte 1537, does not"                                 },
        {HEADER_TABLE_OFFSET, 8, 2560,                   EUCLEAN,    "table, at byte 2560, does not"                                 },
        {HEADER_TABLE_OFFSET, 8, UINT64_MAX / 512 * 512, EUCLEAN,    "does not lie within the file"                                  },
        {HEADER_TABLE_OFFSET, 8, 1024,                   EUCLEAN,    "table, at byte 1024, overlaps the header"                      },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct memory_file memory;
        make_image(&memory, DISK_FORMAT_DYNAMIC, 104 * KIB, 4096);
        store64(memory.bytes + FOOTER_SIZE, 100 * KIB); /* so that an entry is to spare */
        if (cases[i].width == 8)
            store64(memory.bytes + cases[i].offset, cases[i].value);
        else
            vhd_store_entry(memory.bytes + cases[i].offset, (uint32_t)cases[i].value);
        seal(&memory);
        expect_refusal(&memory, 0, cases[i].code, cases[i].text);
        expect_refusal(&memory, DISK_OPEN_READ_ONLY, cases[i].code, cases[i].text);
        if (cases[i].code == EUCLEAN)
            assert_int_equal(count_findings(&memory).count[DISK_CHECK_ERROR], 1);
        memory_file_release(&memory);
    }
}

static void damaged_checksums(void **state)
{
    (void)state;
    struct memory_file memory;
    make_image(&memory, DISK_FORMAT_DYNAMIC, 100 * KIB, 4096);
    memory.bytes[HEADER + 100] ^= 1;
    expect_refusal(&memory, 0, EUCLEAN, "the header at byte 512 has wrong checksum");
    memory.bytes[HEADER + 100] ^= 1;

    /* Either footer is enough, and the other is renewed. */
    uint8_t sound[512];
    memcpy(sound, memory.bytes, 512);
    for (unsigned broken = 0; broken < 4; broken++) {
        uint8_t *footer = broken & 1 ? memory.bytes : memory.bytes + memory.size - 512;
        footer[broken & 2 ? 200 : 0] ^= 1;
        assert_int_equal(count_findings(&memory).count[DISK_CHECK_WARNING], 1);
        disk_close(must_open(&memory, DISK_OPEN_READ_ONLY));
        assert_memory_not_equal(footer, sound, 512);
        disk_close(must_open(&memory, 0));
        assert_memory_equal(memory.bytes, sound, 512);
        assert_memory_equal(memory.bytes + memory.size - 512, sound, 512);
        assert_int_equal(count_findings(&memory).count[DISK_CHECK_WARNING], 0);
    }
    memory.bytes[200] ^= 1;
    memory.bytes[memory.size - 512 + 200] ^= 1;
    expect_refusal(&memory, 0, EUCLEAN, "its footer has wrong checksum, and so the copy at its start");
    memory_file_release(&memory);

    make_image(&memory, DISK_FORMAT_FIXED, 100 * KIB, 0);
    memory.bytes[memory.size - 1] ^= 1;
    expect_refusal(&memory, 0, EUCLEAN, "a damaged VHD: its footer has wrong checksum");
    memory_file_release(&memory);

    make_image(&memory, DISK_FORMAT_FIXED, 100 * KIB, 0);
    memmove(memory.bytes + memory.size - 1024, memory.bytes + memory.size - 512, 512);
    memory.size -= 512;
    expect_refusal(&memory, 0, EUCLEAN, "a disk of 102400 bytes, and the file holds only 101888 of them");
    memory_file_release(&memory);
}

/* Geometry as the size, where the creator means that. */
static void geometry_as_size(void **state)
{
    (void)state;
    struct memory_file memory;
    make_image(&memory, DISK_FORMAT_FIXED, 100 * KIB, 0); /* 200 sectors, 2/4/17 */
    uint8_t *footer = memory.bytes + memory.size - 512;
    memcpy(footer + FOOTER_CREATOR, "vpc ", 4);
    vhd_footer_seal(footer);
    struct disk *disk = must_open(&memory, 0);
    assert_int_equal(disk_sectors(disk), 136);
    disk_close(disk);
    assert_int_equal(count_findings(&memory).count[DISK_CHECK_NOTE], 1); /* bytes that are not used */
    footer[FOOTER_CYLINDERS + 1] = 3;
    vhd_footer_seal(footer);
    expect_refusal(&memory, 0, EUCLEAN, "a disk of 104448 bytes, and the file holds only 102400");
    footer[FOOTER_CYLINDERS + 1] = 0;
    vhd_footer_seal(footer);
    expect_refusal(&memory, 0, EUCLEAN, "gives a size of 0 (geometry 0/4/17)");
    memory_file_release(&memory);
}

/* Images from before Virtual PC 2004 have a footer of 511 bytes. */
static void old_footers(void **state)
{
    (void)state;
    static uint8_t bytes[512] = {9};
    struct memory_file memory;
    make_image(&memory, DISK_FORMAT_FIXED, 64 * KIB, 0);
    memory.size--;
    struct disk *disk = must_open(&memory, 0);
    assert_int_equal(disk_sectors(disk), 128);
    assert_int_equal(disk_transfer(disk, DISK_WRITE, bytes, 127, 1), 0);
    disk_close(disk);
    disk_close(must_open(&memory, 0));
    memory_file_release(&memory);

    make_image(&memory, DISK_FORMAT_DYNAMIC, 64 * KIB, 4096);
    memory.size--;
    disk = must_open(&memory, 0);
    assert_int_equal(disk_transfer(disk, DISK_WRITE, bytes, 127, 1), 0);
    disk_close(disk);
    assert_int_equal(memory.size % 512, 0);
    assert_int_equal(count_findings(&memory).count[DISK_CHECK_WARNING], 0);
    memory_file_release(&memory);
}

/* Entries of the table that cannot be: no writing, and no reading of those blocks. */
static void damaged_table(void **state)
{
    (void)state;
    static uint8_t bytes[25 * 4096];
    static const struct {
        uint32_t sector;
        unsigned damaged; /* blocks */
        const char *text;
    } cases[] = {
        {0,          1, "over the copy of the footer"                                          },
        {1,          1, "over the header"                                                      },
        {2,          1, "over the header"                                                      },
        {3,          1, "over the block allocation table"                                      },
        {0xfffffffe, 1, "block 4 lies at byte 2199023254528, beyond the end of the file's data"},
        {205,        1, "block 4 lies at byte 104960, beyond the end"                          },
        {5,          2, "blocks 0 and 4 lie over each other at byte 2560"                      },
        {6,          2, "blocks 0 and 4 lie over each other"                                   },
        {13,         3, "blocks 0 and 4 lie over each other"                                   },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct memory_file memory;
        make_image(&memory, DISK_FORMAT_DYNAMIC, 100 * KIB, 4096);
        struct disk *disk = must_open(&memory, 0);
        memset(bytes, 0x33, sizeof(bytes));
        assert_int_equal(disk_transfer(disk, DISK_WRITE, bytes, 0, 16), 0); /* blocks 0, 1 at sectors 5, 15 */
        assert_int_equal(disk_transfer(disk, DISK_WRITE, bytes, 64, 24), 0);
        disk_close(disk);
        assert_int_equal(vhd_load_entry(memory.bytes + TABLE), 5);
        vhd_store_entry(memory.bytes + TABLE + 4 * 4, cases[i].sector);
        expect_refusal(&memory, 0, EUCLEAN, cases[i].text);
        assert_true(count_findings(&memory).count[DISK_CHECK_ERROR] >= 1);

        disk = must_open(&memory, DISK_OPEN_READ_ONLY);
        unsigned damaged = 0;
        for (uint32_t block = 0; block < 25; block++) {
            int error = disk_transfer(disk, DISK_READ, bytes, block * 8, 8);
            assert_true(error == 0 || error == EIO);
            damaged += error == EIO;
        }
        assert_int_equal(damaged, cases[i].damaged);
        assert_int_equal(disk_transfer(disk, DISK_READ, bytes, 40 - 1, 1), EIO);
        disk_close(disk);
        memory_file_release(&memory);
    }
}

/* Sectors without their bit are zeros, whatever is in the file; a write does not bring the others to light.
 */
static void bitmaps_are_honoured(void **state)
{
    (void)state;
    static uint8_t bytes[4096], read[4096], expected[4096];
    struct memory_file memory;
    make_image(&memory, DISK_FORMAT_DYNAMIC, 30 * KIB, 4096);
    struct disk *disk = must_open(&memory, 0);
    memset(bytes, 0x44, sizeof(bytes));
    assert_int_equal(disk_transfer(disk, DISK_WRITE, bytes, 56, 4), 0); /* the last block, and all the disk has of it */
    assert_int_equal(disk_transfer(disk, DISK_WRITE, bytes, 8, 8), 0);
    disk_close(disk);
    size_t last = (size_t)vhd_load_entry(memory.bytes + TABLE + 7 * 4) * 512;
    size_t second = (size_t)vhd_load_entry(memory.bytes + TABLE + 1 * 4) * 512;
    memory.bytes[last] = 0xf0; /* enough for the sectors that there are */
    memory.bytes[second] = 0xa7;

    disk = must_open(&memory, 0);
    size_t reads = memory.reads;
    assert_int_equal(disk_transfer(disk, DISK_READ, read, 56, 4), 0);
    assert_memory_equal(read, bytes, 4 * 512);
    assert_int_equal(memory.reads, reads + 3); /* of the BAT, of the bitmap, and the data */
    for (unsigned i = 0; i < 8; i++)
        memset(expected + i * 512, 0xa7 & 0x80 >> i ? 0x44 : 0, 512);
    for (uint32_t first = 0; first < 8; first++) {
        for (uint32_t count = 1; count <= 8 - first; count++) {
            assert_int_equal(disk_transfer(disk, DISK_READ, read, 8 + first, count), 0);
            assert_memory_equal(read, expected + first * 512, count * 512);
        }
    }
    memset(bytes, 0x55, sizeof(bytes));
    memset(expected + 3 * 512, 0x55, 512);
    assert_int_equal(disk_transfer(disk, DISK_WRITE, bytes, 8 + 3, 1), 0);
    assert_int_equal(disk_transfer(disk, DISK_READ, read, 8, 8), 0);
    assert_memory_equal(read, expected, sizeof(read));
    disk_close(disk);

    assert_int_equal(memory.bytes[second], 0xa7 | 0x80 >> 3);
    memory_file_release(&memory);
}

/* More half-filled blocks than there are bitmaps in memory, and a bitmap of more than a sector. */
static void many_bitmaps(void **state)
{
    (void)state;
    enum { BLOCKS = 24, BLOCK = 4 << 20, SECTORS = BLOCK / 512 };
    static uint8_t bytes[512], read[512];
    struct memory_file memory;
    make_image(&memory, DISK_FORMAT_DYNAMIC, (uint64_t)BLOCKS * BLOCK, BLOCK);
    struct disk *disk = must_open(&memory, 0);
    memset(bytes, 0x66, sizeof(bytes));
    for (uint32_t block = 0; block < BLOCKS; block++) {
        assert_int_equal(disk_transfer(disk, DISK_WRITE, bytes, block * SECTORS + block * 300, 1), 0);
        size_t bitmap = (size_t)vhd_load_entry(memory.bytes + TABLE + block * 4) * 512;
        assert_int_equal((bitmap + 1024) % 4096, 0);
    }
    disk_close(disk);
    for (uint32_t block = 0; block < BLOCKS; block++) {
        size_t bitmap = (size_t)vhd_load_entry(memory.bytes + TABLE + block * 4) * 512;
        memset(memory.bytes + bitmap, 0, 1024);
        if (block % 3)
            memory.bytes[bitmap + block * 300 / 8] = (uint8_t)(0x80 >> block * 300 % 8);
    }
    disk = must_open(&memory, 0);
    static const uint8_t zeros[512];
    for (unsigned round = 0; round < 3; round++) {
        for (uint32_t block = 0; block < BLOCKS; block++) {
            uint64_t sector = block * SECTORS + block * 300;
            assert_int_equal(disk_transfer(disk, DISK_READ, read, sector, 1), 0);
            assert_memory_equal(read, block % 3 ? bytes : zeros, 512);
            assert_int_equal(disk_transfer(disk, DISK_READ, read, sector + 1, 1), 0);
            assert_memory_equal(read, zeros, 512);
        }
    }
    disk_close(disk);
    memory_file_release(&memory);
}

/* The largest disk there is, written at its ends. */
static void largest_disk(void **state)
{
    (void)state;
    static uint8_t bytes[1024], read[1024];
    struct memory_file memory;
    make_image(&memory, DISK_FORMAT_DYNAMIC, VHD_MAXIMUM_SIZE, VHD_DEFAULT_BLOCK_SIZE);
    struct disk *disk = must_open(&memory, 0);
    uint64_t sectors = disk_sectors(disk);
    assert_int_equal(sectors, 4278190080u);
    memset(bytes, 0x77, sizeof(bytes));
    assert_int_equal(disk_transfer(disk, DISK_WRITE, bytes, sectors - 2, 2), 0);
    assert_int_equal(disk_transfer(disk, DISK_WRITE, bytes, 4095, 2), 0);
    assert_int_equal(disk_next_data(disk, 0), 0);
    assert_int_equal(disk_next_data(disk, 5000), 5000);
    assert_int_equal(disk_next_data(disk, 8192), sectors - 4096);
    assert_int_equal(disk_close(disk), 0);
    disk = must_open(&memory, DISK_OPEN_READ_ONLY);
    assert_int_equal(disk_transfer(disk, DISK_READ, read, sectors - 2, 2), 0);
    assert_memory_equal(read, bytes, sizeof(read));
    assert_int_equal(disk_transfer(disk, DISK_READ, read, 4095, 2), 0);
    assert_memory_equal(read, bytes, sizeof(read));
    disk_close(disk);
    memory_file_release(&memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(geometry_of_the_specification),
        cmocka_unit_test(identify_geometry_is_one_of_ata),
        cmocka_unit_test(size_by_creator),
        cmocka_unit_test(bitmap_sizes),
        cmocka_unit_test(footer_layout),
        cmocka_unit_test(new_images_are_sound),
        cmocka_unit_test(requests_are_checked),
        cmocka_unit_test(scattered_memory),
        cmocka_unit_test(requests_from_done),
        cmocka_unit_test(accesses_per_request),
        cmocka_unit_test(no_bytes_left_behind),
        cmocka_unit_test(not_a_vhd),
        cmocka_unit_test(raw_stays_raw),
        cmocka_unit_test(fixed_stays_fixed),
        cmocka_unit_test(damaged_metadata),
        cmocka_unit_test(damaged_checksums),
        cmocka_unit_test(geometry_as_size),
        cmocka_unit_test(old_footers),
        cmocka_unit_test(damaged_table),
        cmocka_unit_test(bitmaps_are_honoured),
        cmocka_unit_test(many_bitmaps),
        cmocka_unit_test(largest_disk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
