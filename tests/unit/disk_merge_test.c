/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Merging: what the parent holds then, what is refused, and that the child reads as before whenever it is interrupted.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "partitions/root/disk/check.h"
#include "partitions/root/disk/create.h"
#include "partitions/root/disk/image_open.h"
#include "partitions/root/disk/merge.h"
#include "partitions/root/disk/vhd/create.h"
#include "partitions/root/disk/vhdx/create.h"
#include "tests/unit/power_failure.h"
#include "tests/unit/scratch.h"

#define MIB      (1024u * 1024)
#define SECTORS  (9u * MIB / DISK_SECTOR_SIZE + 3)
#define LONG_AGO 1500000000

/* Each test of files is done with VHD and with VHDX. */
static bool vhdx;
#define NAME(name) (vhdx ? name ".vhdx" : name ".vhd")
#define A          NAME("a")
#define B          NAME("b")
#define C          NAME("c")
#define Z          NAME("z")
#define OTHER      NAME("other")
#define GRANDCHILD NAME("grandchild")
#define LINK       NAME("link")

static struct disk_error error;
static struct disk_merge_result result;
static uint8_t expected[SECTORS * DISK_SECTOR_SIZE], buffer[SECTORS * DISK_SECTOR_SIZE];

static void expect_error(int code, const char *text)
{
    if (error.code != code || !strstr(error.text, text))
        print_error("got %d, %s; not %d, %s\n", error.code, error.text, code, text);
    assert_int_equal(error.code, code);
    assert_non_null(strstr(error.text, text));
}

static void expect_sound(const char *name)
{
    struct disk_check_result found;
    assert_true(disk_check(name, NULL, NULL, &found, &error));
    assert_int_equal(found.count[DISK_CHECK_ERROR] + found.count[DISK_CHECK_WARNING], 0);
}

static void expect_content(const char *name)
{
    struct disk *disk = disk_open(name, DISK_OPEN_READ_ONLY, &error);
    if (!disk)
        fail_msg("%s", error.text);
    assert_int_equal(disk_transfer(disk, DISK_READ, buffer, 0, SECTORS), 0);
    disk_close(disk);
    assert_memory_equal(buffer, expected, sizeof(expected));
}

static void set_time(const char *name, time_t time)
{
    const struct timespec times[2] = {{.tv_sec = time}, {.tv_sec = time}};
    assert_int_equal(utimensat(AT_FDCWD, name, times, 0), 0);
}

/* Sectors here and there, those of zeros too, in the disk and in what is expected of it. */
static void write_some(const char *name, unsigned times)
{
    struct disk *disk = disk_open(name, 0, &error);
    assert_non_null(disk);
    for (unsigned i = 0; i < times; i++) {
        uint32_t count = 1 + power_failure_below(300), first = power_failure_below(SECTORS - count);
        uint8_t *bytes = expected + (size_t)first * DISK_SECTOR_SIZE;
        memset(bytes, power_failure_below(4) ? (int)power_failure_below(256) : 0, (size_t)count * DISK_SECTOR_SIZE);
        assert_int_equal(disk_transfer(disk, DISK_WRITE, bytes, first, count), 0);
    }
    assert_int_equal(disk_close(disk), 0);
}

/* What a VHDX can have, if it is less than that. */
static uint32_t block_size(uint32_t bytes)
{
    return vhdx && bytes && bytes < MIB ? MIB : bytes;
}

/* A, its child B and that one's child C, whose contents are what is expected. */
static void make_chain(enum disk_format format, uint32_t block_size_a, uint32_t block_size_b, uint32_t block_size_c)
{
    const struct disk_create_options a = {.sparse = true, .block_size = block_size(block_size_a)},
                                     b = {.block_size = block_size(block_size_b)},
                                     c = {.block_size = block_size(block_size_c)};
    power_failure_seed(block_size_a + block_size_b + block_size_c);
    memset(expected, 0, sizeof(expected));
    assert_true(disk_create(A, sizeof(expected), format, &a, &error));
    write_some(A, 20);
    set_time(A, LONG_AGO);
    assert_true(disk_create_child(B, A, &b, &error));
    write_some(B, 20);
    set_time(B, LONG_AGO + 1);
    assert_true(disk_create_child(C, B, &c, &error));
    write_some(C, 20);
    expect_content(C);
}

static void must_merge(const char *child, const char *ancestor, const struct disk_merge_options *options)
{
    if (!disk_merge(child, ancestor, options, &result, &error))
        fail_msg("%s", error.text);
}

static void into_the_parent(void **state)
{
    (void)state;
    make_chain(DISK_FORMAT_DYNAMIC, 2 * MIB, 64 << 10, 4096);
    must_merge(C, NULL, NULL);
    assert_int_equal(result.images, 1);
    assert_non_null(strstr(result.ancestor, B));
    assert_int_equal(scratch_files(), 2);
    expect_content(B);
    expect_sound(B);
    must_merge(B, NULL, NULL);
    assert_int_equal(scratch_files(), 1);
    expect_content(A);
    expect_sound(A);
}

static void into_an_ancestor(void **state)
{
    (void)state;
    make_chain(DISK_FORMAT_DYNAMIC, 4096, 2 * MIB, 512 << 10);
    must_merge(C, NAME("./a"), NULL);
    assert_int_equal(result.images, 2);
    assert_int_equal(scratch_files(), 1);
    expect_content(A);
    expect_sound(A);
}

static void into_a_fixed_disk(void **state)
{
    (void)state;
    make_chain(DISK_FORMAT_FIXED, 0, 4096, 2 * MIB);
    must_merge(C, A, NULL);
    assert_int_equal(scratch_files(), 1);
    expect_content(A);
    expect_sound(A);
}

/* They hold what they held, and their time stamps are right. */
static void children_are_kept(void **state)
{
    (void)state;
    const struct disk_merge_options keep = {.keep = true};
    make_chain(DISK_FORMAT_DYNAMIC, 0, 0, 0);
    must_merge(C, A, &keep);
    assert_int_equal(scratch_files(), 3);
    expect_content(C);
    expect_content(A);
    expect_sound(C);
    if (vhdx)
        write_some(A, 1);
    else
        set_time(A, LONG_AGO);
    assert_null(disk_open(C, 0, &error));
    expect_error(ENOLINK, vhdx ? "a.vhdx is not its parent, but another disk or written to since it was made"
                               : "a.vhd was changed after it was made");
}

/* A name that is a link: what it leads to is removed. */
static void linked_child(void **state)
{
    (void)state;
    struct stat status;
    make_chain(DISK_FORMAT_DYNAMIC, 0, 0, 0);
    assert_int_equal(symlink(C, LINK), 0);
    must_merge(LINK, NULL, NULL);
    assert_int_equal(stat(C, &status), -1);
    expect_content(B);
}

static void dry_run(void **state)
{
    (void)state;
    struct stat before, after;
    const struct disk_merge_options options = {.dry_run = true};
    make_chain(DISK_FORMAT_DYNAMIC, 64 << 10, 0, 0);
    assert_int_equal(stat(A, &before), 0);
    must_merge(C, A, &options);
    struct disk_merge_result planned = result;
    assert_int_equal(scratch_files(), 3);
    assert_int_equal(stat(A, &after), 0);
    assert_int_equal(after.st_mtime, LONG_AGO);
    assert_int_equal(after.st_size, before.st_size);
    expect_content(C);

    must_merge(C, A, NULL);
    assert_int_equal(stat(A, &after), 0);
    assert_int_equal(result.written, planned.written);
    assert_int_equal(result.space, planned.space);
    uint64_t unit = block_size(64 << 10), blocks = planned.space / unit;
    uint64_t grown = (uint64_t)(after.st_size - before.st_size);
    assert_true(grown >= planned.space && grown <= blocks * (unit + 4096));
    assert_true(vhdx || blocks > 10);
}

/* Zeros over nothing take no space; zeros over data are zeros. */
static void zeros(void **state)
{
    (void)state;
    struct stat before, after;
    memset(expected, 0, sizeof(expected));
    assert_true(disk_create(A, sizeof(expected), DISK_FORMAT_DYNAMIC, NULL, &error));
    memset(expected, 7, 4096);
    struct disk *disk = disk_open(A, 0, &error);
    assert_int_equal(disk_transfer(disk, DISK_WRITE, expected, 0, 8), 0);
    disk_close(disk);
    assert_true(disk_create_child(B, A, NULL, &error));
    memset(expected, 0, sizeof(expected));
    disk = disk_open(B, 0, &error);
    assert_int_equal(disk_transfer(disk, DISK_WRITE, expected, 0, SECTORS), 0);
    disk_close(disk);
    assert_int_equal(stat(A, &before), 0);
    must_merge(B, NULL, NULL);
    assert_int_equal(result.space, 0);
    assert_int_equal(stat(A, &after), 0);
    assert_int_equal(after.st_size, before.st_size);
    expect_content(A);
}

static void refused(void **state)
{
    (void)state;
    make_chain(DISK_FORMAT_DYNAMIC, 0, 0, 0);
    assert_false(disk_merge(A, NULL, NULL, &result, &error));
    expect_error(EINVAL, ": no differencing disk");
    assert_true(disk_create(Z, sizeof(expected), DISK_FORMAT_DYNAMIC, NULL, &error));
    assert_false(disk_merge(C, Z, NULL, &result, &error));
    expect_error(EINVAL, vhdx ? "c.vhdx: z.vhdx is none of its parents: loam disk chain c.vhdx shows them"
                              : "c.vhd: z.vhd is none of its parents: loam disk chain c.vhd shows them");
    assert_false(disk_merge(C, C, NULL, &result, &error));
    expect_error(EINVAL, "none of its parents");
    assert_false(disk_merge("none", NULL, NULL, &result, &error));
    expect_error(ENOENT, "none: ");

    /* Somebody else's readers and writers. */
    struct disk *user = disk_open(A, DISK_OPEN_READ_ONLY, &error);
    assert_false(disk_merge(C, A, NULL, &result, &error));
    expect_error(EBUSY, vhdx ? "a.vhdx: in use by process" : "a.vhd: in use by process");
    disk_close(user);
    user = disk_open(C, 0, &error);
    assert_false(disk_merge(C, NULL, NULL, &result, &error));
    expect_error(EBUSY, vhdx ? "c.vhdx: in use by process" : "c.vhd: in use by process");
    disk_close(user);
    expect_content(C);
    expect_sound(C);
}

/* As Hyper-V makes a VHDX larger than its parent; the VHD is not made by anyone. */
static void larger_child(void **state)
{
    (void)state;
    assert_true(disk_create(A, MIB, DISK_FORMAT_DYNAMIC, NULL, &error));
    struct disk *parent = disk_open(A, DISK_OPEN_READ_ONLY, &error);
    struct vhd_child child = {.size = 2 * MIB, .block_size = 4096, .relative_path = A, .absolute_path = ""};
    struct vhdx_parent link = {.relative_path = A};
    memcpy(child.identifier, disk_top(parent)->identifier, sizeof(child.identifier));
    memcpy(link.identifier, disk_top(parent)->identifier, sizeof(link.identifier));
    disk_close(parent);
    const struct vhdx_creation creation = {.format = DISK_FORMAT_DIFFERENCING, .size = 2 * MIB, .parent = &link};
    struct disk_file *file = disk_file_wrap(open(B, O_RDWR | O_CREAT, 0600), B);
    assert_int_equal(vhdx ? vhdx_create(file, &creation) : vhd_create_child(file, &child), 0);
    disk_file_close(file);
    assert_false(disk_merge(B, NULL, NULL, &result, &error));
    expect_error(EINVAL, ": has 2097152 bytes, more than ");
    expect_error(EINVAL, vhdx ? "a.vhdx 2097152, and then loam disk reconnect --force --parent "
                              : "a.vhd 2097152, and then loam disk reconnect b.vhd");
}

/* Nobody makes such chains; only an identifier that happens to be the same does. */
static void mixed_chain(void **state)
{
    (void)state;
    static const struct disk_create_options sparse = {.sparse = true};
    assert_true(disk_create("a.vhd", MIB, DISK_FORMAT_FIXED, &sparse, &error));
    struct disk *parent = disk_open("a.vhd", DISK_OPEN_READ_ONLY, &error);
    struct vhdx_parent link = {.relative_path = "a.vhd"};
    memcpy(link.identifier, disk_top(parent)->identifier, sizeof(link.identifier));
    disk_close(parent);
    const struct vhdx_creation creation = {.format = DISK_FORMAT_DIFFERENCING, .size = MIB, .parent = &link};
    struct disk_file *file = disk_file_wrap(open("b.vhdx", O_RDWR | O_CREAT, 0600), "b.vhdx");
    assert_int_equal(vhdx_create(file, &creation), 0);
    disk_file_close(file);
    assert_false(disk_merge("b.vhdx", NULL, NULL, &result, &error));
    expect_error(EOPNOTSUPP, "b.vhdx: a VHDX, and its parent ");
    expect_error(EOPNOTSUPP, "a.vhd is a VHD: make a new disk of both with loam disk convert");
}

static void other_children(void **state)
{
    (void)state;
    static const struct disk_merge_options force = {.force = true};
    make_chain(DISK_FORMAT_DYNAMIC, 0, 0, 0);
    assert_true(disk_create_child(OTHER, A, NULL, &error));
    must_merge(C, NULL, NULL); /* it is not a child of B */
    assert_false(disk_merge(B, NULL, NULL, &result, &error));
    expect_error(EMLINK, "1 other is based on these images and would be worth nothing: other.vhd");
    assert_true(disk_create_child(GRANDCHILD, B, NULL, &error));
    assert_false(disk_merge(B, NULL, NULL, &result, &error));
    expect_error(EMLINK, "2 others are based on these images");
    must_merge(B, NULL, &force);
    expect_content(A);
    assert_null(disk_open(OTHER, 0, &error));
    expect_error(ENOLINK, vhdx ? "a.vhdx is not its parent" : "a.vhd was changed after it was made");
    assert_null(disk_open(GRANDCHILD, 0, &error));
    expect_error(ENOLINK, "is not there");
}

static void cancelled(void **state)
{
    (void)state;
    volatile sig_atomic_t cancel = 0;
    make_chain(DISK_FORMAT_DYNAMIC, 64 << 10, 4096, 64 << 10);
    for (unsigned i = 1; i < 8; i++) {
        struct scratch_progress seen = {.cancel = &cancel, .cancel_at = i * i};
        const struct disk_merge_options options = {
            .progress = {.report = scratch_progress, .context = &seen, .cancel = &cancel}
        };
        cancel = 0;
        assert_false(disk_merge(C, A, &options, &result, &error));
        expect_error(ECANCELED, ": cancelled; it holds what it held");
        expect_content(C);
        expect_sound(C);
    }
    must_merge(C, A, NULL);
    expect_content(A);
}

static void kill_at(void *context, uint64_t done, uint64_t total)
{
    unsigned *left = context;
    (void)done;
    (void)total;
    if (--*left == 0)
        kill(getpid(), SIGKILL);
}

static void killed(void **state)
{
    (void)state;
    make_chain(DISK_FORMAT_DYNAMIC, 64 << 10, 4096, 64 << 10);
    unsigned kills = 0;
    for (unsigned i = 1;; i = i * 2 + 1) {
        pid_t process = fork();
        assert_true(process >= 0);
        if (process == 0) {
            const struct disk_merge_options options = {
                .progress = {.report = kill_at, .context = &i}
            };
            _exit(disk_merge(C, A, &options, &result, &error) ? 0 : 1);
        }
        int status;
        assert_int_equal(waitpid(process, &status, 0), process);
        if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
            break;
        assert_true(WIFSIGNALED(status));
        expect_content(C);
        kills++;
    }
    assert_true(kills > 3);
    assert_int_equal(scratch_files(), 1);
    expect_content(A);
    expect_sound(A);
}

/* ---- Power failures while the ancestor is written to ---- */

enum { SMALL = 200 };

struct chain {
    struct memory_file child, root;
    bool has_root;
    struct memory_file *parent; /* of a VHDX child */
    uint8_t bytes[SMALL * DISK_SECTOR_SIZE];
};

static void make_child(struct memory_file *memory, const struct memory_file *parent, size_t footer, uint32_t block_size)
{
    struct vhd_child child = {
        .size = SMALL * DISK_SECTOR_SIZE, .block_size = block_size, .relative_path = "p", .absolute_path = "/p"};
    memcpy(child.identifier, parent->bytes + footer + 68, sizeof(child.identifier));
    memory_file_initialize(memory);
    assert_int_equal(vhd_create_child(&memory->file, &child), 0);
    memory->file.dirty = false;
}

static struct disk *open_files(struct chain *chain, struct memory_file *ancestor, bool with_child)
{
    struct disk_file *files[3];
    unsigned count = 0;
    if (with_child)
        files[count++] = &chain->child.file;
    files[count++] = &ancestor->file;
    if (chain->has_root)
        files[count++] = &chain->root.file;
    struct disk *disk = disk_open_files(files, count, with_child ? DISK_OPEN_READ_ONLY : 0, &error);
    if (!disk)
        fail_msg("%s", error.text);
    return disk;
}

static void fill(struct disk_file *const *files, unsigned count, uint8_t value)
{
    uint8_t bytes[24 * DISK_SECTOR_SIZE];
    struct disk *disk = disk_open_files(files, count, 0, &error);
    assert_non_null(disk);
    for (unsigned i = 0; i < 12; i++) {
        uint32_t sectors = 1 + power_failure_below(24);
        memset(bytes, power_failure_below(5) ? value + (int)i : 0, sizeof(bytes));
        assert_int_equal(disk_transfer(disk, DISK_WRITE, bytes, power_failure_below(SMALL - sectors), sectors), 0);
    }
    assert_int_equal(disk_close(disk), 0);
}

static void read_all(struct disk *disk, uint8_t *bytes)
{
    assert_int_equal(disk_transfer(disk, DISK_READ, bytes, 0, SMALL), 0);
    assert_int_equal(disk_close(disk), 0);
}

/* The child reads as before, and merging it again makes the ancestor what it is to be. */
static void expect_child(void *context, struct memory_file *medium, size_t point)
{
    static uint8_t bytes[SMALL * DISK_SECTOR_SIZE];
    struct chain *chain = context;
    (void)point;
    read_all(open_files(chain, medium, true), bytes);
    assert_memory_equal(bytes, chain->bytes, sizeof(bytes));
}

static void merge(struct chain *chain, struct memory_file *ancestor)
{
    static const struct disk_merge_options options;
    struct disk *upper = disk_new(), *lower = open_files(chain, ancestor, false);
    struct disk *child = open_files(chain, ancestor, true);
    assert_true(disk_add(upper, child->images[0]));
    assert_true(disk_merge_into(upper, lower, &options, &result, &error));
    assert_int_equal(disk_close(lower), 0);
    assert_int_equal(disk_close(child), 0);
    upper->image_count = 0;
    assert_int_equal(disk_close(upper), 0);
}

static void play_failures(bool differencing, uint32_t block_size)
{
    static uint8_t bytes[SMALL * DISK_SECTOR_SIZE];
    static struct chain chain;
    struct memory_file ancestor, base;
    chain = (struct chain){.has_root = differencing};
    power_failure_seed(block_size + differencing);
    memory_file_initialize(&base);
    memory_file_initialize(&ancestor);
    memory_file_initialize(&chain.root);
    struct memory_file *first = differencing ? &chain.root : &ancestor;
    assert_int_equal(disk_create_in(&first->file, SMALL * DISK_SECTOR_SIZE, DISK_FORMAT_DYNAMIC, 4096), 0);
    fill((struct disk_file *[]){&first->file}, 1, 10);
    if (differencing) {
        make_child(&ancestor, &chain.root, 0, block_size);
        fill((struct disk_file *[]){&ancestor.file, &chain.root.file}, 2, 50);
    }
    make_child(&chain.child, &ancestor, 0, block_size);
    fill((struct disk_file *[]){&chain.child.file, &ancestor.file, &chain.root.file}, differencing ? 3 : 2, 100);
    read_all(open_files(&chain, &ancestor, true), chain.bytes);

    power_failure_begin(&ancestor, &base);
    merge(&chain, &ancestor);
    uint64_t played = power_failure_play(&ancestor, &base, expect_child, &chain);
    assert_true(played > 100);
    power_failure_choose(&base, &base);
    struct memory_file *medium = &base;
    merge(&chain, medium);
    read_all(open_files(&chain, medium, false), bytes);
    assert_memory_equal(bytes, chain.bytes, sizeof(bytes));
    memory_file_release(&base);
    memory_file_release(&ancestor);
    memory_file_release(&chain.child);
    memory_file_release(&chain.root);
}

/* ---- Power failures of VHDX ---- */

/* A dynamic image, or a child of the first of `files`, which are its parent and its parent's. */
static void make_vhdx(struct memory_file *memory, struct disk_file *const *files, unsigned count)
{
    struct vhdx_parent link = {.relative_path = "p"};
    const struct vhdx_creation creation = {.format = count ? DISK_FORMAT_DIFFERENCING : DISK_FORMAT_DYNAMIC,
                                           .size = SMALL * DISK_SECTOR_SIZE,
                                           .block_size = MIB,
                                           .parent = &link};
    struct disk *parent = count ? disk_open_files(files, count, DISK_OPEN_READ_ONLY, &error) : NULL;
    if (parent)
        memcpy(link.identifier, disk_top(parent)->identifier, sizeof(link.identifier));
    memory_file_initialize(memory);
    assert_int_equal(vhdx_create(&memory->file, &creation), 0);
    memory_file_reset(memory);
    memory->file.dirty = false;
    if (parent)
        disk_close(parent);
}

static void expect_child_medium(void *context, struct memory_file *medium, size_t point)
{
    static uint8_t bytes[SMALL * DISK_SECTOR_SIZE];
    struct chain *chain = context;
    struct disk_file *files[] = {&medium->file, &chain->parent->file, &chain->root.file};
    struct disk *disk = disk_open_files(files, chain->has_root ? 3 : 2, DISK_OPEN_READ_ONLY, &error);
    (void)point;
    if (!disk)
        fail_msg("%s", error.text);
    read_all(disk, bytes);
    assert_memory_equal(bytes, chain->bytes, sizeof(bytes));
}

/* The child learns what its parent will be known by. */
static void announce(struct chain *chain, uint8_t *next)
{
    uint8_t identifier[16];
    struct metadata_cache *cache = metadata_cache_create();
    struct disk_image *image = image_open(&chain->parent->file, DISK_OPEN_READ_ONLY, cache, &error);
    memcpy(identifier, image->identifier, sizeof(identifier));
    image->operations->close(image);
    metadata_cache_destroy(cache);
    cache = metadata_cache_create();
    image = image_open(&chain->child.file, 0, cache, &error);
    assert_int_equal(image->operations->expect_change(image, identifier, next), 0);
    assert_int_equal(image->operations->close(image), 0);
    assert_int_equal(disk_file_synchronize(&chain->child.file), 0);
    metadata_cache_destroy(cache);
}

static void merge_vhdx(struct chain *chain, struct memory_file *ancestor, const uint8_t *next)
{
    static const struct disk_merge_options options;
    struct disk *lower = open_files(chain, ancestor, false), *upper = disk_new();
    struct disk_image *top = disk_top(lower);
    assert_int_equal(top->operations->take_identifier(top, next), 0);
    struct disk_image *image = image_open(&chain->child.file, DISK_OPEN_READ_ONLY, upper->cache, &error);
    assert_true(image && disk_add(upper, image));
    assert_true(disk_merge_into(upper, lower, &options, &result, &error));
    assert_int_equal(disk_close(lower), 0);
    assert_int_equal(disk_close(upper), 0);
}

static void play_vhdx_failures(bool differencing)
{
    static uint8_t bytes[SMALL * DISK_SECTOR_SIZE];
    static struct chain chain;
    struct memory_file ancestor, base;
    uint8_t next[16];
    chain = (struct chain){.has_root = differencing, .parent = &ancestor};
    power_failure_seed(differencing);
    memory_file_initialize(&base);
    struct disk_file *files[] = {&chain.child.file, &ancestor.file, &chain.root.file};
    make_vhdx(&chain.root, NULL, 0);
    fill(&files[2], 1, 10);
    make_vhdx(&ancestor, &files[2], differencing);
    fill(&files[1], 1 + differencing, 50);
    make_vhdx(&chain.child, &files[1], 1 + differencing);
    fill(files, 2 + differencing, 100);
    memory_file_reset(&chain.child);
    read_all(open_files(&chain, &ancestor, true), chain.bytes);

    for (unsigned time = 0; time < 2; time++) { /* and once more, after an interruption */
        power_failure_begin(&chain.child, &base);
        announce(&chain, next);
        chain.child.logging = false;
        assert_true(power_failure_play(&chain.child, &base, expect_child_medium, &chain) > 50);
        expect_child_medium(&chain, &base, 0);
        memory_file_reset(&chain.child);

        power_failure_begin(&ancestor, &base);
        merge_vhdx(&chain, &ancestor, next);
        ancestor.logging = false;
        assert_true(power_failure_play(&ancestor, &base, expect_child, &chain) > 50);
        power_failure_choose(&base, &base);
        memory_file_set(&ancestor, base.bytes, base.size);
        ancestor.file.dirty = false;
    }
    announce(&chain, next);
    merge_vhdx(&chain, &ancestor, next);
    read_all(open_files(&chain, &ancestor, false), bytes);
    assert_memory_equal(bytes, chain.bytes, sizeof(bytes));
    memory_file_release(&base);
    memory_file_release(&ancestor);
    memory_file_release(&chain.child);
    memory_file_release(&chain.root);
}

static void power_failures_of_vhdx(void **state)
{
    (void)state;
    play_vhdx_failures(false);
    play_vhdx_failures(true);
}

/* ---- Power failures while links are changed ---- */

/* The time that a child has for its parent is the old or the new one, and everything else stays. */
struct times {
    int64_t old;
    unsigned new_media;
};

static void expect_time(void *context, struct memory_file *medium, size_t point)
{
    static struct parent_link link;
    struct times *times = context;
    struct metadata_cache *cache = metadata_cache_create();
    struct disk_image *image = image_open(&medium->file, DISK_OPEN_READ_ONLY, cache, &error);
    (void)point;
    assert_non_null(image);
    assert_true(image->operations->read_parent(image, &link, &error));
    assert_true(link.timestamp == times->old || !link.has_timestamp);
    times->new_media += !link.has_timestamp;
    image->operations->close(image);
    metadata_cache_destroy(cache);
}

static void power_failures_of_links(void **state)
{
    (void)state;
    struct memory_file parent, child, base;
    struct times times = {.old = LONG_AGO};
    struct metadata_cache *cache = metadata_cache_create();
    memory_file_initialize(&parent);
    memory_file_initialize(&base);
    assert_int_equal(disk_create_in(&parent.file, SMALL * DISK_SECTOR_SIZE, DISK_FORMAT_DYNAMIC, 4096), 0);
    make_child(&child, &parent, 0, 4096);
    struct disk_image *image = image_open(&child.file, DISK_OPEN_READ_ONLY, cache, &error);
    assert_int_equal(image->operations->set_parent_time(image, LONG_AGO), 0);
    power_failure_begin(&child, &base);
    assert_int_equal(image->operations->set_parent_time(image, 0), 0);
    assert_true(power_failure_play(&child, &base, expect_time, &times) > 0);
    assert_true(times.new_media > 0);
    expect_time(&times, &base, 0);
    image->operations->close(image);
    metadata_cache_destroy(cache);
    memory_file_release(&parent);
    memory_file_release(&child);
    memory_file_release(&base);
}

static void power_failures(void **state)
{
    (void)state;
    play_failures(false, 4096);
    play_failures(false, 64 << 10);
    play_failures(true, 4096);
    play_failures(true, 64 << 10);
}

static int setup_vhd(void **state)
{
    vhdx = false;
    return scratch_setup(state);
}

static int setup_vhdx(void **state)
{
    vhdx = true;
    return scratch_setup(state);
}

#define BOTH(test)                                                                                                     \
    cmocka_unit_test_setup_teardown(test, setup_vhd, scratch_teardown),                                                \
        cmocka_unit_test_setup_teardown(test, setup_vhdx, scratch_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(into_the_parent),
        BOTH(into_an_ancestor),
        BOTH(into_a_fixed_disk),
        BOTH(children_are_kept),
        BOTH(linked_child),
        BOTH(dry_run),
        BOTH(zeros),
        BOTH(refused),
        BOTH(larger_child),
        BOTH(other_children),
        BOTH(cancelled),
        BOTH(killed),
        scratch_test(mixed_chain),
        cmocka_unit_test(power_failures),
        cmocka_unit_test(power_failures_of_links),
        cmocka_unit_test(power_failures_of_vhdx),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
