/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Drives and media over a real board, its IDE and floppy controllers and images in files; the guest is what this test
 * writes to their ports. All of it with each back end of asynchronous I/O.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>
#include <cmocka.h>

#include "partitions/root/disk/file.h"
#include "partitions/root/disk/chain.h"
#include "partitions/root/worker/storage.h"
#include "partitions/root/worker/devices/atapi.h"
#include "partitions/root/worker/devices/firmware_setup.h"
#include "tests/unit/scratch.h"

#define MEMORY      0x100000u
#define BLOCKS      20u
#define FLOPPY_SIZE (2880u * 512u)

/* Ports: the secondary IDE channel's, and the floppy controller's. */
#define IDE         0x170
#define FLOPPY_DOR  0x3f2
#define FLOPPY_MSR  0x3f4
#define FLOPPY_FIFO 0x3f5
#define FLOPPY_RATE 0x3f7

static struct {
    const struct disk_io_backend *io;
    pthread_mutex_t lock;
    struct bus bus;
    struct timer_queue timers;
    struct guest_memory memory;
    struct platform platform;
    struct configuration configuration;
    struct storage storage;
    uint8_t ram[MEMORY];
    uint64_t now;
    unsigned ejected; /* calls of the hook */
    unsigned changes; /* calls of storage_watch's, and what the last was about */
    enum storage_kind kind;
    unsigned number;
    char error[STORAGE_ERROR_SIZE];
} test;

/* ---- The board ---- */

static uint64_t host_now(void *context)
{
    (void)context;
    return test.now;
}

static void no_request(void *context, bool level)
{
    (void)context;
    (void)level;
}

static void no_message(void *context, const struct ioapic_message *message)
{
    (void)context;
    (void)message;
}

static void no_shadow(void *context, const struct host_bridge_segment *segment)
{
    (void)context;
    (void)segment;
}

static void nothing(void *context)
{
    (void)context;
}

static size_t no_output(void *context, const uint8_t *characters, size_t length)
{
    (void)context;
    (void)characters;
    return length;
}

static void ejected(void *context)
{
    (void)context;
    test.ejected++;
}

static void no_space(void *context, struct disk *disk)
{
    (void)context;
    (void)disk;
}

static void media_changed(void *context, enum storage_kind kind, unsigned number)
{
    assert_ptr_equal(context, &test);
    test.changes++;
    test.kind = kind;
    test.number = number;
}

static void make_file(const char *name, size_t size, uint8_t fill)
{
    uint8_t *bytes = malloc(size + 1);
    int file = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    memset(bytes, fill, size);
    assert_int_equal(write(file, bytes, size), size);
    close(file);
    free(bytes);
}

static void make_board(void)
{
    const struct platform_outputs outputs = {.interrupt_request = no_request,
                                             .deliver = no_message,
                                             .shadow_changed = no_shadow,
                                             .a20 = no_request,
                                             .reset = nothing,
                                             .power_off = nothing};
    const struct platform_configuration configuration = {
        .memory_below_4g = MEMORY, .memory = &test.memory, .com = {{.transmit = no_output}, {.transmit = no_output}}
    };

    pthread_mutex_init(&test.lock, NULL);
    test.memory = (struct guest_memory){0};
    bus_initialize(&test.bus);
    timer_queue_initialize(&test.timers, host_now, NULL, NULL);
    timer_queue_thaw(&test.timers);
    assert_true(guest_memory_add(&test.memory, 0, MEMORY, test.ram));
    assert_true(platform_initialize(&test.platform, &test.bus, &test.timers, &configuration, &outputs));
}

static bool create(void)
{
    const struct storage_configuration configuration = {
        .machine = &test.configuration,
        .platform = &test.platform,
        .memory = &test.memory,
        .device_lock = &test.lock,
        .io = test.io,
        .no_space = no_space,
        .ejected = ejected,
    };

    return storage_create(&test.storage, &configuration, test.error);
}

static void start(void)
{
    if (!create())
        fail_msg("%s", test.error);
    assert_true(firmware_setup(&test.platform));
    pci_config_write(&test.platform.pci, PIIX4_SLOT, PIIX4_IDE_FUNCTION, IDE_PCI_TIMING(1), 2, IDE_PCI_TIMING_DECODE);
    if (!storage_start(&test.storage, test.error))
        fail_msg("%s", test.error);
    storage_watch(&test.storage, media_changed, &test);
}

/* Two DVD drives and two floppy drives, all empty but A:, which decides that both are for 1.44 MB. */
static int set_up(void **state)
{
    const struct configuration_file none = {.descriptor = -1};

    memset(&test, 0, sizeof test);
    test.io = *state;
    scratch_setup(state);
    make_file("cd.iso", BLOCKS * ATAPI_BLOCK_SIZE, 0xCD);
    make_file("a.vfd", FLOPPY_SIZE, 0xA1);
    make_board();
    test.configuration.dvd_count = test.configuration.floppy_count = 2;
    for (unsigned i = 0; i < 2; i++)
        test.configuration.dvds[i].file = test.configuration.floppies[i].file = none;
    test.configuration.floppies[0].file.path = "a.vfd";
    return 0;
}

static int tear_down(void **state)
{
    if (!storage_close(&test.storage, test.error))
        fail_msg("%s", test.error);
    pthread_mutex_destroy(&test.lock);
    return scratch_teardown(state);
}

/* ---- The guest ---- */

static uint8_t in(uint16_t port)
{
    uint64_t value;

    pthread_mutex_lock(&test.lock);
    value = bus_read(&test.bus, BUS_PORTS, port, 1);
    pthread_mutex_unlock(&test.lock);
    return (uint8_t)value;
}

static void out(uint16_t port, unsigned size, uint16_t value)
{
    pthread_mutex_lock(&test.lock);
    bus_write(&test.bus, BUS_PORTS, port, size, value);
    pthread_mutex_unlock(&test.lock);
}

/* Gives DVD drive 0 a packet; what comes of it is not waited for. */
static void send_packet(const uint8_t packet[12])
{
    out(IDE + 6, 1, 0xA0);
    out(IDE + 4, 1, 0x00);
    out(IDE + 5, 1, 0x08); /* blocks of 2048 bytes */
    out(IDE + 7, 1, 0xA0);
    assert_int_equal(in(IDE + 7) & IDE_STATUS_DRQ, IDE_STATUS_DRQ);
    for (unsigned i = 0; i < 12; i += 2)
        out(IDE, 2, (uint16_t)(packet[i] | packet[i + 1] << 8));
}

/* Whether the packet's command ends well; data that it sends are left to the next command. */
static bool packet(const uint8_t bytes[12])
{
    uint8_t status;

    send_packet(bytes);
    while ((status = in(IDE + 7)) & IDE_STATUS_BSY)
        sched_yield();
    return !(status & IDE_STATUS_ERR);
}

#define PACKET(...) packet((const uint8_t[12]){__VA_ARGS__})

/* TEST UNIT READY, after unit attentions. */
static bool is_ready(void)
{
    bool ready = false;

    for (unsigned i = 0; !ready && i < 3; i++)
        ready = PACKET(0x00);
    return ready;
}

static bool lock_tray(bool locked)
{
    return PACKET(0x1E, 0, 0, 0, locked);
}

/* START STOP UNIT */
static bool eject_by_guest(void)
{
    return PACKET(0x1B, 0, 0, 0, 0x02);
}

/* ---- The host ---- */

static struct configuration_drive medium(const char *path, bool read_only)
{
    return (struct configuration_drive){
        .file = {.path = (char *)path, .descriptor = open(path, (read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC)},
        .read_only = read_only
    };
}

static bool insert(enum storage_kind kind, unsigned number, const char *path, bool read_only)
{
    const struct configuration_drive drive = medium(path, read_only);
    bool inserted = storage_insert(&test.storage, kind, number, &drive, test.error);

    assert_true(drive.file.descriptor >= 0);
    if (!inserted) /* the descriptor is gone in any case */
        assert_true(fcntl(drive.file.descriptor, F_GETFD) < 0 && errno == EBADF);
    return inserted;
}

static void assert_refused(enum storage_kind kind, unsigned number, const char *path, const char *problem)
{
    const struct storage_drive *drive = storage_find(&test.storage, kind, number);
    const struct disk *before = drive ? drive->disk : NULL;
    unsigned changes = test.changes;

    assert_false(insert(kind, number, path, true));
    if (!strstr(test.error, problem))
        fail_msg("\"%s\" instead of \"%s\"", test.error, problem);
    assert_int_equal(test.changes, changes);
    if (drive) {
        assert_ptr_equal(drive->disk, before);
        assert_int_equal(drive->name != NULL, before != NULL);
    }
}

static bool eject(enum storage_kind kind, unsigned number, bool force)
{
    return storage_eject(&test.storage, kind, number, force, test.error);
}

/* Nobody has the image any more: it can be locked. */
static void assert_free(const char *path)
{
    int file = open(path, O_RDONLY);

    assert_int_equal(flock(file, LOCK_EX | LOCK_NB), 0);
    close(file);
}

static void assert_changed(unsigned changes, enum storage_kind kind, unsigned number)
{
    assert_int_equal(test.changes, changes);
    assert_int_equal(test.kind, kind);
    assert_int_equal(test.number, number);
}

/* ---- DVD ---- */

static void dvd_comes_and_goes(void **state)
{
    (void)state;
    start();
    assert_false(is_ready());
    assert_true(insert(STORAGE_DVD, 0, "cd.iso", true));
    assert_changed(1, STORAGE_DVD, 0);
    assert_string_equal(storage_find(&test.storage, STORAGE_DVD, 0)->name, "cd.iso");
    assert_true(is_ready());
    assert_refused(STORAGE_DVD, 0, "cd.iso", "there is a medium in the drive: eject it first");
    assert_true(is_ready());
    assert_true(eject(STORAGE_DVD, 0, false));
    assert_changed(2, STORAGE_DVD, 0);
    assert_null(storage_find(&test.storage, STORAGE_DVD, 0)->disk);
    assert_null(storage_find(&test.storage, STORAGE_DVD, 0)->name);
    assert_free("cd.iso");
    assert_false(is_ready());
    assert_true(eject(STORAGE_DVD, 0, false)); /* an empty one stays empty */
    assert_int_equal(test.changes, 2);
    assert_true(insert(STORAGE_DVD, 1, "cd.iso", true));
    assert_changed(3, STORAGE_DVD, 1);
    assert_true(insert(STORAGE_DVD, 0, "cd.iso", true)); /* both read it */
    assert_true(is_ready());
}

static void guest_ejects(void **state)
{
    (void)state;
    start();
    assert_true(insert(STORAGE_DVD, 0, "cd.iso", true));
    assert_true(is_ready());
    assert_true(eject_by_guest());
    assert_int_equal(test.ejected, 1);
    assert_int_equal(test.changes, 1); /* not before the main thread has put it away */
    storage_tidy(&test.storage);
    assert_changed(2, STORAGE_DVD, 0);
    assert_null(storage_find(&test.storage, STORAGE_DVD, 0)->disk);
    assert_free("cd.iso");
    storage_tidy(&test.storage);
    assert_int_equal(test.changes, 2);
    /* Again, and another is put in before it has been put away. */
    assert_true(insert(STORAGE_DVD, 0, "cd.iso", true));
    assert_true(is_ready());
    assert_true(eject_by_guest());
    assert_true(insert(STORAGE_DVD, 0, "cd.iso", true));
    assert_int_equal(test.changes, 5);
    assert_true(is_ready());
    /* And a last time: storage_close finds it, attached nowhere. */
    assert_true(eject_by_guest());
}

static void locked_tray(void **state)
{
    (void)state;
    start();
    assert_true(insert(STORAGE_DVD, 0, "cd.iso", true));
    assert_true(is_ready());
    assert_true(lock_tray(true));
    assert_false(eject(STORAGE_DVD, 0, false));
    assert_string_equal(test.error, "the guest has locked the tray: it has been asked to eject, or use force");
    assert_true(is_ready());
    assert_false(eject_by_guest());
    assert_int_equal(test.changes, 1);
    assert_true(lock_tray(false));
    assert_true(eject_by_guest());
    storage_tidy(&test.storage);
    assert_changed(2, STORAGE_DVD, 0);
    assert_true(insert(STORAGE_DVD, 0, "cd.iso", true));
    assert_true(is_ready());
    assert_true(lock_tray(true));
    assert_true(eject(STORAGE_DVD, 0, true));
    assert_changed(4, STORAGE_DVD, 0);
    assert_false(is_ready());
}

/* ---- A request in flight ---- */

static const struct disk_file_operations *real_operations;
static struct disk_file_operations slow_operations;
static bool under_way;

static bool has_left(void)
{
    bool left;

    pthread_mutex_lock(&test.lock);
    left = !ide_medium(&test.storage.ide, 1, 0) && !test.storage.floppy.drives[0].disk;
    pthread_mutex_unlock(&test.lock);
    return left;
}

/* Lasts until the drives are empty. */
static void wait_for_ejection(void)
{
    __atomic_store_n(&under_way, true, __ATOMIC_SEQ_CST);
    while (!has_left())
        sched_yield();
}

static ssize_t slow_read(struct disk_file *file, const struct iovec *vector, int count, uint64_t offset)
{
    wait_for_ejection();
    return real_operations->read(file, vector, count, offset);
}

static ssize_t slow_write(struct disk_file *file, const struct iovec *vector, int count, uint64_t offset)
{
    wait_for_ejection();
    return real_operations->write(file, vector, count, offset);
}

static void make_slow(const struct storage_drive *drive)
{
    under_way = false;
    real_operations = drive->disk->images[0]->file->operations;
    slow_operations = *real_operations;
    slow_operations.read = slow_read;
    slow_operations.write = slow_write;
    drive->disk->images[0]->file->operations = &slow_operations;
    drive->disk->images[0]->file->transfers = NULL; /* so that they are called */
}

static void wait_until_under_way(void)
{
    while (!__atomic_load_n(&under_way, __ATOMIC_SEQ_CST))
        sched_yield();
}

static void ejected_while_it_is_read(void **state)
{
    (void)state;
    start();
    assert_true(eject(STORAGE_FLOPPY, 0, false));
    assert_true(insert(STORAGE_DVD, 0, "cd.iso", true));
    assert_true(is_ready());
    make_slow(storage_find(&test.storage, STORAGE_DVD, 0));
    send_packet((const uint8_t[12]){0x28, [8] = 1}); /* READ (10) of a block */
    wait_until_under_way();
    assert_true(eject(STORAGE_DVD, 0, false));
    assert_changed(3, STORAGE_DVD, 0);
    assert_free("cd.iso");
    while (in(IDE + 7) & IDE_STATUS_BSY)
        sched_yield();
    assert_int_equal(in(IDE + 7) & IDE_STATUS_ERR, IDE_STATUS_ERR);
    assert_true(storage_is_quiet(&test.storage));
    assert_true(insert(STORAGE_DVD, 0, "cd.iso", true));
    assert_true(is_ready());
}

/* ---- Floppy ---- */

static void run_timers(void)
{
    pthread_mutex_lock(&test.lock);
    test.now += FLOPPY_LATENCY;
    timer_queue_run(&test.timers);
    pthread_mutex_unlock(&test.lock);
}

static void floppy_command(const uint8_t *bytes, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        out(FLOPPY_FIFO, 1, bytes[i]);
}

/* WRITE DATA without DMA: sector 1, all of `fill`. Its results are left. */
static void write_floppy(uint8_t fill)
{
    out(FLOPPY_DOR, 1, 0x1C);
    out(FLOPPY_RATE, 1, FLOPPY_RATE_500K);
    floppy_command((const uint8_t[]){0x03, 0xDF, 0x03}, 3); /* SPECIFY: ND */
    floppy_command((const uint8_t[]){0x45, 0, 0, 0, 1, 2, 1, 0x1B, 0xFF}, 9);
    run_timers();
    for (unsigned i = 0; i < 512; i++) {
        while (in(FLOPPY_MSR) != 0xB0)
            sched_yield();
        out(FLOPPY_FIFO, 1, fill);
    }
}

/* Reads the results. Without DMA a command that did all it was asked for ends at the end of the track, for ST1. */
static bool has_been_written(void)
{
    uint8_t status[7];

    for (unsigned i = 0; i < sizeof status; i++) {
        while (in(FLOPPY_MSR) != 0xD0)
            sched_yield();
        status[i] = in(FLOPPY_FIFO);
    }
    return status[1] == 0x80;
}

static uint8_t byte_of(const char *path)
{
    uint8_t byte;
    int file = open(path, O_RDONLY);

    assert_int_equal(pread(file, &byte, 1, 511), 1);
    close(file);
    return byte;
}

static void floppy_comes_and_goes(void **state)
{
    (void)state;
    start();
    assert_refused(STORAGE_FLOPPY, 0, "a.vfd", "eject it first");
    write_floppy(0x11);
    assert_true(has_been_written());
    assert_true(eject(STORAGE_FLOPPY, 0, false));
    assert_changed(1, STORAGE_FLOPPY, 0);
    assert_free("a.vfd");
    assert_int_equal(byte_of("a.vfd"), 0x11);
    assert_true(eject(STORAGE_FLOPPY, 0, true));
    assert_int_equal(test.changes, 1);
    make_file("b.vfd", FLOPPY_SIZE, 0xB1);
    assert_true(insert(STORAGE_FLOPPY, 0, "b.vfd", false));
    assert_changed(2, STORAGE_FLOPPY, 0);
    write_floppy(0x22);
    assert_true(has_been_written());
    assert_true(insert(STORAGE_FLOPPY, 1, "a.vfd", true));
    assert_changed(3, STORAGE_FLOPPY, 1);
    assert_true(disk_read_only(storage_find(&test.storage, STORAGE_FLOPPY, 1)->disk));
    assert_true(eject(STORAGE_FLOPPY, 0, false));
    assert_int_equal(byte_of("b.vfd"), 0x22);
}

static void ejected_while_it_is_written(void **state)
{
    (void)state;
    start();
    make_slow(storage_find(&test.storage, STORAGE_FLOPPY, 0));
    write_floppy(0x33);
    wait_until_under_way();
    assert_true(eject(STORAGE_FLOPPY, 0, false));
    assert_changed(1, STORAGE_FLOPPY, 0);
    assert_free("a.vfd");
    assert_int_equal(byte_of("a.vfd"), 0x33); /* what was under way is not torn */
    assert_false(has_been_written());
    assert_true(storage_is_quiet(&test.storage));
    assert_true(insert(STORAGE_FLOPPY, 0, "a.vfd", false));
    write_floppy(0x44);
    assert_true(has_been_written());
}

/* ---- Mistakes ---- */

static void media_that_are_none(void **state)
{
    (void)state;
    start();
    make_file("cut.iso", BLOCKS * ATAPI_BLOCK_SIZE - 1, 0);
    make_file("empty", 0, 0);
    make_file("large.vfd", 2 * FLOPPY_SIZE + 1, 0);
    make_file("288.vfd", 2 * FLOPPY_SIZE, 0);
    assert_refused(STORAGE_DVD, 0, "cut.iso", "cut.iso: no whole disc image");
    assert_refused(STORAGE_DVD, 0, "empty", "empty: no disc image");
    assert_refused(STORAGE_DVD, 0, ".", ".: a directory");
    assert_refused(STORAGE_DVD, 0, "/dev/null", "/dev/null: neither a file nor a block device");
    assert_refused(STORAGE_FLOPPY, 1, "empty", "empty: empty, so no image of a floppy disk");
    assert_refused(STORAGE_FLOPPY, 1, "large.vfd", "too large");
    assert_refused(STORAGE_FLOPPY, 1, "288.vfd", "288.vfd: the drive cannot read it");
    assert_free("288.vfd");
    make_file("360.vfd", 720 * 512, 0);
    assert_true(insert(STORAGE_FLOPPY, 1, "360.vfd", false)); /* a smaller one it can */
}

/* A name that fills the line must not hide what is wrong. */
static void long_names(void **state)
{
    char path[600];
    size_t length = 0;

    (void)state;
    start();
    make_file("cut.iso", 100, 0);
    while (length < sizeof path - 16)
        length += (size_t)snprintf(path + length, sizeof path - length, "./");
    strcpy(path + length, "cut.iso");
    assert_refused(STORAGE_DVD, 0, path, ": no whole disc image");
}

static void media_in_use(void **state)
{
    int file;

    (void)state;
    start();
    file = open("cd.iso", O_RDWR);
    assert_int_equal(flock(file, LOCK_EX | LOCK_NB), 0);
    assert_refused(STORAGE_DVD, 0, "cd.iso", "cd.iso: in use by another process");
    close(file);
    assert_refused(STORAGE_FLOPPY, 1, "a.vfd", "a.vfd: in use by another process"); /* by drive 0 */
    assert_true(insert(STORAGE_DVD, 0, "cd.iso", true));
}

static void drives_that_are_not_there(void **state)
{
    (void)state;
    start();
    assert_refused(STORAGE_DVD, 2, "cd.iso", "there is no DVD drive 2: the virtual machine has 2");
    assert_refused(STORAGE_FLOPPY, UINT32_MAX, "a.vfd",
                   "there is no floppy drive 4294967295: the virtual machine has 2");
    assert_false(eject(STORAGE_FLOPPY, 2, true));
    assert_string_equal(test.error, "there is no floppy drive 2: the virtual machine has 2");
    assert_false(eject(STORAGE_DVD, 2, true));
    assert_null(storage_find(&test.storage, STORAGE_DVD, 2));
    assert_int_equal(test.changes, 0);
}

/* Nothing is left open of what is taken apart half made, or before it has started. */
static void configurations_that_are_wrong(void **state)
{
    (void)state;
    test.configuration.dvds[1].file.path = "no.iso";
    assert_false(create());
    assert_non_null(strstr(test.error, "no.iso: "));
    assert_true(storage_close(&test.storage, test.error));
    memset(&test.storage, 0, sizeof test.storage);
    make_board();
    test.configuration.dvds[1].file.path = "cd.iso";
    test.configuration.floppies[1].file.path = "a.vfd"; /* twice */
    assert_false(create());
    assert_non_null(strstr(test.error, "a.vfd: in use by process"));
    assert_true(storage_close(&test.storage, test.error));
    assert_free("a.vfd");
    assert_free("cd.iso");
    memset(&test.storage, 0, sizeof test.storage);
}

static void media_come_before_the_start(void **state)
{
    (void)state;
    assert_true(create());
    assert_true(insert(STORAGE_DVD, 0, "cd.iso", true));
    assert_true(eject(STORAGE_FLOPPY, 0, false));
    assert_true(storage_start(&test.storage, test.error));
    assert_true(eject(STORAGE_DVD, 0, false));
    assert_free("cd.iso");
}

/* `state` is the back end, NULL the best that can be had. */
#define storage_test(function)                                                                                         \
    {#function ", the best", function, set_up, tear_down, NULL},                                                       \
    {                                                                                                                  \
        #function ", threads", function, set_up, tear_down, (void *)&disk_io_threads                                   \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        storage_test(dvd_comes_and_goes),
        storage_test(guest_ejects),
        storage_test(locked_tray),
        storage_test(ejected_while_it_is_read),
        storage_test(floppy_comes_and_goes),
        storage_test(ejected_while_it_is_written),
        storage_test(media_that_are_none),
        storage_test(long_names),
        storage_test(media_in_use),
        storage_test(drives_that_are_not_there),
        storage_test(configurations_that_are_wrong),
        storage_test(media_come_before_the_start),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
