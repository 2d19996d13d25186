/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Replacing footers and headers of VHDs: old or new whenever the power fails. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "partitions/root/disk/chain.h"
#include "partitions/root/disk/create.h"
#include "partitions/root/disk/vhd/rewrite.h"
#include "tests/unit/disk_change.h"

#define SECTORS    40u
#define BLOCK_SIZE 4096u
#define MARK       64 /* of the header: the name of the parent, of which a dynamic image has none */

/* How the image is that is to be rewritten. */
enum condition { SOUND, COPY_DAMAGED, END_DAMAGED, WITH_TAIL, KILLED, OLD_FOOTER, ODD_LENGTH };

struct rewriting {
    bool header;
    uint64_t room; /* bytes */
};

static void fill(uint8_t *bytes, uint32_t first, uint32_t sectors)
{
    for (uint32_t i = 0; i < sectors; i++)
        memset(bytes + (size_t)i * DISK_SECTOR_SIZE, (int)(first + i + 1), DISK_SECTOR_SIZE);
}

static void write_some(struct memory_file *memory, bool close)
{
    static uint8_t bytes[SECTORS * DISK_SECTOR_SIZE];
    struct disk_error error;
    struct memory_file left;
    struct disk *disk = disk_open_file(&memory->file, 0, &error);
    assert_non_null(disk);
    fill(bytes, 3, 20);
    assert_int_equal(disk_transfer(disk, DISK_WRITE, bytes, 3, 20), 0);
    memory_file_initialize(&left);
    memory_file_set(&left, memory->bytes, memory->size);
    assert_int_equal(disk_close(disk), 0);
    if (!close)
        memory_file_set(memory, left.bytes, left.size);
    memory_file_release(&left);
}

static void make_image(struct memory_file *memory, enum disk_format format, enum condition condition)
{
    memory_file_initialize(memory);
    assert_int_equal(disk_create_in(&memory->file, SECTORS * DISK_SECTOR_SIZE, format, BLOCK_SIZE), 0);
    write_some(memory, condition != KILLED);
    size_t size = memory->size;
    if (condition == COPY_DAMAGED)
        memory->bytes[9] ^= 1;
    if (condition == END_DAMAGED)
        memory->bytes[size - 500] ^= 1;
    if (condition == WITH_TAIL) {
        memory_file_resize(memory, size + 3000);
        memset(memory->bytes + size, 0x5a, 3000);
    }
    if (condition == OLD_FOOTER)
        memory_file_resize(memory, size - 1);
    if (condition == ODD_LENGTH) {
        memory_file_resize(memory, size + 700);
        memmove(memory->bytes + size + 700 - VHD_FOOTER_SIZE, memory->bytes + size - VHD_FOOTER_SIZE, VHD_FOOTER_SIZE);
    }
    memory_file_reset(memory);
}

static void rewrite_image(void *context, struct disk_file *file)
{
    const struct rewriting *rewriting = context;
    struct vhd_rewrite rewrite;
    struct disk_error error;
    assert_true(vhd_rewrite_begin(&rewrite, file, &error));
    struct vhd_footer footer = rewrite.metadata.footer;
    for (unsigned i = 0; i < sizeof(footer.identifier); i++)
        footer.identifier[i] ^= 0x11;
    uint8_t header[VHD_HEADER_SIZE], text[DISK_SECTOR_SIZE];
    memcpy(header, rewrite.metadata.header_bytes, sizeof(header));
    header[MARK]++;
    vhd_header_seal(header);
    for (uint64_t done = 0; done < rewriting->room; done += sizeof(text)) {
        uint64_t offset;
        assert_int_equal(vhd_rewrite_room(&rewrite, sizeof(text), &offset), 0);
        assert_int_equal(disk_file_read_buffer(file, text, sizeof(text), offset), 0);
        assert_true(text[0] == 0 && memcmp(text, text + 1, sizeof(text) - 1) == 0);
        memset(text, 0x77, sizeof(text));
        assert_int_equal(disk_file_write_buffer(file, text, sizeof(text), offset), 0);
    }
    assert_int_equal(vhd_rewrite_commit(&rewrite, &footer, rewriting->header ? header : NULL), 0);
}

static const struct {
    enum disk_format format;
    enum condition condition;
    struct rewriting rewriting;
} cases[] = {
    {DISK_FORMAT_DYNAMIC, SOUND,        {false, 0}  },
    {DISK_FORMAT_DYNAMIC, SOUND,        {true, 0}   },
    {DISK_FORMAT_DYNAMIC, SOUND,        {true, 1024}},
    {DISK_FORMAT_DYNAMIC, COPY_DAMAGED, {true, 512} },
    {DISK_FORMAT_DYNAMIC, END_DAMAGED,  {true, 512} },
    {DISK_FORMAT_DYNAMIC, WITH_TAIL,    {true, 512} },
    {DISK_FORMAT_DYNAMIC, KILLED,       {true, 512} },
    {DISK_FORMAT_DYNAMIC, OLD_FOOTER,   {true, 512} },
    {DISK_FORMAT_DYNAMIC, ODD_LENGTH,   {true, 512} },
    {DISK_FORMAT_FIXED,   SOUND,        {false, 0}  },
    {DISK_FORMAT_FIXED,   OLD_FOOTER,   {false, 0}  },
    {DISK_FORMAT_FIXED,   ODD_LENGTH,   {false, 0}  },
};

static void old_or_new(void **state)
{
    (void)state;
    uint64_t played = 0;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct memory_file memory;
        struct rewriting rewriting = cases[i].rewriting;
        make_image(&memory, cases[i].format, cases[i].condition);
        const struct disk_change change = {.make = rewrite_image, .context = &rewriting};
        /* Again and again: the header takes another place each time. */
        for (unsigned times = 0; times < 3; times++)
            played += disk_change_play(&change, &memory);
        disk_change_expect_sound(&memory);
        write_some(&memory, true);
        disk_change_expect_sound(&memory);
        memory_file_release(&memory);
    }
    print_message("%llu media played\n", (unsigned long long)played);
}

/* The header's two places take turns, so that rewriting costs no space. */
static void size_stays(void **state)
{
    (void)state;
    struct memory_file memory;
    struct rewriting rewriting = {.header = true};
    make_image(&memory, DISK_FORMAT_DYNAMIC, SOUND);
    size_t size = memory.size;
    for (unsigned i = 0; i < 5; i++) {
        rewrite_image(&rewriting, &memory.file);
        assert_in_range(memory.size, size, size + VHD_HEADER_SIZE);
    }
    memory_file_release(&memory);
}

/* A change that fails leaves the old image or the new one, and as long as before if it is the old. */
static void failures(void **state)
{
    (void)state;
    struct memory_file memory, before;
    memory_file_initialize(&before);
    for (size_t fail_at = 1;; fail_at++) {
        make_image(&memory, DISK_FORMAT_DYNAMIC, SOUND);
        memory_file_set(&before, memory.bytes, memory.size);
        struct vhd_rewrite rewrite;
        struct disk_error error;
        assert_true(vhd_rewrite_begin(&rewrite, &memory.file, &error));
        struct vhd_footer footer = rewrite.metadata.footer;
        uint8_t header[VHD_HEADER_SIZE];
        memcpy(header, rewrite.metadata.header_bytes, sizeof(header));
        footer.saved_state = 1;
        memory.changes = 0;
        memory.fail_at = fail_at;
        memory.fail_count = 1;
        memory.fail_error = ENOSPC;
        int result = vhd_rewrite_commit(&rewrite, &footer, header);
        bool reached = memory.changes >= fail_at;
        memory_file_reset(&memory);
        struct disk_state old = disk_state_capture(&before, NULL, 0), found = disk_state_capture(&memory, NULL, 0);
        assert_true(result == 0 || reached);
        assert_true(found.usable && (found.footer.saved_state || disk_state_equal(&old, &found)));
        assert_true(result != 0 || found.footer.saved_state);
        disk_state_release(&old);
        disk_state_release(&found);
        memory_file_release(&memory);
        if (!reached)
            break;
    }
    memory_file_release(&before);
}

static void damaged_images_are_refused(void **state)
{
    (void)state;
    struct memory_file memory;
    struct vhd_rewrite rewrite;
    struct disk_error error;
    make_image(&memory, DISK_FORMAT_DYNAMIC, SOUND);
    memset(memory.bytes + 1536, 0x7f, 4); /* the table's first entry */
    assert_false(vhd_rewrite_begin(&rewrite, &memory.file, &error));
    assert_int_equal(error.code, EUCLEAN);
    assert_non_null(strstr(error.text, "block 0 lies at byte"));
    memory_file_release(&memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(old_or_new),
        cmocka_unit_test(size_stays),
        cmocka_unit_test(failures),
        cmocka_unit_test(damaged_images_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
