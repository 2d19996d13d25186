// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The first and only process of the kernel in which the driver is tested: loads the module in every way that
 * it must refuse, runs mshv_test on it, and ends the machine with a VM alive. Says what it finds on the
 * console, one line a step; the last lines are for tests/driver/run to judge.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/ioctl.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "uapi/loam.h"
#include "uapi/mshv.h"

#define REAL "/real.ko"
#define FAKE "/fake.ko"

static unsigned failed;

static void step(const char *what, bool good)
{
    printf("%s %s\n", good ? "ok  " : "FAIL", what);
    if (!good)
        printf("  errno %d: %s\n", errno, strerror(errno));
    failed += !good;
    fflush(stdout);
}

static int load(const char *path, const char *parameters)
{
    int file = open(path, O_RDONLY | O_CLOEXEC), result = (int)syscall(SYS_finit_module, file, parameters, 0);

    close(file);
    return result;
}

static int unload(void)
{
    return (int)syscall(SYS_delete_module, "mshv_loam", O_NONBLOCK);
}

/* Whether the kernel's log has a line with `text`, from its beginning on. */
static bool log_has(const char *text)
{
    int log = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    char record[8192];
    bool found = false;
    ssize_t size;

    while (!found && ((size = read(log, record, sizeof(record) - 1)) > 0 || errno == EPIPE)) {
        record[size > 0 ? size : 0] = 0;
        found = strstr(record, text) != NULL;
        if (size < 0)
            errno = 0;
    }
    close(log);
    return found;
}

static void write_file(const char *path, const char *text, int expected_errno)
{
    int file = open(path, O_WRONLY | O_CLOEXEC);
    bool good;

    errno = 0;
    good = write(file, text, strlen(text)) < 0 ? errno == expected_errno : expected_errno == 0;
    printf("%s %s to %s: errno %d\n", good ? "ok  " : "FAIL", text, path, errno);
    failed += !good;
    close(file);
}

static void refusals(void)
{
    step("no Loam: refused", load(REAL, "") < 0 && errno == ENODEV);
    step("no Loam: said so", log_has("mshv_loam: this kernel does not run on the Loam hypervisor"));
    step("other version: refused", load(FAKE, "version=99") < 0 && errno == ENODEV);
    step("other version: said so", log_has("has interface version 99, this driver needs"));
    step("absent: refused", load(FAKE, "absent=1") < 0 && errno == ENODEV);
    step("loaded", load(FAKE, "stale=3") == 0);
    step("partitions of a dead kernel: said so", log_has("removed 3 child partitions, got 1536 pages back"));
}

static void run_tests(void)
{
    pid_t child = fork();
    int status = -1;

    if (child == 0) {
        execl("/mshv_test", "mshv_test", (char *)NULL);
        _exit(127);
    }
    waitpid(child, &status, 0);
    step("mshv_test", status == 0);
}

static void unloading(void)
{
    struct mshv_create_partition request = {.pt_flags = MSHV_PT_LAPIC};
    struct mshv_create_vp vp_request = {.vp_index = 0};
    int device = open("/dev/mshv", O_RDWR), partition, vp;
    void *page;

    step("in use (device): not unloaded", unload() < 0 && errno == EWOULDBLOCK);
    partition = ioctl(device, MSHV_CREATE_PARTITION, &request);
    ioctl(partition, MSHV_INITIALIZE_PARTITION);
    close(device);
    step("in use (partition): not unloaded", unload() < 0 && errno == EWOULDBLOCK);
    vp = ioctl(partition, MSHV_CREATE_VP, &vp_request);
    close(partition);
    step("in use (VP): not unloaded", unload() < 0 && errno == EWOULDBLOCK);
    page = mmap(NULL, 4096, PROT_READ, MAP_SHARED, vp, 0);
    close(vp);
    step("in use (map): not unloaded", page != MAP_FAILED && unload() < 0 && errno == EWOULDBLOCK);
    munmap(page, 4096);
    step("unloaded", unload() == 0);
    step("loaded again", load(FAKE, "") == 0);
}

static void sleeping(void)
{
    write_file("/sys/power/state", "freeze", EPERM);
    write_file("/sys/power/state", "mem", access("/sys/power/mem_sleep", F_OK) == 0 ? EPERM : EINVAL);
    step("sleep: said why", log_has("suspend and hibernation are refused"));
}

/* A VM whose VP spins, alive when the machine goes down. */
static void start_vm(void)
{
    struct mshv_create_partition request = {.pt_flags = MSHV_PT_LAPIC};
    struct mshv_create_vp vp_request = {.vp_index = 0};
    static uint8_t memory[4096] __attribute__((aligned(4096)));
    struct mshv_user_mem_region region = {
        .size = 4096, .userspace_addr = (uintptr_t)memory, .guest_pfn = 0xFFFFF, .flags = 3};
    int device = open("/dev/mshv", O_RDWR), ready[2], partition, vp;
    struct hv_message message;
    char byte = 0;

    if (pipe(ready) < 0 || fork() != 0) {
        close(ready[1]);
        step("a VM runs", read(ready[0], &byte, 1) == 1);
        return;
    }
    memcpy(memory + 0xFF0, (uint8_t[]){0xEB, 0xFE}, 2); /* jmp . */
    partition = ioctl(device, MSHV_CREATE_PARTITION, &request);
    ioctl(partition, MSHV_INITIALIZE_PARTITION);
    ioctl(partition, MSHV_SET_GUEST_MEMORY, &region);
    vp = ioctl(partition, MSHV_CREATE_VP, &vp_request);
    if (vp < 0 || write(ready[1], &byte, 1) != 1)
        _exit(1);
    ioctl(vp, MSHV_RUN_VP, &message);
    printf("RUN_VP at the end: errno %d\n", errno);
    errno = 0;
    ioctl(device, MSHV_CREATE_PARTITION, &request);
    printf("CREATE_PARTITION at the end: errno %d\n", errno);
    fflush(stdout);
    pause();
    _exit(0);
}

int main(void)
{
    mount("devtmpfs", "/dev", "devtmpfs", 0, NULL);
    mkdir("/proc", 0755);
    mkdir("/sys", 0755);
    mount("proc", "/proc", "proc", 0, NULL);
    mount("sysfs", "/sys", "sysfs", 0, NULL);
    refusals();
    run_tests();
    unloading();
    sleeping();
    step("no warning in the kernel's log",
         !log_has("WARNING:") && !log_has("BUG:") && !log_has("rcu: INFO") && !log_has("possible deadlock") &&
             !log_has("gives back page") && !log_has("stays out of use") && !log_has("keeps "));
    start_vm();
    printf("init: %u steps failed\n", failed);
    fflush(stdout);
    usleep(100000);
    write_file("/proc/sys/kernel/printk", "7", 0);
    reboot(RB_AUTOBOOT);
    return 1;
}
