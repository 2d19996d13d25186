/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Disks in real files: making, opening, locking, describing. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "partitions/root/disk/check.h"
#include "partitions/root/disk/create.h"
#include "partitions/root/disk/chain.h"
#include "partitions/root/disk/info.h"
#include "partitions/root/disk/vhd/vhd.h"
#include "tests/unit/scratch.h"

#define MIB (1024ull * 1024)

static struct disk_error error;

static void expect_error(int code, const char *text)
{
    if (error.code != code || !strstr(error.text, text))
        print_error("got %d, %s; not %d, %s\n", error.code, error.text, code, text);
    assert_int_equal(error.code, code);
    assert_non_null(strstr(error.text, text));
}

static void must_create(const char *name, uint64_t size, enum disk_format format)
{
    const struct disk_create_options options = {.sparse = true};
    if (!disk_create(name, size, format, &options, &error))
        print_error("%s\n", error.text);
    else
        return;
    fail();
}

static struct disk *must_open(const char *name, unsigned flags)
{
    struct disk *disk = disk_open(name, flags, &error);
    if (!disk)
        print_error("%s\n", error.text);
    assert_non_null(disk);
    return disk;
}

/* --- Making --- */

static void refused_sizes(void **state)
{
    (void)state;
    static const struct {
        uint64_t size;
        enum disk_format format;
        uint32_t block_size;
        int code;
        const char *text;
    } cases[] = {
        {0,                       DISK_FORMAT_DYNAMIC, 0,     EINVAL, "new.vhd: a size of 0 bytes: it must be a multiple of 512"},
        {1000,                    DISK_FORMAT_FIXED,   0,     EINVAL, "a size of 1000 bytes: it must be a multiple of 512"      },
        {2040 * 1024 * MIB + 512, DISK_FORMAT_DYNAMIC, 0,     EFBIG,  "a VHD has at most 2040 GiB"                              },
        {2040 * 1024 * MIB + 512, DISK_FORMAT_FIXED,   0,     EFBIG,  "a VHD has at most 2040 GiB"                              },
        {UINT64_MAX / 512 * 512,  DISK_FORMAT_RAW,     0,     EFBIG,  "too large"                                               },
        {MIB,                     DISK_FORMAT_DYNAMIC, 2048,  EINVAL,
         "a block size of 2048: it must be a power of two of at least 4096"                                                     },
        {MIB,                     DISK_FORMAT_DYNAMIC, 12288, EINVAL, "a block size of 12288: it must be"                       },
        {1024 * 1024 * MIB,       DISK_FORMAT_DYNAMIC, 4096,  EINVAL, "too small for so large a disk"                           },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct disk_create_options options = {.block_size = cases[i].block_size};
        assert_false(disk_create("new.vhd", cases[i].size, cases[i].format, &options, &error));
        expect_error(cases[i].code, cases[i].text);
        assert_int_equal(scratch_files(), 0);
    }
}

static void refused_names(void **state)
{
    (void)state;
    char long_name[NAME_MAX + 10];
    memset(long_name, 'x', sizeof(long_name) - 1);
    long_name[sizeof(long_name) - 1] = '\0';
    static const struct {
        const char *name;
        int code;
        const char *text;
    } cases[] = {
        {"missing/new.vhd", ENOENT, "its directory cannot be opened"},
        {"",                EISDIR, "not the name of a file"        },
        {"./",              EISDIR, "not the name of a file"        },
        {"..",              EISDIR, "not the name of a file"        },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_false(disk_create(cases[i].name, MIB, DISK_FORMAT_DYNAMIC, NULL, &error));
        expect_error(cases[i].code, cases[i].text);
    }
    assert_false(disk_create(long_name, MIB, DISK_FORMAT_DYNAMIC, NULL, &error));
    expect_error(ENAMETOOLONG, "File name too long");
    assert_int_equal(scratch_files(), 0);

    /* Nobody is asked about what is there already. */
    must_create("new.vhd", MIB, DISK_FORMAT_DYNAMIC);
    assert_false(disk_create("new.vhd", 2 * MIB, DISK_FORMAT_FIXED, NULL, &error));
    expect_error(EEXIST, "new.vhd: exists already");
    const struct disk_create_options options = {.replace = true};
    assert_int_equal(mkdir("directory", 0700), 0);
    assert_false(disk_create("directory", MIB, DISK_FORMAT_DYNAMIC, &options, &error));
    expect_error(EEXIST, "not a regular file");
    assert_int_equal(symlink("new.vhd", "link.vhd"), 0);
    assert_false(disk_create("link.vhd", MIB, DISK_FORMAT_DYNAMIC, &options, &error));
    expect_error(EEXIST, "not a regular file");
    assert_int_equal(scratch_files(), 3);
}

static void replacing(void **state)
{
    (void)state;
    const struct disk_create_options options = {.replace = true};
    must_create("a.vhd", MIB, DISK_FORMAT_DYNAMIC);
    struct disk *disk = must_open("a.vhd", DISK_OPEN_READ_ONLY);
    assert_false(disk_create("a.vhd", 2 * MIB, DISK_FORMAT_DYNAMIC, &options, &error));
    expect_error(EBUSY, "in use by process");
    disk_close(disk);
    assert_true(disk_create("a.vhd", 2 * MIB, DISK_FORMAT_DYNAMIC, &options, &error));
    disk = must_open("a.vhd", 0);
    assert_int_equal(disk_sectors(disk), 4096);
    disk_close(disk);
    assert_int_equal(scratch_files(), 1);
}

static void space_and_progress(void **state)
{
    (void)state;
    static struct scratch_progress seen;
    struct disk_info info;
    struct disk_create_options options = {
        .progress = {.report = scratch_progress, .context = &seen}
    };
    for (enum disk_format format = DISK_FORMAT_RAW; format <= DISK_FORMAT_FIXED; format++) {
        seen = (struct scratch_progress){0};
        assert_true(disk_create("full", 200 * MIB, format, &options, &error));
        assert_int_equal(seen.last, 200 * MIB);
        assert_true(seen.calls >= 4);
        assert_true(disk_info("full", format == DISK_FORMAT_RAW ? DISK_OPEN_RAW : 0, &info, &error));
        assert_int_equal(info.format, format);
        assert_int_equal(info.size, 200 * MIB);
        assert_true(info.file_space >= 200 * MIB);
        assert_int_equal(unlink("full"), 0);
    }
    must_create("sparse", 200 * MIB, DISK_FORMAT_FIXED);
    assert_true(disk_info("sparse", 0, &info, &error));
    assert_int_equal(info.file_size, 200 * MIB + 512);
    assert_true(info.file_space < MIB);

    /* Stopped half-way, there is nothing. */
    volatile sig_atomic_t cancel = 0;
    seen = (struct scratch_progress){.cancel = &cancel, .cancel_at = 2};
    options.progress.cancel = &cancel;
    assert_false(disk_create("full", 200 * MIB, DISK_FORMAT_FIXED, &options, &error));
    expect_error(ECANCELED, "full: cancelled");
    assert_int_equal(seen.calls, 2);
    assert_int_equal(scratch_files(), 1);
}

/* --- Opening --- */

static void refused_files(void **state)
{
    (void)state;
    assert_null(disk_open("missing.vhd", 0, &error));
    expect_error(ENOENT, "missing.vhd: No such file");
    assert_int_equal(mkdir("directory", 0700), 0);
    for (unsigned flags = 0; flags < 4; flags++) {
        assert_null(disk_open("directory", flags, &error));
        expect_error(EISDIR, "directory: a directory, not a disk image");
    }
    assert_int_equal(mkfifo("fifo", 0600), 0);
    assert_null(disk_open("fifo", DISK_OPEN_READ_ONLY, &error));
    expect_error(EMEDIUMTYPE, "fifo: neither a file nor a block device");
    assert_null(disk_open("/dev/null", DISK_OPEN_READ_ONLY | DISK_OPEN_RAW, &error));
    expect_error(EMEDIUMTYPE, "/dev/null: neither a file nor a block device");

    must_create("raw", MIB, DISK_FORMAT_RAW);
    assert_null(disk_open("raw", 0, &error));
    expect_error(EMEDIUMTYPE, "raw: not a VHD");

    /* A name that fills the text leaves room for the reason. */
    char long_name[3000];
    memset(long_name, 'y', sizeof(long_name));
    long_name[sizeof(long_name) - 1] = '\0';
    assert_null(disk_open(long_name, 0, &error));
    expect_error(ENAMETOOLONG, "y: File name too long");
}

/* As an ordinary user, since nothing is forbidden to root. */
static void missing_permission(void **state)
{
    (void)state;
    must_create("private.vhd", MIB, DISK_FORMAT_DYNAMIC);
    struct stat status;
    assert_int_equal(stat("private.vhd", &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
    must_create("public.vhd", MIB, DISK_FORMAT_DYNAMIC);
    assert_int_equal(chmod("public.vhd", 0444), 0);
    assert_int_equal(chmod(".", 0755), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        if (geteuid() == 0 && (setgid(65534) != 0 || setuid(65534) != 0))
            _exit(2);
        bool own = status.st_uid == geteuid(); /* an ordinary user runs the test, and may use his own file */
        if (!own && (disk_open("private.vhd", DISK_OPEN_READ_ONLY, &error) || error.code != EACCES ||
                     !strstr(error.text, "private.vhd: no permission to read it")))
            _exit(3);
        if (disk_open("public.vhd", 0, &error) || error.code != EACCES ||
            !strstr(error.text, "public.vhd: no permission to read and write it"))
            _exit(4);
        struct disk *disk = disk_open("public.vhd", DISK_OPEN_READ_ONLY, &error);
        if (!disk)
            _exit(5);
        disk_close(disk);
        if (!own && (disk_create("new.vhd", MIB, DISK_FORMAT_DYNAMIC, NULL, &error) || error.code != EACCES ||
                     !strstr(error.text, "no permission to create files in its directory")))
            _exit(6);
        _exit(0);
    }
    int result;
    assert_int_equal(waitpid(child, &result, 0), child);
    assert_int_equal(result, 0);
}

static void descriptors(void **state)
{
    (void)state;
    must_create("a.vhd", MIB, DISK_FORMAT_DYNAMIC);
    int descriptor = open("a.vhd", O_RDONLY | O_CLOEXEC);
    assert_null(disk_open_descriptor(descriptor, "a.vhd of web1", 0, &error));
    expect_error(EACCES, "a.vhd of web1: opened for reading only, and is to be written");
    assert_int_equal(fcntl(descriptor, F_GETFD), -1); /* closed */

    descriptor = open("a.vhd", O_RDWR | O_APPEND | O_CLOEXEC);
    assert_null(disk_open_descriptor(descriptor, "a.vhd", 0, &error));
    expect_error(EINVAL, "opened for appending");

    descriptor = open("a.vhd", O_RDWR | O_CLOEXEC);
    struct disk *disk = disk_open_descriptor(descriptor, "a.vhd", 0, &error);
    assert_non_null(disk);
    static uint8_t bytes[512] = {1};
    assert_int_equal(disk_transfer(disk, DISK_WRITE, bytes, 7, 1), 0);
    assert_int_equal(disk_close(disk), 0);

    descriptor = open("a.vhd", O_RDONLY | O_CLOEXEC);
    disk = disk_open_descriptor(descriptor, "a.vhd", DISK_OPEN_READ_ONLY, &error);
    assert_non_null(disk);
    uint8_t read[512];
    assert_int_equal(disk_transfer(disk, DISK_READ, read, 7, 1), 0);
    assert_memory_equal(read, bytes, 512);
    assert_int_equal(disk_close(disk), 0);
    assert_int_equal(fcntl(descriptor, F_GETFD), -1);

    /* What is written to a file that was replaced meanwhile would be lost. */
    const struct disk_create_options options = {.replace = true};
    descriptor = open("a.vhd", O_RDWR | O_CLOEXEC);
    assert_true(disk_create("a.vhd", MIB, DISK_FORMAT_DYNAMIC, &options, &error));
    assert_null(disk_open_descriptor(descriptor, "a.vhd", 0, &error));
    expect_error(ESTALE, "a.vhd: deleted or replaced");

    assert_null(disk_open_descriptor(-1, "nothing", 0, &error));
    expect_error(EBADF, "nothing: cannot be used");
}

/* --- Locks --- */

/* Runs a process that holds the file open until its end of the socket is closed. */
static pid_t start_holder(const char *name, unsigned flags, int *socket_end)
{
    int ends[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        close(ends[0]);
        prctl(PR_SET_NAME, "holder");
        char byte = disk_open(name, flags, &error) ? 'y' : 'n';
        if (write(ends[1], &byte, 1) == 1 && read(ends[1], &byte, 1) == 0)
            _exit(0); /* without closing the disk: the kernel has to free the lock */
        _exit(1);
    }
    close(ends[1]);
    char byte;
    assert_int_equal(read(ends[0], &byte, 1), 1);
    assert_int_equal(byte, 'y');
    *socket_end = ends[0];
    return child;
}

static void stop_holder(pid_t child, int socket_end)
{
    close(socket_end);
    int result;
    assert_int_equal(waitpid(child, &result, 0), child);
    assert_int_equal(result, 0);
}

static void one_writer_or_many_readers(void **state)
{
    (void)state;
    must_create("a.vhd", MIB, DISK_FORMAT_DYNAMIC);
    char text[64];
    int end;
    pid_t child = start_holder("a.vhd", 0, &end);
    snprintf(text, sizeof(text), "a.vhd: in use by process %d (holder)", child);
    static const unsigned refused[] = {0, DISK_OPEN_READ_ONLY, DISK_OPEN_RAW};
    for (unsigned i = 0; i < 3; i++) {
        assert_null(disk_open("a.vhd", refused[i], &error));
        expect_error(EBUSY, text);
        assert_int_equal(error.holder, child);
    }
    struct disk_check_result result;
    assert_false(disk_check("a.vhd", NULL, NULL, &result, &error));
    expect_error(EBUSY, text);
    struct disk_info info;
    assert_true(disk_info("a.vhd", 0, &info, &error));
    assert_true(info.in_use);
    assert_int_equal(info.holder, child);
    assert_int_equal(info.size, MIB);
    stop_holder(child, end);

    child = start_holder("a.vhd", DISK_OPEN_READ_ONLY, &end);
    assert_null(disk_open("a.vhd", 0, &error));
    snprintf(text, sizeof(text), "a.vhd: in use by process %d (holder)", child);
    expect_error(EBUSY, text);
    assert_int_equal(error.holder, child);
    disk_close(must_open("a.vhd", DISK_OPEN_READ_ONLY));
    assert_true(disk_info("a.vhd", 0, &info, &error));
    assert_false(info.in_use);
    stop_holder(child, end);

    /* Closing unlocks even when the descriptor lives on elsewhere, as in a manager that has passed it on. */
    int descriptor = open("a.vhd", O_RDWR | O_CLOEXEC);
    int copy = dup(descriptor);
    disk_close(disk_open_descriptor(descriptor, "a.vhd", 0, &error));
    disk_close(must_open("a.vhd", 0));
    close(copy);
}

/* --- The format's limit --- */

/* Where 32-bit sectors end, a further block is an error, and nothing else. */
static void places_run_out(void **state)
{
    (void)state;
    enum { TABLE = 1536, BLOCK = 64 << 10, BLOCK_SECTORS = BLOCK / 512 };
    const struct disk_create_options options = {.block_size = BLOCK};
    static uint8_t bytes[512] = {1}, read_back[512], footer[512];
    assert_true(disk_create("a.vhd", 10 * BLOCK, DISK_FORMAT_DYNAMIC, &options, &error));

    /* Block 0, all zeros, lies so that two more fit behind it; all further entries are free. */
    uint32_t sector = UINT32_MAX - 2 * (BLOCK_SECTORS + 8) - BLOCK_SECTORS;
    uint8_t entry[4];
    vhd_store_entry(entry, sector);
    off_t end = (off_t)sector * 512 + 512 + BLOCK;
    int descriptor = open("a.vhd", O_RDWR | O_CLOEXEC);
    assert_int_equal(pread(descriptor, footer, sizeof(footer), 0), sizeof(footer));
    assert_int_equal(pwrite(descriptor, entry, sizeof(entry), TABLE), sizeof(entry));
    assert_int_equal(pwrite(descriptor, footer, sizeof(footer), end), sizeof(footer));
    close(descriptor);

    struct disk *disk = must_open("a.vhd", 0);
    unsigned written = 0;
    for (unsigned block = 1; block < 10; block++) {
        int result = disk_transfer(disk, DISK_WRITE, bytes, block * BLOCK_SECTORS, 1);
        assert_int_equal(result, block <= 2 ? 0 : EIO);
        written += result == 0;
    }
    assert_int_equal(written, 2);
    assert_int_equal(disk_transfer(disk, DISK_FLUSH, NULL, 0, 0), 0);
    assert_int_equal(disk_close(disk), 0);
    disk = must_open("a.vhd", 0);
    for (unsigned block = 0; block < 10; block++) {
        static const uint8_t zeros[512];
        assert_int_equal(disk_transfer(disk, DISK_READ, read_back, block * BLOCK_SECTORS, 1), 0);
        assert_memory_equal(read_back, block == 1 || block == 2 ? bytes : zeros, 512);
    }
    assert_int_equal(disk_close(disk), 0);
}

/* A process locks the file, passes it on and is gone, while the one that has it then is about to end. */
static void lock_of_one_who_is_gone(void **state)
{
    int status;
    (void)state;
    must_create("a.vhd", MIB, DISK_FORMAT_FIXED);
    pid_t first = fork();
    if (first == 0) {
        int descriptor = open("a.vhd", O_RDWR | O_CLOEXEC);
        if (descriptor < 0 || flock(descriptor, LOCK_EX | LOCK_NB) < 0)
            _exit(1);
        if (fork() == 0)
            usleep(200000);
        _exit(0);
    }
    assert_int_equal(waitpid(first, &status, 0), first);
    assert_int_equal(status, 0);
    struct disk *disk = disk_open("a.vhd", 0, &error);
    if (!disk)
        fail_msg("%s", error.text);
    disk_close(disk);
}

/* --- Describing --- */

static void info_of_formats(void **state)
{
    (void)state;
    struct disk_info info;
    must_create("a.vhd", 100 * MIB, DISK_FORMAT_DYNAMIC);
    struct disk *disk = must_open("a.vhd", 0);
    static uint8_t bytes[512] = {1};
    assert_int_equal(disk_transfer(disk, DISK_WRITE, bytes, 4096 * 3, 1), 0);
    assert_int_equal(disk_close(disk), 0);
    assert_true(disk_info("a.vhd", 0, &info, &error));
    assert_int_equal(info.format, DISK_FORMAT_DYNAMIC);
    assert_string_equal(disk_format_name(info.format), "dynamic");
    assert_int_equal(info.size, 100 * MIB);
    assert_true(info.file_size > 2 * MIB && info.file_size < 3 * MIB);
    assert_int_equal(info.geometry.cylinders, 1003);
    assert_string_equal(info.creator_application, "win");
    assert_string_equal(info.creator_host, "Wi2k");
    assert_true(info.created > 1700000000 && info.created < 4294967296 + 946684800);
    assert_int_equal(info.identifier[6] >> 4, 4);
    assert_int_equal(info.identifier[8] >> 6, 2);
    assert_int_equal(info.block_size, 2 * MIB);
    assert_int_equal(info.blocks, 50);
    assert_int_equal(info.allocated_blocks, 1);
    assert_int_equal(info.damaged_blocks, 0);
    assert_false(info.footer_damaged || info.saved_state || info.in_use);

    must_create("f.vhd", MIB, DISK_FORMAT_FIXED);
    assert_true(disk_info("f.vhd", 0, &info, &error));
    assert_int_equal(info.format, DISK_FORMAT_FIXED);
    assert_int_equal(info.blocks, 0);
    assert_false(info.footer_damaged);

    assert_int_equal(truncate("a.vhd", (off_t)MIB), 0); /* the block is gone, and the footer */
    assert_true(disk_info("a.vhd", 0, &info, &error));
    assert_true(info.footer_damaged);
    assert_int_equal(info.damaged_blocks, 1);
    assert_null(disk_open("a.vhd", 0, &error));
    expect_error(EUCLEAN, "a.vhd: a damaged VHD, 1 blocks of it: block 3 lies at byte");

    assert_false(disk_info("missing", 0, &info, &error));
    expect_error(ENOENT, "missing: ");
    must_create("r.img", MIB, DISK_FORMAT_RAW);
    assert_false(disk_info("r.img", 0, &info, &error));
    expect_error(EMEDIUMTYPE, "r.img: not a VHD");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scratch_test(refused_sizes),
        scratch_test(refused_names),
        scratch_test(replacing),
        scratch_test(space_and_progress),
        scratch_test(refused_files),
        scratch_test(missing_permission),
        scratch_test(descriptors),
        scratch_test(places_run_out),
        scratch_test(one_writer_or_many_readers),
        scratch_test(lock_of_one_who_is_gone),
        scratch_test(info_of_formats),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
