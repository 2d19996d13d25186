/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The sandbox: what a worker does all day still works in it, from the first instruction of the guest to the
 * closing of the last disk; what it never does ends the process. Each case is a process of its own.
 */
#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <linux/io_uring.h>
#include <netinet/in.h>
#include <unistd.h>
#include <rfb/rfb.h>
#include <cmocka.h>

#include "partitions/root/disk/chain.h"
#include "partitions/root/disk/create.h"
#include "partitions/root/disk/remote_file.h"
#include "partitions/root/worker/control.h"
#include "partitions/root/worker/life_cycle.h"
#include "partitions/root/worker/machine.h"
#include "partitions/root/worker/sandbox.h"
#include "partitions/root/worker/screen.h"
#include "tests/unit/fake_fetch.h"
#include "tests/unit/fake_hypervisor.h"
#include "tests/unit/rfb_client.h"
#include "tests/unit/scratch.h"
#include "tests/unit/worker_loop.h"

/* The sanitizer's own system calls at a thread's end are not the worker's. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "use_sigaltstack=0:detect_leaks=0";
}

/* Without the sanitizer's farewell, which the sandbox does not allow either. */
static void leave(int status)
{
    syscall(SYS_exit_group, status);
}

/* Runs `function` in the sandbox in another process; returns its wait status. */
static int in_sandbox(void (*function)(void))
{
    const struct confinement_user nobody = {0};
    char error[CONFINEMENT_ERROR_SIZE];
    int status;
    pid_t child = fork();

    if (child == 0) {
        if (!sandbox_enter(&nobody, error)) {
            fprintf(stderr, "%s\n", error);
            leave(99);
        }
        function();
        leave(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

static void do_nothing(void)
{
}

static void open_file(void)
{
    open("/etc/passwd", O_RDONLY);
}

static void run_program(void)
{
    execl("/bin/true", "true", (char *)NULL);
}

static void make_process(void)
{
    fork();
}

static void open_network(void)
{
    socket(AF_INET, SOCK_STREAM, 0);
}

static void map_code(void)
{
    mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static void other_ioctl(void)
{
    int size;

    ioctl(0, FIONREAD, &size);
}

static void make_ring(void)
{
    struct io_uring_params parameters = {0};

    syscall(SYS_io_uring_setup, 1, &parameters);
}

static void register_with_ring(void)
{
    syscall(SYS_io_uring_register, -1, IORING_REGISTER_FILES, NULL, 0);
}

static void change_user(void)
{
    setuid(0);
}

static void test_what_is_forbidden_ends_the_process(void **state)
{
    void (*const forbidden[])(void) = {open_file,   run_program, make_process,       open_network, map_code,
                                       other_ioctl, make_ring,   register_with_ring, change_user};

    (void)state;
    assert_int_equal(in_sandbox(do_nothing), 0);
    for (unsigned i = 0; i < sizeof forbidden / sizeof forbidden[0]; i++) {
        int status = in_sandbox(forbidden[i]);

        if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGSYS)
            fail_msg("case %u: status %#x", i, status);
    }
}

static void test_user_is_left(void **state)
{
    struct confinement_user user = {0};
    char error[CONFINEMENT_ERROR_SIZE];
    int status;
    pid_t child;

    (void)state;
    if (getuid() != 0)
        skip();
    assert_true(confinement_parse_user("65534:65533", &user, error));
    assert_int_equal(user.uid, 65534);
    assert_int_equal(user.gid, 65533);
    child = fork();
    if (child == 0) {
        gid_t groups[4];

        if (setgroups(1, (const gid_t[]){7}) != 0)
            leave(98);
        if (!confinement_become(&user, error))
            leave(99);
        leave(getuid() == 65534 && geteuid() == 65534 && getgid() == 65533 && getgroups(4, groups) == 0 &&
                      setuid(0) != 0
                  ? 0
                  : 97);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static void test_user_names(void **state)
{
    struct confinement_user user = {0};
    char error[CONFINEMENT_ERROR_SIZE];

    (void)state;
    assert_true(confinement_parse_user("root", &user, error));
    assert_int_equal(user.uid, 0);
    assert_false(confinement_parse_user("no-such-user", &user, error));
    assert_string_equal(error, "there is no user \"no-such-user\"");
    assert_false(confinement_parse_user("root:no-such-group", &user, error));
    assert_string_equal(error, "there is no group \"no-such-group\"");
    assert_false(confinement_parse_user("", &user, error));
}

/* ---- A disk with much metadata ---- */

#define SCATTERED 200u
/* So much of the disk is in one sector of the block allocation table. */
#define TABLE_SECTOR (64ull << 20)

static struct disk *scattered;

/* More sectors of the table at once than the C library sorts on its stack. */
static void write_scattered(void)
{
    static uint8_t data[DISK_SECTOR_SIZE] = {1};

    for (uint64_t i = 0; i < SCATTERED; i++)
        if (disk_transfer(scattered, DISK_WRITE, data, i * (TABLE_SECTOR / DISK_SECTOR_SIZE), 1) != 0)
            leave(98);
    leave(disk_transfer(scattered, DISK_FLUSH, NULL, 0, 0));
}

static void test_much_metadata_is_written_in_it(void **state)
{
    const struct disk_create_options options = {.block_size = 1u << 20};
    struct disk_error error;

    (void)state;
    assert_true(disk_create("a.vhdx", SCATTERED * TABLE_SECTOR, DISK_FORMAT_DYNAMIC, &options, &error));
    scattered = disk_open("a.vhdx", 0, &error);
    assert_non_null(scattered);
    assert_int_equal(in_sandbox(write_scattered), 0);
    disk_close(scattered);
}

/* ---- A day in the life of a worker ---- */

static struct {
    char directory[64];
    struct fake_hypervisor fake;
    struct event_loop loop;
    struct life_cycle life_cycle;
    struct control control;
    struct machine *machine;
    int image, writer; /* of the same file */
    int source;        /* to what is at the URL of the disk's parent */
    int entered[2];    /* pipe: a byte when the process is in the sandbox */
} day;

static struct fake_fetch fetch;
static uint8_t remote[65536 + 512];

static void state_changed(void *context)
{
    (void)context;
    if (day.control.life_cycle)
        control_announce(&day.control);
}

static void make_file(const char *name, const void *begin, size_t begin_size, size_t size)
{
    char path[128];
    int file;

    snprintf(path, sizeof path, "%s/%s", day.directory, name);
    file = open(path, O_RDWR | O_CREAT, 0600);
    if (file < 0 || write(file, begin, begin_size) != (ssize_t)begin_size || ftruncate(file, (off_t)size) != 0)
        leave(90);
    close(file);
}

/* In blocks so small that a command takes several operations; its parent is fetched. */
static void make_disk(void)
{
    const struct disk_create_options options = {.block_size = 4096};
    struct disk_error error;
    char path[128], parent[128];
    int file;

    snprintf(path, sizeof path, "%s/disk", day.directory);
    snprintf(parent, sizeof parent, "%s/parent", day.directory);
    assert_true(disk_create(parent, 65536, DISK_FORMAT_FIXED, &options, &error));
    assert_true(disk_create_child(path, parent, &options, &error));
    file = open(parent, O_RDONLY);
    assert_int_equal(read(file, remote, sizeof remote), sizeof remote);
    close(file);
    day.source = fake_fetch_start(&fetch, remote, sizeof remote);
    fetch.window = REMOTE_WINDOW;
    fetch.stingy = true;
}

static void make_files(void)
{
    uint8_t kernel[0x280] = {0};

    kernel[0x1F1] = 4;
    memcpy(kernel + 0x1F4, &(uint32_t){0x400}, 4);
    memcpy(kernel + 0x1FE,
           "\x55\xAA\xEB\x6C"
           "HdrS\x06\x02",
           10);
    kernel[0x211] = 1;
    memcpy(kernel + 0x22C, &(uint32_t){0x7FFFFFFF}, 4);
    memcpy(kernel + 0x238, &(uint32_t){255}, 4);
    make_file("kernel", kernel, sizeof kernel, 5 * 512 + 0x4000);
    make_disk();
    make_file("image", "", 0, 65536);
}

static struct configuration *make_configuration(void)
{
    char text[2048], error[FIELDS_ERROR_SIZE];
    struct configuration *configuration;

    snprintf(text, sizeof text,
             "{\"version\":1, \"name\":\"day\", \"memory\":8388608, \"kernel\":{\"path\":\"%s/kernel\"},"
             " \"disks\":[{\"path\":\"%s/disk\", \"parents\":[{\"url\":\"http://example.org/parent\", \"size\":%zu,"
             " \"validator\":\"\\\"first\\\"\", \"fd\":%d}]}],"
             " \"dvds\":[{}], \"nics\":[{\"mac\":\"00-15-5D-00-00-01\"}], \"log\":{\"path\":\"%s/log\"}}",
             day.directory, day.directory, sizeof remote, day.source, day.directory);
    configuration = configuration_parse(text, "day", error);
    if (!configuration)
        leave(91);
    return configuration;
}

static void out(uint16_t port, unsigned size, uint32_t value)
{
    pthread_mutex_lock(&day.machine->device_lock);
    bus_write(&day.machine->bus, BUS_PORTS, port, size, value);
    pthread_mutex_unlock(&day.machine->device_lock);
}

static uint64_t in(uint16_t port, unsigned size)
{
    uint64_t value;

    pthread_mutex_lock(&day.machine->device_lock);
    value = bus_read(&day.machine->bus, BUS_PORTS, port, size);
    pthread_mutex_unlock(&day.machine->device_lock);
    return value;
}

#define SECTORS 40

/* A command of the primary channel's drive 0 on the first sectors. */
static void command(uint8_t code, uint8_t sectors)
{
    const uint8_t task_file[] = {sectors, 0, 0, 0, 0xE0, code};

    while (in(0x1F7, 1) & 0x80)
        continue;
    for (unsigned i = 0; i < sizeof task_file; i++)
        out((uint16_t)(0x1F2 + i), 1, task_file[i]);
    while (in(0x1F7, 1) & 0x80)
        continue;
    if (in(0x1F7, 1) & 1)
        leave(92);
}

/* What has to be fetched, which the source gives only now. */
static void read_what_is_fetched(void)
{
    if (write(day.entered[1], "", 1) != 1)
        leave(87);
    command(0x20, SECTORS);
    for (unsigned i = 0; i < SECTORS * 256; i++) {
        while (!(in(0x1F7, 1) & 8))
            continue;
        if (in(0x1F0, 2) != 0)
            leave(86);
    }
}

static void write_flush_and_read(void)
{
    command(0x30, SECTORS); /* WRITE SECTORS */
    for (unsigned i = 0; i < SECTORS * 256; i++) {
        while (!(in(0x1F7, 1) & 8))
            continue;
        out(0x1F0, 2, 0x3C3C ^ i);
    }
    command(0xE7, 0);       /* FLUSH CACHE */
    command(0x20, SECTORS); /* READ SECTORS */
    for (unsigned i = 0; i < SECTORS * 256; i++) {
        while (!(in(0x1F7, 1) & 8))
            continue;
        if (in(0x1F0, 2) != ((0x3C3C ^ i) & 0xFFFF))
            leave(88);
    }
}

/* A medium whose image somebody else writes to, and then, when it is free, again; `image` was opened outside. */
static void change_media(int client)
{
    static const char *const requests[] = {
        "{\"request\":\"insert\",\"drive\":\"dvd\",\"path\":\"x\"}\n",
        "{\"request\":\"insert\",\"drive\":\"dvd\",\"path\":\"x\"}\n",
        "{\"request\":\"eject\",\"drive\":\"dvd\",\"force\":true}\n",
    };
    static const char *const answers[] = {"in use by another process", "result", "result"};
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {
        .header = {.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(int))}
    };

    for (unsigned i = 0; i < 3; i++) {
        struct iovec part = {.iov_base = (char *)requests[i], .iov_len = strlen(requests[i])};
        const struct msghdr message = {.msg_iov = &part,
                                       .msg_iovlen = 1,
                                       .msg_control = i < 2 ? &control : NULL,
                                       .msg_controllen = i < 2 ? sizeof control : 0};
        char answer[4096];
        ssize_t length;

        memcpy(CMSG_DATA(&control.header), &day.image, sizeof(int));
        flock(day.writer, i ? LOCK_UN : LOCK_EX);
        if (sendmsg(client, &message, 0) < 0)
            leave(96);
        worker_loop_settle(&day.loop);
        length = recv(client, answer, sizeof answer - 1, 0);
        answer[length > 0 ? length : 0] = 0;
        if (!strstr(answer, answers[i]))
            leave(97);
    }
}

/* As loamd talks to it: media, status and the console. */
static void talk(int client)
{
    const char *const requests = "{\"request\":\"status\"}\n{\"request\":\"counters\"}\n{\"request\":\"events\"}\n"
                                 "{\"request\":\"console\"}\n";
    char answer[65536];

    worker_loop_settle(&day.loop);
    if (recv(client, answer, sizeof answer, 0) <= 0) /* the greeting */
        leave(98);
    change_media(client);
    if (send(client, requests, strlen(requests), 0) < 0)
        leave(93);
    worker_loop_settle(&day.loop);
    if (recv(client, answer, sizeof answer, 0) <= 0)
        leave(94);
    out(0x3F8, 1, 'x');
    worker_loop_settle(&day.loop);
    if (send(client, "y", 1, 0) != 1)
        leave(95);
    worker_loop_settle(&day.loop);
}

/* ---- And its screen ---- */

static uint32_t pixels[640 * 400];

static unsigned update(void *context, struct display *display, struct display_area areas[DISPLAY_AREAS])
{
    (void)context;
    if (!display->pixels) {
        display->pixels = malloc(sizeof pixels);
        display->width = 640;
        display->height = 400;
    }
    memcpy(display->pixels, pixels, sizeof pixels);
    areas[0] = (struct display_area){.width = 640, .height = 400};
    return 1;
}

static bool take_key(void *context, uint16_t key, bool pressed)
{
    (void)context;
    (void)key;
    (void)pressed;
    return true;
}

static const struct machine_screen machine_screen = {.display = {.update = update}, .input = {.key = take_key}};

static struct {
    struct screen *screen;
    struct sockaddr_in address;
    int viewer;
} screen;

static void start_screen(void)
{
    struct screen_listeners listeners = {.local = -1, .password = "secret"};
    char error[SCREEN_ERROR_SIZE];
    socklen_t length = sizeof screen.address;

    for (unsigned i = 0; i < sizeof pixels / sizeof pixels[0]; i++)
        pixels[i] = i * 77 & 0xFFFFFF;
    screen.address = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    listeners.network = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (bind(listeners.network, (struct sockaddr *)&screen.address, length) != 0 || listen(listeners.network, 1) != 0 ||
        getsockname(listeners.network, (struct sockaddr *)&screen.address, &length) != 0)
        leave(60);
    screen.screen = screen_start(&machine_screen, "day", &listeners, error);
    screen.viewer = socket(AF_INET, SOCK_STREAM, 0);
    if (!screen.screen)
        leave(61);
}

static void turn(void)
{
    usleep(1000);
}

/* A password, pictures in the encodings that viewers ask for, keys, a screenshot. */
static void use_screen(void)
{
    const int32_t encodings[][4] = {
        {7,     -26, -250, -223},
        {16},
        {6    },
        {5    }
    };
    struct rfb_client client = {.descriptor = screen.viewer, .turn = turn};
    uint8_t bytes[1000];
    int ends[2];

    if (connect(screen.viewer, (const struct sockaddr *)&screen.address, sizeof screen.address) != 0)
        leave(62);
    rfb_client_choose(&client, "RFB 003.008\n", 2);
    rfb_client_receive(&client, bytes, 16);
    rfbEncryptBytes(bytes, (char[]){"secret"});
    rfb_client_send(&client, bytes, 16);
    if (rfb_client_result(&client) != 0)
        leave(63);
    rfb_client_initialize(&client);
    rfb_client_look(&client, 640, 400, pixels);
    rfb_client_key(&client, 'A', true);
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) != 0)
        leave(64);
    screen_attach(screen.screen, ends[0], SCREEN_PICTURE);
    while (recv(ends[1], bytes, sizeof bytes, MSG_DONTWAIT) != 0)
        turn();
    for (unsigned i = 0; i < 4; i++) {
        rfb_client_set_encodings(&client, encodings[i], i ? 1 : 4);
        rfb_client_request(&client, false);
        rfb_client_receive(&client, bytes, 100);
        while (recv(client.descriptor, bytes, sizeof bytes, MSG_DONTWAIT) > 0)
            turn();
    }
    screen_end(screen.screen);
}

static void run_until(enum machine_state state)
{
    while (day.life_cycle.state != state) {
        event_loop_wait(&day.loop, -1);
        event_loop_dispatch(&day.loop);
    }
}

static void live(int client)
{
    char error[MACHINE_ERROR_SIZE];

    if (!life_cycle_start(&day.life_cycle, day.machine))
        leave(80);
    out(0x43, 1, 0x34); /* the timer runs */
    out(0x40, 1, 0xFF);
    out(0x40, 1, 0xFF);
    talk(client);
    read_what_is_fetched();
    write_flush_and_read();
    if (life_cycle_pause(&day.life_cycle) || life_cycle_resume(&day.life_cycle) || life_cycle_reset(&day.life_cycle))
        leave(81);
    run_until(MACHINE_RUNNING);
    pthread_mutex_lock(&day.fake.lock);
    day.fake.vps[0].page.gp_registers[0] = 1 << 13;
    pthread_mutex_unlock(&day.fake.lock);
    fake_port(&day.fake, 0, true, PLATFORM_PM_BASE + PIIX4_PM1_CONTROL, 2);
    run_until(MACHINE_OFF);
    use_screen();
    control_close(&day.control);
    if (!machine_destroy(day.machine, error))
        leave(82);
    life_cycle_close(&day.life_cycle);
}

/* The state letter of a thread, 0 if it is gone. */
static char thread_state(const char *id)
{
    char path[64], text[128] = "";
    const char *end;
    FILE *file;

    snprintf(path, sizeof path, "/proc/self/task/%.16s/stat", id);
    file = fopen(path, "r");
    if (!file)
        return 0;
    if (!fgets(text, sizeof text, file))
        text[0] = 0;
    fclose(file);
    end = strrchr(text, ')');
    return end && end[1] ? end[2] : 0;
}

/* A thread that starts makes the sanitizer look around, which is not allowed later: waits until all have. */
static void wait_for_threads(void)
{
    unsigned running;

    do {
        DIR *directory = opendir("/proc/self/task");
        const struct dirent *entry;

        running = 0;
        while ((entry = readdir(directory)) != NULL)
            running += entry->d_name[0] != '.' && thread_state(entry->d_name) == 'R';
        closedir(directory);
    } while (running > 1); /* this one */
}

static void spend_a_day(void)
{
    struct configuration *configuration = make_configuration();
    const struct confinement_user nobody = {0};
    char error[MACHINE_ERROR_SIZE], path[108];
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int listener, client;

    fake_hypervisor_initialize(&day.fake);
    if (event_loop_initialize(&day.loop) ||
        life_cycle_initialize(&day.life_cycle, &day.loop, true, state_changed, NULL))
        leave(70);
    const struct machine_events events = life_cycle_events(&day.life_cycle);
    day.machine = machine_create(configuration, &day.fake.hypervisor, &day.loop, &events, error);
    snprintf(path, sizeof path, "%.80s/control", day.directory);
    listener = control_listen(path, error);
    if (!day.machine || listener < 0 || control_initialize(&day.control, &day.loop, listener))
        leave(71);
    control_set_machine(&day.control, &day.life_cycle, day.machine);
    client = socket(AF_UNIX, SOCK_STREAM, 0);
    strcpy(address.sun_path, path);
    snprintf(path, sizeof path, "%.80s/image", day.directory);
    day.image = open(path, O_RDONLY);
    day.writer = open(path, O_RDWR);
    if (connect(client, (const struct sockaddr *)&address, sizeof address) != 0 ||
        !machine_start_threads(day.machine, error))
        leave(72);
    start_screen();
    wait_for_threads();
    if (!sandbox_enter(&nobody, error))
        leave(73);
    live(client);
    leave(0);
}

static void test_a_worker_lives_in_it(void **state)
{
    static const char *const names[] = {"kernel", "disk", "parent", "image", "log", "log.1", "control"};
    int status;
    char entered;
    pid_t child;

    (void)state;
    strcpy(day.directory, "/tmp/sandbox_test.XXXXXX");
    assert_non_null(mkdtemp(day.directory));
    make_files();
    assert_int_equal(pipe(day.entered), 0);
    child = fork();
    if (child == 0)
        spend_a_day();
    close(day.entered[1]);
    (void)!read(day.entered[0], &entered, 1);
    close(day.entered[0]);
    fake_fetch_silence(&fetch, false);
    assert_int_equal(waitpid(child, &status, 0), child);
    for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++) {
        char path[128];

        snprintf(path, sizeof path, "%s/%s", day.directory, names[i]);
        unlink(path);
    }
    rmdir(day.directory);
    close(day.source);
    fake_fetch_stop(&fetch);
    if (status)
        fail_msg("status %#x", status);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_forbidden_ends_the_process),
        cmocka_unit_test(test_user_is_left),
        cmocka_unit_test(test_user_names),
        scratch_test(test_much_metadata_is_written_in_it),
        cmocka_unit_test(test_a_worker_lives_in_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
