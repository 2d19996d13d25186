/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/manager/process.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "partitions/root/manager/report.h"
#include "partitions/root/manager/store.h"

#define BOOT_ID_SIZE 64

/* The first line of a file of /proc; false: it cannot be read. */
static bool read_line(const char *path, char *line, int size)
{
    FILE *file = fopen(path, "re");
    bool read = file && fgets(line, size, file);
    if (file)
        fclose(file);
    if (read)
        line[strcspn(line, "\n")] = '\0';
    return read;
}

/* When a process was started, by which it is told from a later one with the same number (proc(5), stat). 0:
 * gone. */
static uint64_t read_start_time(pid_t pid)
{
    char path[64], line[1024];
    unsigned long long start_time;
    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    if (!read_line(path, line, sizeof(line)))
        return 0;
    const char *fields = strrchr(line, ')'); /* behind the name, which may hold anything */
    if (!fields || sscanf(fields + 1,
                          " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu",
                          &start_time) != 1)
        return 0;
    return start_time;
}

static void read_boot_id(char boot_id[BOOT_ID_SIZE])
{
    if (!read_line("/proc/sys/kernel/random/boot_id", boot_id, BOOT_ID_SIZE))
        strcpy(boot_id, "unknown");
}

/* ---- The end ---- */

static void process_ended(void *owner, uint32_t events)
{
    struct process *process = owner;
    int status = process->killed ? SIGKILL : PROCESS_STATUS_UNKNOWN;
    (void)events;
    if (process->child && waitpid(process->pid, &status, WNOHANG) != process->pid)
        return; /* not yet */
    event_loop_remove(process->loop, &process->end);
    close(process->end.descriptor);
    process->pid = 0;
    int error = store_remove(process->directory, process->record);
    if (error)
        report("%s: its record cannot be removed: %s", process->record, strerror(error));
    process->ended(process->owner, status);
}

static int watch(struct process *process)
{
    int pidfd = pidfd_open(process->pid, 0);
    int error = pidfd < 0
                    ? errno
                    : event_loop_add(process->loop, &process->end, pidfd, EPOLLIN, process_ended, process);
    if (error && pidfd >= 0)
        close(pidfd);
    return error;
}

/* ---- Starting ---- */

/* In the child: waits for the word of the parent, which has written the record by then, and becomes the
 * program. */
static _Noreturn void become_program(const struct process_plan *plan, int go)
{
    sigset_t none;
    char word;
    sigemptyset(&none);
    int nothing = open("/dev/null", O_RDONLY);
    bool prepared = setsid() >= 0 && dup2(nothing, STDIN_FILENO) >= 0 &&
                    dup2(plan->output, STDOUT_FILENO) >= 0 && dup2(plan->output, STDERR_FILENO) >= 0 &&
                    signal(SIGPIPE, SIG_DFL) != SIG_ERR && sigprocmask(SIG_SETMASK, &none, NULL) == 0;
    for (unsigned i = 0; i < plan->descriptor_count && prepared; i++)
        prepared = fcntl(plan->descriptors[i], F_SETFD, 0) == 0;
    if (!prepared || read(go, &word, 1) != 1)
        _exit(127);
    execv(plan->arguments[0], plan->arguments);
    dprintf(STDERR_FILENO, "%s cannot be started: %s\n", plan->arguments[0], strerror(errno));
    _exit(127);
}

static int write_record(const struct process *process)
{
    char boot_id[BOOT_ID_SIZE];
    read_boot_id(boot_id);
    json_t *record = json_pack("{s:i, s:I, s:s}", "pid", (int)process->pid, "start_time",
                               (json_int_t)process->start_time, "boot_id", boot_id);
    int error = record ? store_write(process->directory, process->record, record) : ENOMEM;
    json_decref(record);
    return error;
}

int process_start(struct process *process, struct event_loop *loop, const struct process_plan *plan,
                  void (*ended)(void *owner, int status), void *owner)
{
    int go[2];
    if (pipe2(go, O_CLOEXEC) != 0)
        return errno;
    pid_t pid = fork();
    if (pid == 0) {
        close(go[1]); /* so that the end of loamd is seen here */
        become_program(plan, go[0]);
    }
    int error = pid < 0 ? errno : 0;
    close(go[0]);
    if (!error) {
        *process = (struct process){.loop = loop,
                                    .pid = pid,
                                    .start_time = read_start_time(pid),
                                    .child = true,
                                    .directory = plan->directory,
                                    .ended = ended,
                                    .owner = owner};
        snprintf(process->record, sizeof(process->record), "%s", plan->record);
        error = write_record(process);
        if (!error)
            error = watch(process);
        if (!error && write(go[1], "", 1) != 1)
            report("%s: ended before it began", plan->record); /* `ended` will be called */
    }
    close(go[1]);
    if (error && pid > 0) {
        waitpid(pid, NULL, 0); /* without the word it ends at once */
        store_remove(plan->directory, plan->record);
        process->pid = 0;
    }
    return error;
}

int process_adopt(struct process *process, struct event_loop *loop, int directory, const char *record,
                  void (*ended)(void *owner, int status), void *owner)
{
    char error_text[256], boot_id[BOOT_ID_SIZE];
    const char *recorded_boot_id = "";
    int pid = 0;
    json_int_t start_time = 0;
    if (!store_has(directory, record))
        return ENOENT;
    json_t *value = store_read(directory, record, error_text, sizeof(error_text));
    bool sound = value && json_unpack(value, "{s:i, s:I, s:s}", "pid", &pid, "start_time", &start_time,
                                      "boot_id", &recorded_boot_id) == 0;
    read_boot_id(boot_id);
    *process = (struct process){.loop = loop,
                                .pid = pid,
                                .start_time = (uint64_t)start_time,
                                .directory = directory,
                                .ended = ended,
                                .owner = owner};
    snprintf(process->record, sizeof(process->record), "%s", record);
    /* Watched first and compared then, so that the number cannot pass to another process in between. */
    int error = sound && pid > 0 && strcmp(boot_id, recorded_boot_id) == 0 ? watch(process) : ESRCH;
    json_decref(value);
    if (!error && read_start_time(pid) != process->start_time) {
        event_loop_remove(loop, &process->end);
        close(process->end.descriptor);
        error = ESRCH;
    }
    if (error)
        process->pid = 0;
    if (error == ESRCH)
        store_remove(directory, record);
    return error;
}

void process_signal(struct process *process, int signal)
{
    /* It can only fail because the process has ended, which is seen elsewhere. */
    if (process->pid && pidfd_send_signal(process->end.descriptor, signal, NULL, 0) == 0)
        process->killed |= signal == SIGKILL;
}

void process_end(struct process *process)
{
    if (!process->pid)
        return;
    process_signal(process, SIGKILL);
    if (process->child)
        waitpid(process->pid, NULL, 0);
    event_loop_remove(process->loop, &process->end);
    close(process->end.descriptor);
    process->pid = 0;
    store_remove(process->directory, process->record);
}

uint64_t process_uptime(const struct process *process)
{
    struct timespec now;
    clock_gettime(CLOCK_BOOTTIME, &now);
    uint64_t started = process->start_time / (uint64_t)sysconf(_SC_CLK_TCK);
    return (uint64_t)now.tv_sec > started ? (uint64_t)now.tv_sec - started : 0;
}
