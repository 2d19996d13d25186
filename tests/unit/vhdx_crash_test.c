/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Power failures, as in disk_crash_test.c: random work is done on an image whose file logs its changes. For each
 * change, a failure right after it is played: what was synchronized is on the medium, and of the changes since, in
 * pieces of a sector, any subset; all subsets when they are few, otherwise some from a fixed seed. Each such medium
 * must pass the check, open, hold for each sector the last flushed content or one written since, and be without a flaw
 * when it is closed. Work goes on with one of the media, so that failures while a log is replayed are played, too.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/vhdx_fixture.h"

#define MIB             (1u << 20)
#define SECTORS_PER_MIB (MIB / DISK_SECTOR_SIZE)
#define DISK_MIB        3u

/* Sectors that are written: around the two borders of blocks. */
#define WINDOWS         2u
#define WINDOW          32u
#define WATCHED         (WINDOWS * WINDOW)
#define MOST_VERSIONS   96u
#define MOST_FLUSHES    64u
#define MOST_PIECES     16384u
#define EXHAUSTIVE      4u
#define LARGEST_REQUEST 24u
#define GENERATIONS     4u

static uint64_t random_state;

static uint32_t below(uint32_t limit)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((random_state >> 33) % limit);
}

static uint64_t sector_of(uint32_t watched)
{
    return (uint64_t)(watched / WINDOW + 1) * SECTORS_PER_MIB - WINDOW / 2 + watched % WINDOW;
}

/* What was written to a sector, and how long the log was when it began. */
struct version {
    uint64_t value;
    size_t began;
};

static struct {
    struct version versions[WATCHED][MOST_VERSIONS];
    uint32_t count[WATCHED]; /* at least 1: what the sector had at first */
    struct {
        size_t completed; /* length of the log */
        uint32_t count[WATCHED];
    } flushes[MOST_FLUSHES];
    uint32_t flush_count;
} model;

static uint8_t parent_bytes[DISK_MIB * MIB];
static const uint8_t *parent;
static uint64_t last_value;
static uint64_t media_played;

/* A value fills its sector in a way that shows any mixing. 0 is a sector of zeros. */
static void fill_sector(uint8_t *bytes, uint64_t value)
{
    for (uint64_t i = 0; i < DISK_SECTOR_SIZE / 8; i++) {
        uint64_t word = value ? value * 0x100000001b3u + i : 0;
        memcpy(bytes + i * 8, &word, 8);
    }
}

static bool holds(const uint8_t *bytes, uint64_t value)
{
    uint8_t expected[DISK_SECTOR_SIZE];
    fill_sector(expected, value);
    return memcmp(bytes, expected, sizeof(expected)) == 0;
}

static void note_flush(size_t completed)
{
    assert_true(model.flush_count < MOST_FLUSHES);
    model.flushes[model.flush_count].completed = completed;
    memcpy(model.flushes[model.flush_count++].count, model.count, sizeof(model.count));
}

static void begin_model(const uint64_t *values)
{
    model.flush_count = 0;
    for (uint32_t i = 0; i < WATCHED; i++) {
        model.versions[i][0] = (struct version){.value = values[i]};
        model.count[i] = 1;
    }
    note_flush(0);
}

/* The value that the sector may have after a failure at `point`, or a failed assertion. */
static uint64_t expect_allowed(const uint8_t *bytes, uint32_t watched, size_t point)
{
    uint32_t flush = model.flush_count - 1;
    while (model.flushes[flush].completed > point)
        flush--;
    for (uint32_t i = model.flushes[flush].count[watched] - 1; i < model.count[watched]; i++) {
        const struct version *version = &model.versions[watched][i];
        bool flushed = i == model.flushes[flush].count[watched] - 1;
        if ((flushed || version->began < point) && holds(bytes, version->value))
            return version->value;
    }
    print_error("sector %u of those watched, after change %zu: neither flushed nor written\n", watched, point);
    fail();
    return 0;
}

/* Compares a medium after a failure with the model; `values`, unless NULL, gets what it holds. */
static void expect_survived(struct memory_file *medium, size_t point, uint64_t *values)
{
    uint8_t bytes[WINDOW * DISK_SECTOR_SIZE];
    struct vhdx_fixture fixture = {.memory = *medium, .cache = metadata_cache_create(), .parent = parent};
    assert_int_equal(vhdx_fixture_check(&fixture.memory).count[DISK_CHECK_ERROR], 0);
    vhdx_fixture_open(&fixture, 0);
    for (uint32_t window = 0; window < WINDOWS; window++) {
        assert_int_equal(vhdx_fixture_read(&fixture, bytes, sector_of(window * WINDOW), WINDOW), 0);
        for (uint32_t i = 0; i < WINDOW; i++) {
            uint64_t value = expect_allowed(bytes + (size_t)i * DISK_SECTOR_SIZE, window * WINDOW + i, point);
            if (values)
                values[window * WINDOW + i] = value;
        }
    }
    assert_int_equal(vhdx_fixture_close(&fixture), 0);
    struct disk_check_result result = vhdx_fixture_check(&fixture.memory);
    assert_int_equal(result.count[DISK_CHECK_ERROR] + result.count[DISK_CHECK_WARNING], 0);
    metadata_cache_destroy(fixture.cache);
    *medium = fixture.memory;
}

/* What may or may not have reached the medium by itself: a sector of a write, or a truncation. */
struct piece {
    const struct memory_change *change;
    size_t skip, length;
};

static struct piece pieces[MOST_PIECES];
static bool chosen[MOST_PIECES];
static uint32_t piece_count;

static void add_pieces(const struct memory_change *change)
{
    size_t skip = 0;
    do {
        size_t length = DISK_SECTOR_SIZE - (change->offset + skip) % DISK_SECTOR_SIZE;
        if (change->kind != MEMORY_WRITE || length > change->length - skip)
            length = change->length - skip;
        assert_true(piece_count < MOST_PIECES);
        pieces[piece_count++] = (struct piece){change, skip, length};
        skip += length;
    } while (skip < change->length);
}

/* Makes a stretch of the medium that of `base` again. */
static void restore(struct memory_file *medium, const struct memory_file *base, uint64_t offset, uint64_t length)
{
    if (offset >= base->size)
        return;
    if (length > base->size - offset)
        length = base->size - offset;
    memcpy(medium->bytes + offset, base->bytes + offset, length);
}

static void undo(struct memory_file *medium, const struct memory_file *base, const struct memory_change *change)
{
    if (change->kind == MEMORY_WRITE)
        restore(medium, base, change->offset, change->length);
    else if (change->kind == MEMORY_TRUNCATE)
        restore(medium, base, change->offset, UINT64_MAX);
}

static void choose(struct memory_file *medium)
{
    for (uint32_t i = 0; i < piece_count; i++)
        if (chosen[i])
            memory_file_apply(medium, pieces[i].change, pieces[i].skip, pieces[i].length);
}

/* `medium` is as `base`, which has what is synchronized, before and after. */
static void play(struct memory_file *medium, const struct memory_file *base, size_t point)
{
    choose(medium);
    memory_file_reset(medium);
    medium->logging = true;
    expect_survived(medium, point, NULL);
    media_played++;

    memory_file_resize(medium, base->size);
    for (size_t i = 0; i < medium->log_count; i++)
        undo(medium, base, &medium->log[i]);
    for (uint32_t i = 0; i < piece_count; i++)
        if (chosen[i])
            undo(medium, base, pieces[i].change);
}

/* The failures right after change `point - 1`, whose pieces begin with `fresh`. */
static void play_subsets(struct memory_file *medium, const struct memory_file *base, size_t point, uint32_t fresh,
                         unsigned subsets)
{
    if (piece_count <= EXHAUSTIVE) {
        for (uint32_t subset = 0; subset < 1u << piece_count; subset++) {
            if (subset && !(subset >> fresh))
                continue;
            for (uint32_t i = 0; i < piece_count; i++)
                chosen[i] = subset >> i & 1;
            play(medium, base, point);
        }
        return;
    }
    for (uint32_t subset = 0; subset < subsets; subset++) {
        uint32_t density = subset == 0 ? 4 : below(5); /* of 4; 4 is everything */
        for (uint32_t i = 0; i < piece_count; i++)
            chosen[i] = below(4) < density;
        chosen[fresh + below(piece_count - fresh)] ^= subset & 1;
        play(medium, base, point);
    }
}

/*
 * Plays all failures of the log. `base` is what the medium had at first, and then what is synchronized at the end; the
 * pieces since then remain too.
 */
static void play_log(const struct memory_file *logged, struct memory_file *base, unsigned subsets)
{
    struct memory_file medium;
    memory_file_initialize(&medium);
    memory_file_set(&medium, base->bytes, base->size);
    piece_count = 0;
    for (size_t i = 0; i < logged->log_count; i++) {
        const struct memory_change *change = &logged->log[i];
        if (change->kind == MEMORY_SYNCHRONIZE) {
            for (uint32_t j = 0; j < piece_count; j++)
                memory_file_apply(base, pieces[j].change, pieces[j].skip, pieces[j].length);
            memory_file_set(&medium, base->bytes, base->size);
            piece_count = 0;
            continue;
        }
        uint32_t fresh = piece_count;
        add_pieces(change);
        play_subsets(&medium, base, i + 1, fresh, subsets);
    }
    memory_file_release(&medium);
}

static void write_some(struct vhdx_fixture *fixture)
{
    static uint8_t bytes[LARGEST_REQUEST * DISK_SECTOR_SIZE];
    uint32_t unit = fixture->image->write_unit;
    uint32_t sectors = (1 + below(LARGEST_REQUEST / unit)) * unit;
    uint32_t first = below(WINDOWS) * WINDOW + below((WINDOW - sectors) / unit + 1) * unit;
    for (uint32_t i = 0; i < sectors; i++) {
        uint32_t watched = first + i;
        uint64_t value = ++last_value;
        fill_sector(bytes + (size_t)i * DISK_SECTOR_SIZE, value);
        assert_true(model.count[watched] < MOST_VERSIONS);
        model.versions[watched][model.count[watched]++] = (struct version){value, fixture->memory.log_count};
    }
    assert_int_equal(vhdx_fixture_write(fixture, bytes, sector_of(first), sectors), 0);
}

/* Sectors that are given back may be zeros from then on. */
static void discard_some(struct vhdx_fixture *fixture)
{
    uint8_t bytes[WINDOW * DISK_SECTOR_SIZE];
    size_t began = fixture->memory.log_count;
    uint32_t first = below(WINDOWS) * WINDOW;
    assert_int_equal(vhdx_fixture_discard(fixture, sector_of(first) + 8, WINDOW / 2), 0);
    assert_int_equal(vhdx_fixture_read(fixture, bytes, sector_of(first), WINDOW), 0);
    for (uint32_t watched = first; watched < first + WINDOW; watched++)
        if (holds(bytes + (size_t)(watched - first) * DISK_SECTOR_SIZE, 0) && model.count[watched] < MOST_VERSIONS)
            model.versions[watched][model.count[watched]++] = (struct version){0, began};
}

/* Random work of `steps` requests; a power failure is what ends it. */
static void work(struct vhdx_fixture *fixture, unsigned steps)
{
    vhdx_fixture_open(fixture, 0);
    for (unsigned i = 0; i < steps; i++) {
        uint32_t dice = below(12);
        if (dice < 3) {
            assert_int_equal(vhdx_fixture_flush(fixture), 0);
            note_flush(fixture->memory.log_count);
        } else if (dice == 3) {
            assert_int_equal(vhdx_fixture_close(fixture), 0);
            assert_int_equal(disk_file_synchronize(&fixture->memory.file), 0); /* as whoever closes the disk does */
            note_flush(fixture->memory.log_count);
            vhdx_fixture_open(fixture, 0);
        } else if (dice == 4) {
            discard_some(fixture);
        } else {
            write_some(fixture);
        }
    }
}

/* Works on the image, plays every failure, and goes on with one of the media that a failure at the end leaves. */
static void live_and_fail(struct memory_file *memory, uint64_t *values, unsigned steps, unsigned subsets)
{
    struct memory_file base;
    memory_file_initialize(&base);
    memory_file_set(&base, memory->bytes, memory->size);
    for (unsigned generation = 0; generation < GENERATIONS; generation++) {
        struct vhdx_fixture fixture;
        begin_model(values);
        vhdx_fixture_begin(&fixture, &base);
        fixture.parent = parent;
        fixture.memory.logging = true;
        work(&fixture, steps);
        size_t end = fixture.memory.log_count;
        play_log(&fixture.memory, &base, subsets);

        for (uint32_t i = 0; i < piece_count; i++)
            chosen[i] = below(2);
        choose(&base);
        memory_file_set(memory, base.bytes, base.size);
        expect_survived(memory, end, values);
        vhdx_fixture_end(&fixture);
    }
    memory_file_release(&base);
}

static void live(enum disk_format format, uint32_t logical_sector, unsigned steps, unsigned subsets)
{
    static uint64_t values[WATCHED];
    struct memory_file memory;
    memory_file_initialize(&memory);
    vhdx_fixture_create(&memory, format, DISK_MIB * MIB, logical_sector);
    random_state = (uint32_t)format + logical_sector;
    media_played = 0;
    memset(values, 0, sizeof(values));
    parent = NULL;
    if (format == DISK_FORMAT_DIFFERENCING) {
        parent = parent_bytes;
        for (uint32_t i = 0; i < WATCHED; i++)
            fill_sector(parent_bytes + sector_of(i) * DISK_SECTOR_SIZE, values[i] = ++last_value);
    }
    live_and_fail(&memory, values, steps, subsets);
    memory_file_release(&memory);
    print_message("%llu media played\n", (unsigned long long)media_played);
}

static void dynamic_image(void **state)
{
    (void)state;
    live(DISK_FORMAT_DYNAMIC, 512, 14, 3);
}

static void differencing_image(void **state)
{
    (void)state;
    live(DISK_FORMAT_DIFFERENCING, 512, 20, 3);
}

static void differencing_image_of_4k_sectors(void **state)
{
    (void)state;
    live(DISK_FORMAT_DIFFERENCING, 4096, 12, 3);
}

static void fixed_image(void **state)
{
    (void)state;
    live(DISK_FORMAT_FIXED, 512, 8, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dynamic_image),
        cmocka_unit_test(differencing_image),
        cmocka_unit_test(differencing_image_of_4k_sectors),
        cmocka_unit_test(fixed_image),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
