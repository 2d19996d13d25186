/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How a child's VHD or VHDX records that its parent is at a URL; what is damaged in the record is no parent. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "partitions/root/disk/image_open.h"
#include "partitions/root/disk/vhd/create.h"
#include "partitions/root/disk/vhdx/create.h"
#include "tests/unit/memory_file.h"

#define SIZE (10u << 20)

static const uint8_t identifier[16] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
static const struct remote_source source = {
    .url = "https://example.org:8443/images/web.vhd?version=2",
    .raw = true,
    .size = SIZE,
    .validator = "\"first\"",
};

static void create_vhd(struct disk_file *file)
{
    const struct vhd_child child = {
        .size = SIZE,
        .block_size = 2u << 20,
        .timestamp = 1000000000,
        .remote = &source,
        .identifier = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16},
    };
    assert_int_equal(vhd_create_child(file, &child), 0);
}

static void create_vhdx(struct disk_file *file)
{
    struct vhdx_parent parent = {.remote = &source};
    const struct vhdx_creation creation = {.format = DISK_FORMAT_DIFFERENCING, .size = SIZE, .parent = &parent};
    memcpy(parent.identifier, identifier, sizeof(identifier));
    assert_int_equal(vhdx_create(file, &creation), 0);
}

/* Reads the link of the image in the file; false with `error`. */
static bool read_link(struct disk_file *file, struct parent_link *link, struct disk_error *error)
{
    struct metadata_cache *cache = metadata_cache_create();
    struct disk_image *image = image_open(file, DISK_OPEN_READ_ONLY, cache, error);
    assert_non_null(image);
    assert_true(image->differencing);
    bool done = image->operations->read_parent(image, link, error);
    image->operations->close(image);
    metadata_cache_destroy(cache);
    return done;
}

static void a_record_is_read_as_it_was_written(void **state)
{
    void (*const creators[])(struct disk_file * file) = {create_vhd, create_vhdx};
    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        struct memory_file memory;
        struct parent_link *link = malloc(sizeof(*link));
        struct disk_error error;
        memory_file_initialize(&memory);
        creators[i](&memory.file);
        memset(link, 0xa5, sizeof(*link));
        assert_true(read_link(&memory.file, link, &error));
        assert_memory_equal(&link->remote, &source, sizeof(source));
        assert_memory_equal(link->identifier, identifier, sizeof(identifier));
        assert_int_equal(link->names, 0);
        assert_false(link->has_timestamp);
        free(link);
        memory_file_release(&memory);
    }
}

/* The place of a text in a file. */
static uint8_t *find(struct memory_file *memory, const char *text, size_t length)
{
    uint8_t *found = memmem(memory->bytes, memory->size, text, length);
    assert_non_null(found);
    return found;
}

/* No name is taken for a parent then: it would be another file. */
static void a_damaged_record_is_refused(void **state)
{
    static const char utf16[] = "h\0t\0t\0p\0s\0:\0";
    void (*const creators[])(struct disk_file * file) = {create_vhd, create_vhdx};
    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        struct memory_file memory;
        struct parent_link *link = calloc(1, sizeof(*link));
        struct disk_error error = {0};
        memory_file_initialize(&memory);
        creators[i](&memory.file);
        *(i ? find(&memory, utf16, sizeof(utf16) - 1) : find(&memory, "https:", 6)) = 'x';
        assert_false(read_link(&memory.file, link, &error));
        assert_int_equal(error.code, EUCLEAN);
        free(link);
        memory_file_release(&memory);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_record_is_read_as_it_was_written),
        cmocka_unit_test(a_damaged_record_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
