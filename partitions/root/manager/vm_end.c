/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/manager/vm_end.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "partitions/root/manager/process.h"
#include "partitions/root/manager/text.h"

/* As much of the end of a worker's output as is looked at. */
#define TAIL 8192

static void copy(char *to, size_t size, const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    snprintf(to, size, "%s", text ? text : "");
    text_clean(to);
}

void vm_end_from_state(struct vm_end *end, const json_t *state)
{
    copy(end->reason, sizeof(end->reason), state, "reason");
    copy(end->detail, sizeof(end->detail), state, "detail");
    copy(end->path, sizeof(end->path), state, "path");
}

/* A problem, without the words "loam-worker: NAME: " before it. */
static void take_problem(struct vm_end *end, const char *line, size_t length)
{
    static const char program[] = "loam-worker: ";
    if (length >= strlen(program) && strncmp(line, program, strlen(program)) == 0) {
        const char *behind_name = memmem(line + strlen(program), length - strlen(program), ": ", 2);
        const char *rest = behind_name ? behind_name + 2 : line + strlen(program);
        length -= (size_t)(rest - line);
        line = rest;
    }
    snprintf(end->detail, sizeof(end->detail), "%.*s", (int)length, line);
    text_clean(end->detail);
}

/* What a worker's output tells, beside the end that it leaves in a struct vm_end. */
struct account {
    bool has_run;  /* there was another state than Off */
    bool said_off; /* it said that it was Off, and why */
};

/* Problems count only until the next state: what came before that was no reason to end. */
static struct account take_lines(struct vm_end *end, const char *output)
{
    struct account account = {0};
    for (const char *line = output; *line;) {
        size_t length = strcspn(line, "\n");
        json_t *value = length && line[0] == '{' ? json_loadb(line, length, 0, NULL) : NULL;
        const char *state = json_string_value(json_object_get(value, "state"));
        if (state && strcmp(state, "Off") == 0) {
            vm_end_from_state(end, value);
            account.said_off = true;
        } else if (state) {
            *end = (struct vm_end){0};
            account.has_run = true;
        } else if (!value && length && !account.said_off) {
            take_problem(end, line, length);
        }
        json_decref(value);
        line += length + (line[length] == '\n');
    }
    return account;
}

static void __attribute__((format(printf, 3, 4)))
set(struct vm_end *end, const char *reason, const char *format, ...)
{
    va_list arguments;
    snprintf(end->reason, sizeof(end->reason), "%s", reason);
    va_start(arguments, format);
    vsnprintf(end->detail, sizeof(end->detail), format, arguments);
    va_end(arguments);
}

static void set_killed(struct vm_end *end, bool said_off, int signal)
{
    const struct vm_end before = *end;
    if (said_off)
        set(end, "killed",
            "%.800s, but then the worker was killed by signal %d (%s): look its disks over with loam disk "
            "check",
            before.detail, signal, strsignal(signal));
    else
        set(end, "killed", "the worker was killed by signal %d (%s)%s%.800s", signal, strsignal(signal),
            before.detail[0] ? "; it wrote: " : "", before.detail);
}

void vm_end_determine(struct vm_end *end, const char *output, int status)
{
    *end = (struct vm_end){0};
    const struct account account = take_lines(end, output);
    const bool known = status != PROCESS_STATUS_UNKNOWN, has_problem = end->detail[0];
    if (known && WIFSIGNALED(status))
        set_killed(end, account.said_off, WTERMSIG(status));
    else if (account.said_off)
        return;
    else if (has_problem && !account.has_run)
        strcpy(end->reason, "start-failed");
    else if (has_problem)
        strcpy(end->reason, known ? "failed" : "unknown");
    else if (known)
        set(end, "unknown", "the worker ended with status %d and without saying why", WEXITSTATUS(status));
    else
        set(end, "unknown",
            "the worker ended without a word, as one does that is killed or crashes: dmesg may say more");
}

int vm_end_append(const struct vm_end *end, int directory, const char *file_name)
{
    json_t *value =
        json_pack("{s:s, s:s, s:o, s:o, s:o}", "event", "state", "state", "Off", "reason",
                  text_json(end->reason), "path", text_json(end->path), "detail", text_json(end->detail));
    char *text = value ? json_dumps(value, JSON_COMPACT) : NULL;
    json_decref(value);
    if (!text)
        return ENOMEM;
    int descriptor =
        openat(directory, file_name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
    int error = descriptor < 0 || dprintf(descriptor, "\n%s\n", text) < 0 ? errno : 0;
    if (descriptor >= 0)
        close(descriptor);
    free(text);
    return error;
}

bool vm_end_read(struct vm_end *end, int directory, const char *file_name, int status)
{
    char output[TAIL + 1];
    struct stat file;
    int descriptor = openat(directory, file_name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (descriptor < 0)
        return false;
    off_t offset = fstat(descriptor, &file) == 0 && file.st_size > TAIL ? file.st_size - TAIL : 0;
    ssize_t length = pread(descriptor, output, TAIL, offset);
    close(descriptor);
    output[length > 0 ? length : 0] = '\0';
    /* A line whose beginning is missing says nothing. */
    char *whole = offset ? strchr(output, '\n') : output;
    vm_end_determine(end, whole ? whole : "", status);
    return true;
}
