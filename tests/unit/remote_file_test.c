/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A file behind a URL: images over it, reads under way together, a loam-fetch that ends, and one that is hostile. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "partitions/root/disk/chain.h"
#include "partitions/root/disk/create.h"
#include "partitions/root/disk/remote_file.h"
#include "tests/unit/fake_fetch.h"
#include "tests/unit/scratch.h"

#define SIZE (3u << 20)

static uint8_t array[SIZE], buffer[SIZE];
static struct fake_fetch fetch;
static struct disk_error error;

static int setup(void **state)
{
    for (size_t i = 0; i < SIZE; i++)
        array[i] = (uint8_t)(i * 7 + i / 512 * 3 + i / 65536);
    return scratch_setup(state);
}

static struct remote_source source_of(uint64_t size, const char *validator)
{
    struct remote_source source = {.url = "http://example.org/disk.img", .raw = true, .size = size};
    strcpy(source.validator, validator);
    return source;
}

static struct disk_file *open_file(int socket, uint64_t size, bool renewed)
{
    const struct remote_source source = source_of(size, size ? "\"first\"" : "");
    struct disk_file *file = remote_file_open(socket, &source, renewed, &error);
    assert_non_null(file);
    return file;
}

static void reads_what_is_there(void **state)
{
    uint64_t size;
    (void)state;
    struct disk_file *file = open_file(fake_fetch_start(&fetch, array, SIZE - 100), 0, false);
    assert_true(disk_file_is_remote(file));
    assert_int_equal(disk_file_size(file, &size), 0);
    assert_int_equal(size, SIZE - 100);
    assert_int_equal(disk_file_read_buffer(file, buffer, SIZE - 100, 0), 0);
    assert_memory_equal(buffer, array, SIZE - 100);
    assert_int_equal(disk_file_read_buffer(file, buffer, 1, SIZE - 100), EIO);
    assert_int_equal(disk_file_read_padded(file, buffer, 512, SIZE - 512), 0);
    assert_memory_equal(buffer, array + SIZE - 512, 412);
    assert_int_equal(buffer[412], 0);
    assert_int_equal(file->operations->next_data(file, 4711), 4711);
    disk_file_close(file);
    fake_fetch_stop(&fetch);
}

static void is_not_written(void **state)
{
    (void)state;
    struct disk_file *file = open_file(fake_fetch_start(&fetch, array, SIZE), SIZE, false);
    assert_int_equal(disk_file_write_buffer(file, array, 512, 0), EROFS);
    assert_int_equal(disk_file_truncate(file, 0), EROFS);
    assert_int_equal(disk_file_punch(file, 0, 512), EROFS);
    disk_file_close(file);
    fake_fetch_stop(&fetch);
}

/* Sectors of metadata one after the other cost a read for each window. */
static void fetches_windows(void **state)
{
    (void)state;
    struct disk_file *file = open_file(fake_fetch_start(&fetch, array, SIZE), SIZE, false);
    for (uint32_t offset = 0; offset < 4 * REMOTE_WINDOW; offset += 512) {
        assert_int_equal(disk_file_read_buffer(file, buffer, 512, offset), 0);
        assert_memory_equal(buffer, array + offset, 512);
    }
    for (uint32_t i = 0; i < 3 * REMOTE_WINDOWS; i++)
        assert_int_equal(disk_file_read_buffer(file, buffer, 512, i % REMOTE_WINDOWS * REMOTE_WINDOW), 0);
    disk_file_close(file);
    assert_int_equal(fetch.asked, REMOTE_WINDOWS);
    fake_fetch_stop(&fetch);
}

static void a_known_size_needs_no_answer(void **state)
{
    uint64_t size;
    (void)state;
    int socket = fake_fetch_start(&fetch, array, SIZE);
    fake_fetch_hang_up(&fetch);
    struct disk_file *file = open_file(socket, SIZE, true);
    assert_int_equal(disk_file_size(file, &size), 0);
    assert_int_equal(size, SIZE);
    disk_file_close(file);
    free(fetch.times);
}

static void reads_are_under_way_together(void **state)
{
    struct remote_read *reads[40];
    (void)state;
    struct disk_file *file = open_file(fake_fetch_start(&fetch, array, SIZE), SIZE, false);
    fake_fetch_silence(&fetch, true);
    for (unsigned i = 0; i < 40; i++) {
        reads[i] = remote_file_begin(file, i * 1000, 1000);
        assert_non_null(reads[i]);
        assert_false(remote_file_is_done(file, reads[i]));
    }
    for (unsigned i = 0; i < 40; i += 2) /* whether it was sent or not */
        remote_file_end(file, reads[i]);
    fake_fetch_silence(&fetch, false);
    for (unsigned i = 39; i < 40; i -= 2) {
        assert_int_equal(remote_file_wait(file, reads[i]), 0);
        assert_memory_equal(remote_read_bytes(reads[i]), array + i * 1000, 1000);
        remote_file_end(file, reads[i]);
    }
    disk_file_close(file);
    fake_fetch_stop(&fetch);
}

static void waiting_is_seen_and_interrupted(void **state)
{
    struct remote_wait wait;
    (void)state;
    struct disk_file *file = open_file(fake_fetch_start(&fetch, array, SIZE), SIZE, false);
    assert_int_equal(disk_file_read_buffer(file, buffer, 512, 0), 0);
    remote_file_request_ended(file);
    fake_fetch_silence(&fetch, true);
    fake_fetch_say(&fetch, "Connection refused");
    struct remote_read *read = remote_file_begin(file, SIZE - 512, 512);
    do
        remote_file_look(file, &wait);
    while (!wait.status[0]);
    assert_string_equal(wait.status, "Connection refused");
    assert_int_equal(wait.milliseconds, 0); /* nobody waits for it */
    remote_file_interrupt(file, true);
    assert_int_equal(remote_file_wait(file, read), ECANCELED);
    remote_file_interrupt(file, false);
    fake_fetch_silence(&fetch, false);
    assert_int_equal(remote_file_wait(file, read), 0);
    remote_file_end(file, read);
    remote_file_look(file, &wait);
    assert_string_equal(wait.status, "");
    assert_int_equal(wait.fetched, REMOTE_WINDOW + 512);
    disk_file_close(file);
    fake_fetch_stop(&fetch);
}

static void patience_ends(void **state)
{
    (void)state;
    struct disk_file *file = open_file(fake_fetch_start(&fetch, array, SIZE), SIZE, true);
    fake_fetch_silence(&fetch, true);
    remote_file_set_patience(file, 20);
    assert_int_equal(disk_file_read_buffer(file, buffer, 512, 0), ETIMEDOUT);
    disk_file_close(file);
    fake_fetch_stop(&fetch);
}

static void another_takes_its_place(void **state)
{
    char text[FETCH_TEXT_SIZE];
    (void)state;
    struct disk_file *file = open_file(fake_fetch_start(&fetch, array, SIZE), SIZE, true);
    fake_fetch_silence(&fetch, true);
    struct remote_read *wanted = remote_file_begin(file, 512, 4096), *unwanted = remote_file_begin(file, 0, 512);
    fake_fetch_await(&fetch, 1);
    remote_file_end(file, unwanted);
    fake_fetch_hang_up(&fetch);
    do
        remote_file_status(file, text);
    while (strcmp(text, "loam-fetch has ended") != 0);
    fake_fetch_silence(&fetch, false);
    remote_file_renew(file, fake_fetch_restart(&fetch));
    assert_int_equal(remote_file_wait(file, wanted), 0);
    assert_memory_equal(remote_read_bytes(wanted), array + 512, 4096);
    remote_file_end(file, wanted);
    disk_file_close(file);
    fake_fetch_stop(&fetch);
}

static void its_end_is_an_error_otherwise(void **state)
{
    (void)state;
    struct disk_file *file = open_file(fake_fetch_start(&fetch, array, SIZE), SIZE, false);
    fake_fetch_hang_up(&fetch);
    assert_int_equal(disk_file_read_buffer(file, buffer, 512, 0), EIO);
    assert_int_equal(disk_file_read_buffer(file, buffer, SIZE, 0), EIO);
    disk_file_close(file);
    free(fetch.times);
}

static void expect_refusal(uint64_t size, const char *validator, const char *text)
{
    char status[FETCH_TEXT_SIZE];
    const struct remote_source source = source_of(size, validator);
    struct disk_file *file = remote_file_open(fake_fetch_start(&fetch, array, SIZE), &source, false, &error);
    assert_int_equal(disk_file_read_buffer(file, buffer, 512, 0), EIO);
    remote_file_status(file, status);
    assert_non_null(strstr(status, text));
    disk_file_close(file);
    fake_fetch_stop(&fetch);
}

static void another_source_is_refused(void **state)
{
    (void)state;
    expect_refusal(SIZE - 512, "\"first\"", "has 3145728 bytes now, and not 3145216");
    expect_refusal(SIZE, "\"second\"", "was changed since the disk was made");
}

/* ---- A loam-fetch that is hostile ---- */

struct attack {
    const char *name;
    bool found; /* a sound source comes first, and a read of 512 bytes is answered by this: */
    struct fetch_message message;
    const void *more;
    size_t length;
};

static const struct fetch_source without_end = {.size = 1 << 20, .validator = {[0 ... FETCH_TEXT_SIZE - 1] = 'x'}};
static const struct fetch_source with_newline = {.size = 1 << 20, .validator = "a\nb"};
static const struct fetch_source empty = {.size = 0};
static const struct fetch_source overflowing = {.size = UINT64_MAX};
static const struct fetch_source sound = {.size = SIZE};

#define TEXT(kind, text) {kind, sizeof(text) - 1, 0, 0}, text, sizeof(text) - 1

static const struct attack attacks[] = {
    {"ends at once",                           false,                      {0},                                                                                            NULL,0},
    {"unknown kind",                                        false,                                                     {77, 0, 0, 0},                                                                                                       NULL,0},
    {"kind of the disk's",                                       false,                                                                 {FETCH_READ, 512, 1, 0},                                                                                                                                            NULL,                                                            0},
    {"source too long",                                    false,                                                             {FETCH_SOURCE, sizeof(sound) + 1, 0, 0},                &sound,sizeof(sound)},
    {"validator without end", false,{FETCH_SOURCE, sizeof(without_end), 0, 0},                           &without_end,                                                                                       sizeof(without_end)},
    {"validator of lines",                                   false,                                                            {FETCH_SOURCE, sizeof(with_newline), 0, 0},                                                                                                                    &with_newline,sizeof(with_newline)},
    {"source of no size",                     false,        {FETCH_SOURCE, sizeof(empty), 0, 0}, &empty,sizeof(empty)},
    {"size that overflows",                                        false,                                                {FETCH_SOURCE, sizeof(overflowing), 0, 0},                                                                                                                     &overflowing,sizeof(overflowing)},
    {"half a source",                           false,                                                     {FETCH_SOURCE, sizeof(sound), 0, 0},                                                                                                                               &sound,                                                                                                                                                                                                                   sizeof(sound) / 2},
    {"data before",                            false,                                   {FETCH_DATA, 512, 1, 0},             array,512},
    {"source twice",     true,{FETCH_SOURCE, sizeof(sound), 0, 0},&sound,sizeof(sound)},
    {"another tag",        true,{FETCH_DATA, 512, 2, 0},                                                      array,512},
    {"longer",                           true,                                             {FETCH_DATA, 1 << 20, 1, 0},                                                                                                                                    array, 1 << 20},
    {"shorter",                                        true,                                                      {FETCH_DATA, 0, 1, 0},                                                                                                                                         NULL,0},
    {"elsewhere",                                     true,                                                               {FETCH_DATA, 512, 1, 512},                                                                                                                                                      array,512},
    {"ends within data",                                   true,                                                      {FETCH_DATA, 512, 1, 0},                 array,100},
    {"status without end",                   true,{FETCH_STATUS, FETCH_TEXT_SIZE, 0, 0},array,FETCH_TEXT_SIZE},
    {"status of 4 GiB",true,{FETCH_STATUS, UINT32_MAX, 0, 0},array,512},
    {"status of lines",                       true,           TEXT(FETCH_STATUS,                             "one\ntwo")},
    {"status with a zero",                                        true,                                               TEXT(FETCH_STATUS,                                                                                                                       "one\0two")},
    {"refused",                         true,                                                   TEXT(FETCH_REFUSED,                                                                                                                                 "404 Not Found \xff\x80")                                                                                                                    },
};

static void does_not_harm(void **state)
{
    const struct attack *attack = *state;
    const struct fetch_message found = {FETCH_SOURCE, sizeof(sound), 0, 0};
    char status[FETCH_TEXT_SIZE];
    int ends[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    const struct remote_source source = source_of(SIZE, "");
    struct disk_file *file = remote_file_open(ends[1], &source, false, &error);
    struct remote_read *read = remote_file_begin(file, 0, 512);
    if (attack->found) {
        struct fetch_message asked;
        assert_int_equal(send(ends[0], &found, sizeof(found), MSG_NOSIGNAL), sizeof(found));
        assert_int_equal(send(ends[0], &sound, sizeof(sound), MSG_NOSIGNAL), sizeof(sound));
        assert_int_equal(recv(ends[0], &asked, sizeof(asked), MSG_WAITALL), sizeof(asked));
        assert_int_equal(asked.tag, 1);
    }
    if (attack->message.kind) /* the end may be closed before all was sent */
        (void)!send(ends[0], &attack->message, sizeof(attack->message), MSG_NOSIGNAL);
    if (attack->length)
        (void)!send(ends[0], attack->more, attack->length, MSG_NOSIGNAL | MSG_DONTWAIT);
    shutdown(ends[0], SHUT_WR);
    assert_int_equal(remote_file_wait(file, read), EIO);
    remote_file_status(file, status);
    assert_true(status[0]);
    for (const char *text = status; *text; text++)
        assert_true(*text >= ' ' && *text <= '~');
    remote_file_end(file, read);
    assert_int_equal(disk_file_read_buffer(file, buffer, 512, 0), EIO); /* for good */
    disk_file_close(file);
    close(ends[0]);
}

/* ---- Images ---- */

static void an_image_is_behind_it(void **state)
{
    static const char *const names[] = {"a.vhd", "a.vhdx"};
    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        const struct disk_create_options options = {.block_size = 1 << 20};
        assert_true(disk_create(names[i], 8 << 20, DISK_FORMAT_DYNAMIC, &options, &error));
        struct disk *disk = disk_open(names[i], 0, &error);
        assert_int_equal(disk_transfer(disk, DISK_WRITE, array, 3000, 1000), 0);
        assert_int_equal(disk_close(disk), 0);
        size_t size = 0;
        static uint8_t image[16 << 20];
        FILE *stream = fopen(names[i], "rb");
        assert_non_null(stream);
        size = fread(image, 1, sizeof(image), stream);
        fclose(stream);
        struct remote_source source = source_of(0, "");
        struct disk_file *file = remote_file_open(fake_fetch_start(&fetch, image, size), &source, false, &error);
        disk = disk_open_file(file, DISK_OPEN_READ_ONLY, &error);
        assert_non_null(disk);
        assert_int_equal(disk_transfer(disk, DISK_READ, buffer, 2999, 1001), 0);
        assert_memory_equal(buffer + 512, array, 512000);
        assert_int_equal(disk_close(disk), 0);
        fake_fetch_stop(&fetch);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_what_is_there),
        cmocka_unit_test(is_not_written),
        cmocka_unit_test(fetches_windows),
        cmocka_unit_test(a_known_size_needs_no_answer),
        cmocka_unit_test(reads_are_under_way_together),
        cmocka_unit_test(waiting_is_seen_and_interrupted),
        cmocka_unit_test(patience_ends),
        cmocka_unit_test(another_takes_its_place),
        cmocka_unit_test(its_end_is_an_error_otherwise),
        cmocka_unit_test(another_source_is_refused),
        cmocka_unit_test(an_image_is_behind_it),
    };
    struct CMUnitTest hostile[sizeof(attacks) / sizeof(attacks[0])];
    for (size_t i = 0; i < sizeof(attacks) / sizeof(attacks[0]); i++)
        hostile[i] = (struct CMUnitTest){
            .name = attacks[i].name, .test_func = does_not_harm, .initial_state = (void *)&attacks[i]};
    int failed = cmocka_run_group_tests(tests, setup, scratch_teardown);
    return failed + cmocka_run_group_tests(hostile, NULL, NULL);
}
