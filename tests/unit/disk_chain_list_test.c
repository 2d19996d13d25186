/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Chains as people see them: listed as far as they go, in what an image is, and looked over. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "partitions/root/disk/chain.h"
#include "partitions/root/disk/chain_list.h"
#include "partitions/root/disk/check.h"
#include "partitions/root/disk/create.h"
#include "partitions/root/disk/info.h"
#include "tests/unit/scratch.h"

#define MIB 1048576u

static struct disk_error error;

struct seen {
    unsigned count;
    char names[4][64];
    char problems[4][DISK_ERROR_TEXT];
    uint64_t present[4];
    bool in_use[4];
};

static const char *last_component(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static bool see(void *context, const struct disk_chain_member *member)
{
    struct seen *seen = context;
    assert_true(seen->count < 4);
    snprintf(seen->names[seen->count], sizeof(seen->names[0]), "%s", last_component(member->path));
    snprintf(seen->problems[seen->count], sizeof(seen->problems[0]), "%s", member->problem ? member->problem : "");
    seen->present[seen->count] = disk_chain_present(member);
    seen->in_use[seen->count] = member->in_use;
    assert_int_equal(member->size, 10 * MIB);
    seen->count++;
    return true;
}

static struct seen list(const char *path)
{
    struct seen seen = {0};
    if (!disk_chain_list(path, 0, see, &seen, &error))
        fail_msg("%s", error.text);
    return seen;
}

static void write_bytes(const char *name, uint64_t offset, uint32_t length)
{
    static uint8_t bytes[MIB];
    memset(bytes, 5, sizeof(bytes));
    struct disk *disk = disk_open(name, 0, &error);
    assert_non_null(disk);
    assert_int_equal(disk_transfer(disk, DISK_WRITE, bytes, offset / DISK_SECTOR_SIZE, length / DISK_SECTOR_SIZE), 0);
    assert_int_equal(disk_close(disk), 0);
}

static void make_chain(void)
{
    assert_true(disk_create("a.vhd", 10 * MIB, DISK_FORMAT_DYNAMIC, NULL, &error));
    write_bytes("a.vhd", 3 * MIB, MIB);
    assert_true(disk_create_child("b.vhd", "a.vhd", NULL, &error));
    write_bytes("b.vhd", 512, 4096);
    assert_true(disk_create_child("c.vhd", "b.vhd", NULL, &error));
}

static void set_time(const char *name)
{
    const struct timespec times[2] = {{.tv_sec = 1000000000}, {.tv_sec = 1000000000}};
    assert_int_equal(utimensat(AT_FDCWD, name, times, 0), 0);
}

static void sound(void **state)
{
    (void)state;
    make_chain();
    struct seen seen = list("c.vhd");
    assert_int_equal(seen.count, 3);
    assert_string_equal(seen.names[0], "c.vhd");
    assert_string_equal(seen.names[2], "a.vhd");
    for (unsigned i = 0; i < 3; i++)
        assert_string_equal(seen.problems[i], "");
    assert_int_equal(seen.present[0], 0);
    assert_int_equal(seen.present[1], 4096);
    assert_int_equal(seen.present[2], 2 * MIB); /* the block */

    struct disk *user = disk_open("c.vhd", 0, &error);
    seen = list("c.vhd");
    assert_true(seen.in_use[0]);
    assert_false(seen.in_use[1]);
    disk_close(user);
    assert_false(disk_chain_list("none", 0, see, &seen, &error));
    assert_int_equal(error.code, ENOENT);
}

static void problems(void **state)
{
    (void)state;
    make_chain();
    set_time("a.vhd"); /* goes on all the same */
    struct seen seen = list("c.vhd");
    assert_int_equal(seen.count, 3);
    assert_non_null(strstr(seen.problems[1], "a.vhd was changed after it was made"));
    assert_non_null(strstr(seen.problems[1], "loam disk reconnect "));

    assert_int_equal(rename("a.vhd", "x.vhd"), 0);
    seen = list("c.vhd");
    assert_int_equal(seen.count, 2);
    assert_non_null(strstr(seen.problems[1], "its parent a.vhd is not there"));

    assert_true(disk_create("a.vhd", 10 * MIB, DISK_FORMAT_DYNAMIC, NULL, &error));
    seen = list("c.vhd");
    assert_int_equal(seen.count, 2);
    assert_non_null(strstr(seen.problems[1], "a.vhd is not its parent, but another disk"));
}

static void described(void **state)
{
    (void)state;
    struct disk_info info, parent;
    make_chain();
    assert_true(disk_info("b.vhd", 0, &info, &error));
    assert_true(disk_info("a.vhd", 0, &parent, &error));
    assert_int_equal(info.format, DISK_FORMAT_DIFFERENCING);
    assert_int_equal(info.allocated_blocks, 1);
    assert_string_equal(info.parent_name, "a.vhd");
    assert_string_equal(last_component(info.parent_path), "a.vhd");
    assert_string_equal(info.parent_problem, "");
    assert_memory_equal(info.parent_identifier, parent.identifier, 16);
    assert_string_equal(parent.parent_name, "");

    assert_int_equal(unlink("a.vhd"), 0);
    assert_true(disk_info("b.vhd", 0, &info, &error));
    assert_string_equal(info.parent_path, "");
    assert_non_null(strstr(info.parent_problem, "is not there"));
}

static char found[2048];

static void note(void *context, enum disk_check_level level, const char *text)
{
    (void)context;
    (void)level;
    snprintf(found + strlen(found), sizeof(found) - strlen(found), "%s\n", text);
}

static struct disk_check_result check(const char *path)
{
    struct disk_check_result result;
    found[0] = '\0';
    if (!disk_check(path, note, NULL, &result, &error))
        fail_msg("%s", error.text);
    return result;
}

static void checked(void **state)
{
    (void)state;
    make_chain();
    struct disk_check_result result = check("c.vhd");
    assert_int_equal(result.count[DISK_CHECK_ERROR] + result.count[DISK_CHECK_WARNING], 0);

    /* The table of a parent. */
    uint8_t entry[4] = {0x7f, 0, 0, 0};
    int file = open("a.vhd", O_WRONLY);
    assert_int_equal(pwrite(file, entry, 4, 1536), 4);
    close(file);
    set_time("a.vhd");
    result = check("c.vhd");
    assert_true(result.count[DISK_CHECK_ERROR] >= 2); /* and it was changed */
    assert_non_null(strstr(found, "a.vhd: block 0 lies at byte"));
    assert_non_null(strstr(found, "was changed after it was made"));

    assert_int_equal(unlink("a.vhd"), 0);
    result = check("c.vhd");
    assert_int_equal(result.count[DISK_CHECK_ERROR], 1);
    assert_non_null(strstr(found, "its parent a.vhd is not there"));
}

/* A file that is taken for the parent at first leaves nothing in the memory of the chain. */
static void impostor(void **state)
{
    (void)state;
    assert_int_equal(mkdir("d", 0700), 0);
    assert_int_equal(mkdir("p", 0700), 0);
    assert_true(disk_create("p/a.vhd", 10 * MIB, DISK_FORMAT_DYNAMIC, NULL, &error));
    assert_true(disk_create_child("d/b.vhd", "p/a.vhd", NULL, &error));
    assert_int_equal(rename("p/a.vhd", "d/a.vhd"), 0);
    assert_true(disk_create_child("p/a.vhd", "d/a.vhd", NULL, &error));
    pid_t process = fork();
    if (process == 0) {
        /* Killed with a bit in its log, which whoever opens it has in memory. */
        static uint8_t bytes[DISK_SECTOR_SIZE] = {1};
        struct disk *disk = disk_open("p/a.vhd", 0, &error);
        _exit(disk && disk_transfer(disk, DISK_WRITE, bytes, 7, 1) == 0 ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(process, &status, 0), process);
    assert_int_equal(status, 0);
    struct disk *disk = disk_open("d/b.vhd", DISK_OPEN_READ_ONLY, &error);
    assert_non_null(disk);
    assert_int_equal(metadata_cache_held_count(disk->cache), 0);
    disk_close(disk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scratch_test(sound),   scratch_test(problems), scratch_test(described),
        scratch_test(checked), scratch_test(impostor),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
