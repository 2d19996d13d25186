/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The log: which entries are replayed, of logs with torn, stale, wrapped and damaged entries; what a replay does, in
 * the file and in memory; and how the log is written.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "partitions/root/disk/little_endian.h"
#include "partitions/root/disk/crc32c.h"
#include "partitions/root/disk/vhdx/log.h"
#include "partitions/root/disk/vhdx/overlay.h"
#include "partitions/root/disk/vhdx/replay.h"
#include "tests/unit/vhdx_fixture.h"

#define MIB     (1u << 20)
#define PAGE    VHDX_LOG_SECTOR
#define SECTORS (MIB / PAGE)
/* Where updates go: the BAT's second MiB, so to speak, which nothing else is in. */
#define TARGET (4u * MIB)

static const uint8_t guid[VHDX_GUID_SIZE] = {7, 7, 7};
static const uint8_t other_guid[VHDX_GUID_SIZE] = {8, 8, 8};

/* A file with a log of 1 MiB at 1 MiB, and the headers that whoever replays it has read. */
struct bed {
    struct memory_file memory;
    struct vhdx_headers headers;
    struct vhdx_replay replay;
    struct disk_error error;
};

static void begin(struct bed *bed)
{
    memset(bed, 0, sizeof(*bed));
    memory_file_initialize(&bed->memory);
    memory_file_resize(&bed->memory, 6 * MIB);
    bed->headers.file_size = 6 * MIB;
    bed->headers.header.log_offset = MIB;
    bed->headers.header.log_length = MIB;
    memcpy(bed->headers.header.log_guid, guid, VHDX_GUID_SIZE);
}

static void end(struct bed *bed)
{
    vhdx_replay_free(&bed->replay);
    memory_file_release(&bed->memory);
}

static bool load(struct bed *bed)
{
    vhdx_replay_free(&bed->replay);
    return vhdx_replay_load(&bed->replay, &bed->memory.file, &bed->headers, &bed->error);
}

/* What an entry is to be: at `sector` of the log, with `pages` updates from page `first` of the target on, all bytes
 * `fill`. */
struct entry {
    uint32_t sector, tail;
    uint64_t sequence;
    uint32_t first, pages;
    uint8_t fill;
    const uint8_t *log_guid; /* NULL: `guid` */
};

static void put_entry(struct bed *bed, struct entry entry)
{
    struct vhdx_log log;
    struct vhdx_log_entry made;
    vhdx_log_begin(&log, &bed->memory.file, MIB, MIB, entry.log_guid ? entry.log_guid : guid);
    log.head = (uint64_t)entry.sector * PAGE;
    log.tail = (uint64_t)entry.tail * PAGE;
    log.sequence = entry.sequence;
    assert_true(vhdx_log_entry_begin(&made, entry.pages));
    for (uint32_t i = 0; i < entry.pages; i++)
        memset(vhdx_log_entry_add(&made, TARGET + (uint64_t)(entry.first + i) * PAGE), entry.fill, PAGE);
    assert_int_equal(vhdx_log_write(&log, &made, 5 * MIB, 6 * MIB), 0);
}

static uint8_t *log_sector(struct bed *bed, uint32_t sector)
{
    return bed->memory.bytes + MIB + (size_t)(sector % SECTORS) * PAGE;
}

static void reseal(struct bed *bed, uint32_t sector, uint32_t sectors)
{
    uint32_t sum = vhdx_log_first_checksum(log_sector(bed, sector));
    for (uint32_t i = 1; i < sectors; i++)
        sum = crc32c(sum, log_sector(bed, sector + i), PAGE);
    vhdx_log_header_seal(log_sector(bed, sector), sum);
}

static void expect_target(struct bed *bed, uint32_t page, uint8_t fill)
{
    uint8_t expected[PAGE];
    memset(expected, fill, sizeof(expected));
    assert_memory_equal(bed->memory.bytes + TARGET + (size_t)page * PAGE, expected, PAGE);
}

/* The overlay reads as the file will after the replay; then it is done in the file. */
static void replay_both_ways(struct bed *bed)
{
    int result;
    struct vhdx_replay again;
    uint64_t size, after;
    assert_true(vhdx_replay_load(&again, &bed->memory.file, &bed->headers, &bed->error));
    struct disk_file *overlay = vhdx_overlay_create(&bed->memory.file, &again, &result);
    assert_non_null(overlay);
    assert_int_equal(disk_file_size(overlay, &size), 0);
    uint8_t *seen = malloc(size);
    assert_int_equal(disk_file_read_buffer(overlay, seen, size, 0), 0);
    assert_int_equal(disk_file_write_buffer(overlay, "x", 1, 0), EROFS);
    disk_file_close(overlay);

    assert_int_equal(vhdx_replay_apply(&bed->replay, &bed->memory.file), 0);
    assert_int_equal(disk_file_size(&bed->memory.file, &after), 0);
    assert_int_equal(size, after);
    assert_memory_equal(seen, bed->memory.bytes, size);
    free(seen);
}

static void expect_none(struct bed *bed)
{
    assert_false(load(bed));
    assert_int_equal(bed->error.code, EUCLEAN);
    assert_string_equal(
        bed->error.text + bed->error.reason,
        "a damaged VHDX: LogGuid at byte 65584 is set, and the log has no valid sequence of entries with it");
}

static void empty_log(void **state)
{
    (void)state;
    struct bed bed;
    begin(&bed);
    expect_none(&bed);
    put_entry(&bed, (struct entry){.sequence = 1, .pages = 1, .log_guid = other_guid});
    expect_none(&bed);
    put_entry(&bed, (struct entry){.sequence = 1});
    assert_true(load(&bed));
    assert_int_equal(bed.replay.entries, 1);
    replay_both_ways(&bed);
    end(&bed);
}

/* Entries are replayed in their order, from the tail that the last one names. */
static void sequence_of_entries(void **state)
{
    (void)state;
    struct bed bed;
    begin(&bed);
    put_entry(&bed, (struct entry){.sector = 0, .tail = 0, .sequence = 5, .first = 0, .pages = 2, .fill = 0x55});
    put_entry(&bed, (struct entry){.sector = 3, .tail = 0, .sequence = 6, .first = 1, .pages = 2, .fill = 0x66});
    put_entry(&bed, (struct entry){.sector = 6, .tail = 3, .sequence = 7, .first = 3, .pages = 1, .fill = 0x77});
    assert_true(load(&bed));
    assert_int_equal(bed.replay.entries, 2);
    assert_int_equal(bed.replay.first, 3 * PAGE);
    assert_int_equal(bed.replay.flushed_end, 5 * MIB);
    assert_int_equal(bed.replay.last_end, 6 * MIB);
    replay_both_ways(&bed);
    expect_target(&bed, 0, 0);
    expect_target(&bed, 1, 0x66);
    expect_target(&bed, 2, 0x66);
    expect_target(&bed, 3, 0x77);
    end(&bed);
}

/* Whatever byte of the last entry has not reached the disk, the sequence ends before it. */
static void torn_entry(void **state)
{
    (void)state;
    struct bed bed;
    begin(&bed);
    put_entry(&bed, (struct entry){.sector = 0, .sequence = 5, .pages = 1, .fill = 0x55});
    put_entry(&bed, (struct entry){.sector = 2, .sequence = 6, .pages = 1, .fill = 0x66});
    for (uint32_t at = 0; at < 2 * PAGE; at += at < 100 ? 1 : 211) {
        log_sector(&bed, 2)[at] ^= 0x10;
        assert_true(load(&bed));
        assert_int_equal(bed.replay.entries, 1);
        log_sector(&bed, 2)[at] ^= 0x10;
    }
    log_sector(&bed, 2)[PAGE - 1] ^= 0x10;
    assert_true(load(&bed));
    replay_both_ways(&bed);
    expect_target(&bed, 0, 0x55);
    end(&bed);
}

/* An entry in the middle is missing: what follows names a tail that is not among it, and does not count. */
static void missing_entry(void **state)
{
    (void)state;
    struct bed bed;
    begin(&bed);
    put_entry(&bed, (struct entry){.sector = 0, .sequence = 5, .first = 0, .pages = 1, .fill = 0x55});
    put_entry(&bed, (struct entry){.sector = 2, .sequence = 6, .first = 1, .pages = 1, .fill = 0x66});
    put_entry(&bed, (struct entry){.sector = 4, .sequence = 7, .first = 2, .pages = 1, .fill = 0x77});
    memset(log_sector(&bed, 2), 0, PAGE);
    assert_true(load(&bed));
    assert_int_equal(bed.replay.entries, 1);
    replay_both_ways(&bed);
    expect_target(&bed, 0, 0x55);
    expect_target(&bed, 2, 0);
    end(&bed);
}

/* Of several valid sequences the newest counts, wherever it is; entries of an earlier use of the log do not. */
static void stale_entries(void **state)
{
    (void)state;
    struct bed bed;
    begin(&bed);
    put_entry(
        &bed,
        (struct entry){
            .sector = 0, .tail = 0, .sequence = 90, .first = 0, .pages = 1, .fill = 0x90, .log_guid = other_guid});
    put_entry(&bed, (struct entry){.sector = 10, .tail = 10, .sequence = 9, .first = 0, .pages = 1, .fill = 0x09});
    put_entry(&bed, (struct entry){.sector = 40, .tail = 40, .sequence = 4, .first = 1, .pages = 1, .fill = 0x04});
    put_entry(&bed, (struct entry){.sector = 12, .tail = 12, .sequence = 11, .first = 2, .pages = 1, .fill = 0x11});
    put_entry(&bed, (struct entry){.sector = 14, .tail = 50, .sequence = 12, .first = 3, .pages = 1, .fill = 0x12});
    assert_true(load(&bed)); /* 11 and 12 are a sequence whose tail is elsewhere */
    assert_int_equal(bed.replay.first, 10 * PAGE);
    replay_both_ways(&bed);
    expect_target(&bed, 0, 0x09);
    expect_target(&bed, 1, 0);
    expect_target(&bed, 2, 0);
    end(&bed);
}

/* A sequence, and an entry, go over the log's end. */
static void wrapped_sequence(void **state)
{
    (void)state;
    struct bed bed;
    begin(&bed);
    put_entry(&bed, (struct entry){.sector = 250, .tail = 250, .sequence = 5, .first = 0, .pages = 3, .fill = 0x55});
    put_entry(&bed, (struct entry){.sector = 254, .tail = 250, .sequence = 6, .first = 3, .pages = 4, .fill = 0x66});
    put_entry(&bed, (struct entry){.sector = 259, .tail = 254, .sequence = 7, .first = 7, .pages = 1, .fill = 0x77});
    assert_true(load(&bed));
    assert_int_equal(bed.replay.first, 254 * PAGE);
    assert_int_equal(bed.replay.entries, 2);
    replay_both_ways(&bed);
    expect_target(&bed, 2, 0);
    expect_target(&bed, 3, 0x66);
    expect_target(&bed, 6, 0x66);
    expect_target(&bed, 7, 0x77);
    end(&bed);
}

/* An entry is refused for each field of it that is wrong, though its checksum is right. */
static void wrong_fields(void **state)
{
    (void)state;
    enum { LENGTH = 8, TAIL = 12, SEQUENCE = 16, COUNT = 24, RESERVED = 28, FLUSHED = 48, LAST = 56, DESCRIPTOR = 64 };
    static const struct {
        uint32_t at, size;
        uint64_t value;
    } cases[] = {
        {LENGTH,          4, 0                    },
        {LENGTH,          4, 2 * PAGE + 512       },
        {LENGTH,          4, UINT32_MAX - PAGE + 1},
        {TAIL,            4, 512                  },
        {TAIL,            4, MIB                  },
        {SEQUENCE,        8, 0                    },
        {SEQUENCE,        8, 6                    }, /* not that of the descriptors */
        {COUNT,           4, 2                    },
        {COUNT,           4, UINT32_MAX           },
        {RESERVED,        4, 1                    },
        {FLUSHED,         8, 4096                 },
        {LAST,            8, 4096                 },
        {LAST,            8, 1ull << 60           },
        {DESCRIPTOR,      1, 'D'                  },
        {DESCRIPTOR + 16, 8, TARGET + 512         },
        {DESCRIPTOR + 16, 8, 0                    }, /* over the header section */
        {DESCRIPTOR + 16, 8, MIB + 8 * PAGE       }, /* over the log */
        {DESCRIPTOR + 16, 8, UINT64_MAX - PAGE + 1},
        {DESCRIPTOR + 24, 8, 6                    },
        {PAGE,            1, 'D'                  },
        {PAGE + 4,        4, 1                    },
        {2 * PAGE - 4,    4, 6                    },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct bed bed;
        begin(&bed);
        put_entry(&bed, (struct entry){.sequence = 5, .pages = 1, .fill = 0x55});
        assert_true(load(&bed));
        for (uint32_t byte = 0; byte < cases[i].size; byte++)
            log_sector(&bed, 0)[cases[i].at + byte] = (uint8_t)(cases[i].value >> 8 * byte);
        reseal(&bed, 0, 2);
        expect_none(&bed);
        end(&bed);
    }
}

static void truncated_file(void **state)
{
    (void)state;
    struct bed bed;
    begin(&bed);
    put_entry(&bed, (struct entry){.sequence = 5, .pages = 1, .fill = 0x55});
    bed.headers.file_size = 5 * MIB;
    assert_true(load(&bed));
    bed.headers.file_size = 5 * MIB - 1;
    assert_false(load(&bed));
    assert_int_equal(bed.error.code, EUCLEAN);
    assert_string_equal(
        bed.error.text + bed.error.reason,
        "a damaged VHDX: it was truncated to 5242879 bytes; its log says (FlushedFileOffset) that it had "
        "5242880");
    end(&bed);
}

static void put_zero_descriptor(uint8_t *bytes, uint64_t offset, uint64_t length, uint64_t sequence)
{
    memcpy(bytes, "zero\0\0\0", 8);
    little_endian_store64(bytes + 8, length);
    little_endian_store64(bytes + 16, offset);
    little_endian_store64(bytes + 24, sequence);
}

/* Zeros over data, data over zeros, and a file that becomes longer. */
static void zero_descriptors(void **state)
{
    (void)state;
    enum { COUNT = 3 };
    struct bed bed;
    begin(&bed);
    memset(bed.memory.bytes + TARGET, 0xaa, 2 * MIB);
    put_entry(&bed, (struct entry){.sector = 0, .tail = 0, .sequence = 5, .first = 0, .pages = 8, .fill = 0x55});
    put_entry(&bed, (struct entry){.sector = 9, .tail = 0, .sequence = 6, .pages = 0});
    uint8_t *zeros = log_sector(&bed, 9);
    little_endian_store32(zeros + 24, COUNT);
    put_zero_descriptor(zeros + 64, TARGET + 2 * PAGE, 3 * PAGE, 6);
    put_zero_descriptor(zeros + 96, TARGET + 12 * PAGE, PAGE, 6);
    put_zero_descriptor(zeros + 128, 7 * MIB, 2 * MIB, 6);
    reseal(&bed, 9, 1);
    put_entry(&bed, (struct entry){.sector = 10, .tail = 0, .sequence = 7, .first = 3, .pages = 1, .fill = 0x77});
    assert_true(load(&bed));
    assert_int_equal(bed.replay.entries, 3);
    replay_both_ways(&bed);
    assert_int_equal(bed.memory.size, 9 * MIB);
    static const uint8_t expected[] = {0x55, 0x55, 0, 0x77, 0, 0x55, 0x55, 0x55, 0xaa, 0xaa, 0xaa, 0xaa, 0, 0xaa};
    for (uint32_t i = 0; i < sizeof(expected); i++)
        expect_target(&bed, i, expected[i]);
    end(&bed);
}

/* More descriptors than the first sector has room for: zeros in the second, and data behind. */
static void many_descriptors(void **state)
{
    (void)state;
    enum { ZEROS = 200, SEQUENCE = 5 };
    struct bed bed;
    begin(&bed);
    memset(bed.memory.bytes + TARGET, 0xaa, MIB);
    put_entry(&bed, (struct entry){.sequence = SEQUENCE});
    struct vhdx_log_header header;
    uint32_t checksum;
    uint8_t *first = log_sector(&bed, 0);
    assert_true(vhdx_log_header_decode(first, &header, &checksum));
    header.length = 3 * PAGE;
    header.descriptors = ZEROS + 1;
    vhdx_log_header_encode(&header, first);
    for (uint32_t i = 0; i < ZEROS; i++)
        put_zero_descriptor(first + 64 + i * 32, TARGET + i * PAGE, PAGE, SEQUENCE);
    memset(log_sector(&bed, 2), 0x33, PAGE);
    vhdx_data_pack(log_sector(&bed, 2), TARGET + 7 * PAGE, SEQUENCE, first + 64 + ZEROS * 32);
    reseal(&bed, 0, 3);
    assert_true(load(&bed));
    replay_both_ways(&bed);
    expect_target(&bed, 7, 0x33);
    expect_target(&bed, ZEROS - 1, 0);
    expect_target(&bed, ZEROS, 0xaa);
    end(&bed);
}

/* The writer never overwrites what a crash could need: at each moment the log has the newest durable sequence. */
static void written_log(void **state)
{
    (void)state;
    struct bed bed;
    struct vhdx_log log;
    begin(&bed);
    vhdx_log_begin(&log, &bed.memory.file, MIB, MIB, guid);
    uint64_t wrapped = 0;
    for (uint32_t i = 0; i < 200; i++) {
        uint32_t pages = i * 37 % 60;
        struct vhdx_log_entry entry;
        if (!vhdx_log_has_room(&log, pages)) {
            /* As the image does: places, synchronizes, and leaves all behind with an empty entry. */
            vhdx_log_placed(&log);
            vhdx_log_synchronized(&log);
            assert_true(vhdx_log_entry_begin(&entry, 0));
            assert_int_equal(vhdx_log_write(&log, &entry, 6 * MIB, 6 * MIB), 0);
            vhdx_log_synchronized(&log);
            assert_true(load(&bed));
            assert_int_equal(bed.replay.entries, 1);
            assert_true(vhdx_log_has_room(&log, VHDX_LOG_UPDATES));
        }
        assert_true(vhdx_log_entry_begin(&entry, pages));
        for (uint32_t page = 0; page < pages; page++)
            memset(vhdx_log_entry_add(&entry, TARGET + page * PAGE), (int)i, PAGE);
        assert_int_equal(vhdx_log_write(&log, &entry, 6 * MIB, 6 * MIB), 0);
        assert_true(load(&bed));
        assert_true(bed.replay.entries >= 1 && bed.replay.first == log.newest_tail % MIB);
        wrapped = log.head / MIB;
        if (i % 3 == 0)
            vhdx_log_synchronized(&log);
    }
    assert_true(wrapped > 10);
    replay_both_ways(&bed);
    end(&bed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(empty_log),        cmocka_unit_test(sequence_of_entries), cmocka_unit_test(torn_entry),
        cmocka_unit_test(missing_entry),    cmocka_unit_test(stale_entries),       cmocka_unit_test(wrapped_sequence),
        cmocka_unit_test(wrong_fields),     cmocka_unit_test(truncated_file),      cmocka_unit_test(zero_descriptors),
        cmocka_unit_test(many_descriptors), cmocka_unit_test(written_log),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
