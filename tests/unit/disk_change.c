/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/disk_change.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "partitions/root/disk/chain.h"
#include "partitions/root/disk/check.h"
#include "partitions/root/disk/open.h"
#include "tests/unit/power_failure.h"

static struct disk *open_image(struct memory_file *memory, struct memory_file *parent, unsigned flags)
{
    struct disk_file *files[] = {&memory->file, parent ? &parent->file : NULL};
    struct disk_error error;
    return disk_open_files(files, parent ? 2 : 1, flags, &error);
}

/* The bytes of the last state that was released: thousands are captured, and fresh memory costs more than all else. */
static struct {
    uint8_t *bytes;
    uint64_t sectors;
} spare;

static uint8_t *take_bytes(uint64_t sectors)
{
    uint8_t *bytes = NULL;
    if (spare.bytes && spare.sectors == sectors) {
        bytes = spare.bytes;
        spare.bytes = NULL;
    } else {
        bytes = malloc(sectors * DISK_SECTOR_SIZE);
    }
    assert_non_null(bytes);
    return bytes;
}

static void give_bytes(uint8_t *bytes, uint64_t sectors)
{
    free(spare.bytes);
    spare.bytes = bytes;
    spare.sectors = bytes ? sectors : 0;
}

static void capture_vhdx(struct disk_state *state, struct disk_image *image)
{
    struct disk_error error;
    memcpy(state->identifier, image->identifier, sizeof(state->identifier));
    if (!image->differencing)
        return;
    state->link = calloc(1, sizeof(*state->link));
    assert_non_null(state->link);
    assert_true(image->operations->read_parent(image, state->link, &error));
}

struct disk_state disk_state_capture(struct memory_file *memory, struct memory_file *parent, unsigned flags)
{
    struct disk_state state = {0};
    struct disk *disk = open_image(memory, parent, flags | DISK_OPEN_READ_ONLY);
    if (!disk)
        return state;
    state.sectors = disk_sectors(disk);
    state.bytes = take_bytes(state.sectors);
    state.usable = disk_transfer(disk, DISK_READ, state.bytes, 0, (uint32_t)state.sectors) == 0;
    enum disk_container container = disk_top(disk)->container;
    if (container == DISK_CONTAINER_VHDX)
        capture_vhdx(&state, disk_top(disk));
    disk_close(disk);

    struct vhd_metadata metadata;
    struct disk_error error;
    if (container == DISK_CONTAINER_VHD) {
        assert_true(vhd_metadata_read(&memory->file, &metadata, &error));
        state.footer = metadata.footer;
        state.footer.data_offset = 0;
        memcpy(state.header, metadata.header_bytes, sizeof(state.header));
    }
    return state;
}

void disk_state_release(struct disk_state *state)
{
    give_bytes(state->bytes, state->sectors);
    free(state->link);
}

static bool links_equal(const struct parent_link *a, const struct parent_link *b)
{
    if (!a || !b)
        return a == b;
    bool equal = a->names == b->names && memcmp(a->identifier, b->identifier, sizeof(a->identifier)) == 0 &&
                 memcmp(a->alternative, b->alternative, sizeof(a->alternative)) == 0;
    for (unsigned i = 0; i < a->names && equal; i++)
        equal = strcmp(a->name[i], b->name[i]) == 0;
    return equal;
}

bool disk_state_equal(const struct disk_state *a, const struct disk_state *b)
{
    if (!a->usable || !b->usable)
        return a->usable == b->usable;
    return a->sectors == b->sectors && memcmp(a->bytes, b->bytes, a->sectors * DISK_SECTOR_SIZE) == 0 &&
           memcmp(&a->footer, &b->footer, sizeof(a->footer)) == 0 &&
           memcmp(a->header, b->header, sizeof(a->header)) == 0 &&
           memcmp(a->identifier, b->identifier, sizeof(a->identifier)) == 0 && links_equal(a->link, b->link);
}

static void print_finding(void *context, enum disk_check_level level, const char *text)
{
    (void)context;
    if (level != DISK_CHECK_NOTE)
        print_error("%s\n", text);
}

void disk_change_expect_sound(struct memory_file *memory)
{
    struct disk_check_result result;
    struct disk_error error;
    assert_true(disk_check_file(&memory->file, print_finding, NULL, &result, &error));
    assert_int_equal(result.count[DISK_CHECK_ERROR] + result.count[DISK_CHECK_WARNING], 0);
}

/* The image before and after. */
struct states {
    const struct disk_change *change;
    struct disk_state before, after;
    uint64_t new_media;
};

static bool equals(const struct states *states, struct memory_file *medium, const struct disk_state *state)
{
    struct disk_state found = disk_state_capture(medium, states->change->parent, states->change->flags);
    if (states->change->any_header && found.usable)
        memcpy(found.header, state->header, sizeof(found.header));
    if (states->change->any_identifier && found.usable)
        memcpy(found.identifier, state->identifier, sizeof(found.identifier));
    bool equal = disk_state_equal(&found, state);
    disk_state_release(&found);
    return equal;
}

static void visit_medium(void *context, struct memory_file *medium, size_t point)
{
    struct states *states = context;
    bool new = equals(states, medium, &states->after);
    if (!new && !equals(states, medium, &states->before)) {
        print_error("after change %zu: neither the old nor the new image\n", point);
        fail();
    }
    states->new_media += new;
    const struct disk_state *state = new ? &states->after : &states->before;
    if (!state->usable || states->change->again) { /* it is changed once more */
        states->change->make(states->change->context, &medium->file);
        assert_true(equals(states, medium, &states->after));
        return;
    }
    struct disk *disk = open_image(medium, states->change->parent, states->change->flags);
    assert_non_null(disk);
    assert_int_equal(disk_close(disk), 0);
    assert_true(equals(states, medium, state));
    if (!(states->change->flags & DISK_OPEN_RAW))
        disk_change_expect_sound(medium);
}

uint64_t disk_change_play(const struct disk_change *change, struct memory_file *memory)
{
    struct states states = {.change = change, .before = disk_state_capture(memory, change->parent, change->flags)};
    struct memory_file base;
    memory_file_initialize(&base);
    power_failure_begin(memory, &base);
    change->make(change->context, &memory->file);
    memory->logging = false;
    states.after = disk_state_capture(memory, change->parent, change->flags);
    assert_true(states.after.usable);

    uint64_t played = power_failure_play(memory, &base, visit_medium, &states);
    bool visible = !disk_state_equal(&states.before, &states.after); /* compacting is not */
    assert_true(states.new_media > 0 && (!visible || states.new_media < played));
    assert_true(equals(&states, &base, &states.after)); /* all that matters was synchronized */
    memory_file_reset(memory);
    memory_file_release(&base);
    disk_state_release(&states.before);
    disk_state_release(&states.after);
    return played;
}

/* ---- Failures of calls ---- */

/* What a failed attempt has left is opened once more, as above. */
static void expect_old_or_new(struct states *states, struct memory_file *left, bool succeeded)
{
    memory_file_reset(left);
    left->file.failed = left->file.dirty = false;
    assert_true(!succeeded || equals(states, left, &states->after));
    visit_medium(states, left, 0);
}

static uint64_t fail_each(struct states *states, const struct memory_file *memory, int error, size_t count)
{
    const struct disk_change *change = states->change;
    struct memory_file left;
    memory_file_initialize(&left);
    bool failed = true;
    uint64_t failures = 0;
    for (size_t at = 1; failed; at++) {
        memory_file_set(&left, memory->bytes, memory->size);
        left.file.failed = left.file.dirty = false;
        left.changes = 0;
        left.fail_at = at;
        left.fail_count = count;
        left.fail_error = error;
        bool succeeded = change->attempt(change->context, &left.file);
        failed = left.changes >= at;
        failures += failed;
        expect_old_or_new(states, &left, succeeded);
    }
    memory_file_release(&left);
    return failures;
}

uint64_t disk_change_fail(const struct disk_change *change, struct memory_file *memory, int error)
{
    struct states states = {.change = change, .before = disk_state_capture(memory, change->parent, change->flags)};
    struct memory_file changed;
    memory_file_initialize(&changed);
    memory_file_set(&changed, memory->bytes, memory->size);
    assert_true(change->attempt(change->context, &changed.file));
    states.after = disk_state_capture(&changed, change->parent, change->flags);
    uint64_t failures = fail_each(&states, memory, error, 1) + fail_each(&states, memory, error, SIZE_MAX / 2);
    memory_file_release(&changed);
    disk_state_release(&states.before);
    disk_state_release(&states.after);
    return failures;
}
