/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Asynchronous I/O on real files: the same tests for each back end, and what only one of them has. */
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <seccomp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "partitions/root/disk/create.h"
#include "partitions/root/disk/chain.h"
#include "partitions/root/disk/io_backend.h"
#include "partitions/root/disk/transfer.h"
#include "tests/unit/scratch.h"

#define PIECE      4096u
#define PIECES     48u /* more than are under way at a time */
#define FILE_BYTES (PIECES * PIECE)

static const struct disk_io_backend *backend; /* under test */
static struct disk_io io;
static struct disk_io_queue *queue;
static struct disk_io_operation operations[PIECES];
static struct iovec vectors[PIECES][2];
static uint8_t bytes[FILE_BYTES];
static unsigned ended;
static int file;

static void count_end(struct disk_io_operation *operation)
{
    (void)operation;
    ended++;
}

/* Operation number `i`, on piece number `i` of the file and of `bytes`, in two parts. */
static struct disk_io_operation *prepare(unsigned i, enum disk_io_kind kind)
{
    vectors[i][0] = (struct iovec){bytes + i * PIECE, 1000};
    vectors[i][1] = (struct iovec){bytes + i * PIECE + 1000, PIECE - 1000};
    operations[i] = (struct disk_io_operation){
        .kind = kind,
        .descriptor = file,
        .vector = vectors[i],
        .count = 2,
        .offset = i * PIECE,
        .done = count_end,
    };
    return &operations[i];
}

static void submit_all(enum disk_io_kind kind)
{
    ended = 0;
    for (unsigned i = 0; i < PIECES; i++)
        disk_io_submit(queue, prepare(i, kind));
}

static void expect_results(int64_t result)
{
    assert_int_equal(ended, PIECES);
    for (unsigned i = 0; i < PIECES; i++)
        assert_int_equal(operations[i].result, result);
}

static void fill(uint8_t *memory, unsigned seed)
{
    for (unsigned i = 0; i < FILE_BYTES; i++)
        memory[i] = (uint8_t)(i * 31 + i / PIECE + seed);
}

static int set_up(void **state)
{
    backend = *state;
    if (scratch_setup(state) != 0)
        return -1;
    file = open("file", O_RDWR | O_CREAT, 0600);
    memset(bytes, 0, sizeof(bytes));
    int error = disk_io_start(&io, backend);
    if (error) {
        print_message("the kernel here refuses %s: %s\n", backend->name, strerror(error));
        io.backend = NULL;
        return file < 0;
    }
    return disk_io_open(&io, &queue);
}

static int tear_down(void **state)
{
    if (io.backend) {
        disk_io_close(queue);
        disk_io_end(&io);
    }
    close(file);
    return scratch_teardown(state);
}

static void need_backend(void)
{
    if (!io.backend)
        skip();
}

static void reads_and_writes(void **state)
{
    (void)state;
    static uint8_t expected[FILE_BYTES], read_back[FILE_BYTES];
    need_backend();
    assert_string_equal(disk_io_name(&io), backend->name);
    assert_false(disk_io_wait(queue));
    fill(bytes, 1);
    fill(expected, 1);
    submit_all(DISK_IO_WRITE);
    assert_int_equal(ended, 0); /* not before somebody waits */
    disk_io_drain(queue);
    expect_results(PIECE);
    assert_int_equal(pread(file, read_back, FILE_BYTES, 0), FILE_BYTES);
    assert_memory_equal(read_back, expected, FILE_BYTES);

    memset(bytes, 0, sizeof(bytes));
    submit_all(DISK_IO_READ);
    disk_io_drain(queue);
    expect_results(PIECE);
    assert_memory_equal(bytes, expected, FILE_BYTES);
    assert_false(disk_io_wait(queue));
}

static void one_that_is_alone(void **state)
{
    (void)state;
    need_backend();
    fill(bytes, 2);
    ended = 0;
    disk_io_submit(queue, prepare(5, DISK_IO_WRITE));
    assert_true(disk_io_wait(queue));
    assert_int_equal(ended, 1);
    assert_int_equal(operations[5].result, PIECE);
    assert_int_equal(lseek(file, 0, SEEK_END), 6 * PIECE);
}

/* What is behind the end of a file is told as what it is, and not asked for again. */
static void short_reads(void **state)
{
    (void)state;
    need_backend();
    assert_int_equal(ftruncate(file, 2 * PIECE + 1500), 0);
    memset(bytes, 0xee, sizeof(bytes));
    submit_all(DISK_IO_READ);
    disk_io_drain(queue);
    assert_int_equal(ended, PIECES);
    assert_int_equal(operations[1].result, PIECE);
    assert_int_equal(operations[2].result, 1500);
    assert_int_equal(operations[3].result, 0);
    assert_int_equal(bytes[2 * PIECE + 1499], 0);
    assert_int_equal(bytes[2 * PIECE + 1500], 0xee);
}

/* Each of these beside one that succeeds, and alone. */
static void expect_error(enum disk_io_kind kind, int descriptor, int error)
{
    for (unsigned i = 0; i < 2; i++) {
        prepare(0, kind)->descriptor = descriptor;
        disk_io_submit(queue, &operations[0]);
        if (i == 0)
            disk_io_submit(queue, prepare(1, DISK_IO_WRITE));
        disk_io_drain(queue);
        assert_int_equal(operations[0].result, -error);
        assert_int_equal(operations[1].result, PIECE);
    }
}

static void errors(void **state)
{
    (void)state;
    need_backend();
    int full = open("/dev/full", O_RDWR), directory = open(".", O_RDONLY), read_only = open("file", O_RDONLY);
    expect_error(DISK_IO_WRITE, full, ENOSPC);
    expect_error(DISK_IO_READ, directory, EISDIR);
    expect_error(DISK_IO_WRITE, read_only, EBADF);
    expect_error(DISK_IO_READ, 999, EBADF);
    expect_error(DISK_IO_SYNCHRONIZE, full, EINVAL);
    close(full);
    close(directory);
    close(read_only);
    prepare(0, DISK_IO_READ);
    vectors[0][0].iov_base = (void *)16;
    disk_io_submit(queue, &operations[0]);
    disk_io_submit(queue, prepare(1, DISK_IO_WRITE));
    disk_io_drain(queue);
    assert_int_equal(operations[0].result, -EFAULT);
}

static void synchronizes_and_allocates(void **state)
{
    (void)state;
    need_backend();
    fill(bytes, 3);
    submit_all(DISK_IO_WRITE);
    disk_io_drain(queue);
    operations[0] = (struct disk_io_operation){
        .kind = DISK_IO_ALLOCATE, .descriptor = file, .offset = FILE_BYTES, .length = 5000, .done = count_end};
    operations[1] = operations[0];
    operations[1].offset = PIECE;
    operations[1].length = 2 * PIECE;
    operations[1].mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
    operations[2] = (struct disk_io_operation){.kind = DISK_IO_SYNCHRONIZE, .descriptor = file, .done = count_end};
    for (unsigned i = 0; i < 3; i++)
        disk_io_submit(queue, &operations[i]);
    disk_io_drain(queue);
    if (operations[0].result == -EOPNOTSUPP) /* by the file system */
        skip();
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(operations[i].result, 0);
    assert_int_equal(lseek(file, 0, SEEK_END), FILE_BYTES + 5000);
    static const uint8_t zeros[2 * PIECE];
    static uint8_t hole[2 * PIECE];
    assert_int_equal(pread(file, hole, sizeof(hole), PIECE), sizeof(hole));
    assert_memory_equal(hole, zeros, sizeof(hole));
}

/* From within `done`: the next piece, until there is none. */
static void submit_next(struct disk_io_operation *operation)
{
    assert_int_equal(operation->result, PIECE);
    ended++;
    operation->offset += 2 * PIECE;
    if (operation->offset < FILE_BYTES)
        disk_io_submit(queue, operation);
}

static void submitted_from_within(void **state)
{
    (void)state;
    need_backend();
    ended = 0;
    for (unsigned i = 0; i < 2; i++) {
        prepare(i, DISK_IO_WRITE)->done = submit_next;
        disk_io_submit(queue, &operations[i]);
    }
    disk_io_drain(queue);
    assert_int_equal(ended, PIECES);
    assert_int_equal(lseek(file, 0, SEEK_END), FILE_BYTES);
}

static void closing_loses_nothing(void **state)
{
    (void)state;
    need_backend();
    submit_all(DISK_IO_WRITE);
    disk_io_close(queue);
    expect_results(PIECE);
    assert_int_equal(lseek(file, 0, SEEK_END), FILE_BYTES);
    assert_int_equal(disk_io_open(&io, &queue), 0);
}

/* ---- A slow operation: it wants memory that is not there until the test provides it ---- */

static struct {
    uint8_t *memory;
    int handler; /* of missing pages */
    struct disk_io_queue *queue;
    struct disk_io_operation operations[DISK_IO_DEPTH];
    struct iovec vectors[DISK_IO_DEPTH];
    unsigned ended;
} slow;

static void count_slow(struct disk_io_operation *operation)
{
    assert_int_equal(operation->result, PIECE);
    slow.ended++;
}

static bool make_slow_memory(void)
{
    struct uffdio_api api = {.api = UFFD_API};
    slow.handler = (int)syscall(SYS_userfaultfd, O_CLOEXEC);
    if (slow.handler < 0)
        return false;
    slow.memory = mmap(NULL, DISK_IO_DEPTH * PIECE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct uffdio_register range = {
        .range = {.start = (uintptr_t)slow.memory, .len = DISK_IO_DEPTH * PIECE},
          .mode = UFFDIO_REGISTER_MODE_MISSING
    };
    assert_int_equal(ioctl(slow.handler, UFFDIO_API, &api), 0);
    assert_int_equal(ioctl(slow.handler, UFFDIO_REGISTER, &range), 0);
    return true;
}

static void *wait_for_slow(void *context)
{
    (void)context;
    disk_io_drain(slow.queue);
    return NULL;
}

static void another_queue_is_slow(void **state)
{
    (void)state;
    pthread_t thread;
    struct uffd_msg message;
    need_backend();
    if (!make_slow_memory()) {
        print_message("no userfaultfd: %s\n", strerror(errno));
        skip();
    }
    assert_int_equal(disk_io_open(&io, &slow.queue), 0);
    slow.ended = 0;
    for (unsigned i = 0; i < DISK_IO_DEPTH; i++) {
        slow.vectors[i] = (struct iovec){slow.memory + i * PIECE, PIECE};
        slow.operations[i] = (struct disk_io_operation){.kind = DISK_IO_WRITE,
                                                        .descriptor = file,
                                                        .vector = &slow.vectors[i],
                                                        .count = 1,
                                                        .offset = FILE_BYTES + i * PIECE,
                                                        .done = count_slow};
        disk_io_submit(slow.queue, &slow.operations[i]);
    }
    assert_int_equal(pthread_create(&thread, NULL, wait_for_slow, NULL), 0);
    assert_int_equal(read(slow.handler, &message, sizeof(message)), sizeof(message)); /* one of them is under way */

    /* On another file: a file system may let one writer at a time into a file. */
    int first = file;
    file = open("other", O_RDWR | O_CREAT, 0600);
    submit_all(DISK_IO_WRITE);
    disk_io_drain(queue);
    expect_results(PIECE);
    close(file);
    file = first;
    assert_int_equal(slow.ended, 0);

    struct uffdio_zeropage zeros = {
        .range = {.start = (uintptr_t)slow.memory, .len = DISK_IO_DEPTH * PIECE}
    };
    assert_int_equal(ioctl(slow.handler, UFFDIO_ZEROPAGE, &zeros), 0);
    pthread_join(thread, NULL);
    assert_int_equal(slow.ended, DISK_IO_DEPTH);
    disk_io_close(slow.queue);
    close(slow.handler);
    munmap(slow.memory, DISK_IO_DEPTH * PIECE);
}

/* ---- A disk: a request of many extents, on an image in pieces ---- */

static void requests_of_a_disk(void **state)
{
    (void)state;
    enum { SECTORS = 320, BLOCK = 4096, ROUNDS = 200, MOST = 100 };
    static uint8_t expected[SECTORS * DISK_SECTOR_SIZE], buffer[SECTORS * DISK_SECTOR_SIZE];
    static struct disk_transfers transfers;
    const struct disk_create_options options = {.block_size = BLOCK};
    struct disk_error error;
    need_backend();
    assert_true(disk_create("disk.vhd", sizeof(expected), DISK_FORMAT_DYNAMIC, &options, &error));
    struct disk *disk = disk_open("disk.vhd", 0, &error);
    assert_non_null(disk);
    disk_transfers_initialize(&transfers, queue);
    disk_set_transfers(disk, &transfers);
    memset(expected, 0, sizeof(expected));
    srand(1);
    for (unsigned i = 0; i < ROUNDS; i++) {
        unsigned sectors = 1 + (unsigned)rand() % MOST, first = (unsigned)rand() % (SECTORS - sectors + 1);
        uint8_t *place = expected + first * DISK_SECTOR_SIZE;
        memset(place, (int)i, sectors * DISK_SECTOR_SIZE);
        assert_int_equal(disk_transfer(disk, DISK_WRITE, place, first, sectors), 0);
        if (i % 8 == 0)
            assert_int_equal(disk_transfer(disk, DISK_FLUSH, NULL, 0, 0), 0);
        assert_int_equal(disk_transfer(disk, DISK_READ, buffer, 0, SECTORS), 0);
        assert_memory_equal(buffer, expected, sizeof(expected));
    }
    disk_set_transfers(disk, NULL);
    assert_int_equal(disk_close(disk), 0);
    disk = disk_open("disk.vhd", 0, &error);
    assert_int_equal(disk_transfer(disk, DISK_READ, buffer, 0, SECTORS), 0);
    assert_memory_equal(buffer, expected, sizeof(expected));
    disk_close(disk);
}

/* ---- io_uring alone ---- */

/* Whatever else a thread asks a ring for, and however, it does not get. */
static void rings_are_restricted(void **state)
{
    (void)state;
    static const struct {
        uint8_t operation, flags;
    } forbidden[] = {
        {IORING_OP_NOP,      0               },
        {IORING_OP_READ,     0               },
        {IORING_OP_OPENAT,   0               },
        {IORING_OP_CLOSE,    0               },
        {IORING_OP_SOCKET,   0               },
        {IORING_OP_SENDMSG,  0               },
        {IORING_OP_UNLINKAT, 0               },
        {IORING_OP_READV,    IOSQE_ASYNC     },
        {IORING_OP_READV,    IOSQE_IO_LINK   },
        {IORING_OP_READV,    IOSQE_FIXED_FILE},
    };
    need_backend();
    struct io_uring *ring = queue->own;
    for (unsigned i = 0; i < sizeof(forbidden) / sizeof(forbidden[0]); i++) {
        struct io_uring_sqe *entry = io_uring_get_sqe(ring);
        struct io_uring_cqe *completion;
        prepare(0, DISK_IO_READ);
        io_uring_prep_rw(forbidden[i].operation, entry, file, vectors[0], 2, 0);
        entry->flags = forbidden[i].flags;
        assert_int_equal(io_uring_submit_and_wait(ring, 1), 1);
        assert_int_equal(io_uring_wait_cqe(ring, &completion), 0);
        if (completion->res != -EACCES)
            fail_msg("operation %u with flags %u: %d", forbidden[i].operation, forbidden[i].flags, completion->res);
        io_uring_cqe_seen(ring, completion);
    }
    assert_int_equal(io_uring_register_files(ring, &file, 1), -EACCES);
    assert_int_equal(io_uring_register_buffers(ring, vectors[0], 1), -EACCES);
    assert_int_equal(io_uring_register_eventfd(ring, file), -EACCES);
}

/* Where a container's filter refuses rings, as many do. */
static void refused(int error)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
    seccomp_rule_add(filter, SCMP_ACT_ERRNO((uint32_t)error), SCMP_SYS(io_uring_setup), 0);
    if (seccomp_load(filter) != 0)
        _exit(10);
    struct disk_io own;
    struct disk_io_queue *own_queue;
    if (disk_io_start(&own, &disk_io_uring) != error)
        _exit(11);
    if (disk_io_start(&own, NULL) != 0 || own.backend != &disk_io_threads)
        _exit(12);
    if (disk_io_open(&own, &own_queue) != 0)
        _exit(13);
    ended = 0;
    for (unsigned i = 0; i < 2; i++)
        disk_io_submit(own_queue, prepare(i, DISK_IO_WRITE));
    disk_io_close(own_queue);
    disk_io_end(&own);
    _exit(ended == 2 ? 0 : 14);
}

static void threads_where_rings_are_refused(void **state)
{
    (void)state;
    static const int reasons[] = {EPERM, ENOSYS};
    for (unsigned i = 0; i < 2; i++) {
        int status;
        pid_t child = fork();
        if (child == 0)
            refused(reasons[i]);
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(status, 0);
    }
}

static void rings_where_they_can_be_had(void **state)
{
    (void)state;
    struct disk_io best;
    need_backend();
    assert_int_equal(disk_io_start(&best, NULL), 0);
    assert_string_equal(disk_io_name(&best), "io_uring");
    disk_io_end(&best);
}

/* `state` is the back end. */
#define with(backend, function)                                                                                        \
    {                                                                                                                  \
#function ", " #backend, function, set_up, tear_down, (void *)&backend                                         \
    }
#define with_both(function) with(disk_io_threads, function), with(disk_io_uring, function)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_both(reads_and_writes),
        with_both(one_that_is_alone),
        with_both(short_reads),
        with_both(errors),
        with_both(synchronizes_and_allocates),
        with_both(submitted_from_within),
        with_both(closing_loses_nothing),
        with_both(another_queue_is_slow),
        with_both(requests_of_a_disk),
        with(disk_io_uring, rings_are_restricted),
        with(disk_io_uring, rings_where_they_can_be_had),
        with(disk_io_threads, threads_where_rings_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
