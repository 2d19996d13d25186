/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/manager/vm_end.h"

#include <fcntl.h>
#include <stdio.h>
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

/* True: the worker said that it was Off, and why. */
static bool take_lines(struct vm_end *end, const char *output)
{
    bool said = false;
    for (const char *line = output; *line;) {
        size_t length = strcspn(line, "\n");
        json_t *value = length && line[0] == '{' ? json_loadb(line, length, 0, NULL) : NULL;
        const char *state = json_string_value(json_object_get(value, "state"));
        if (state && strcmp(state, "Off") == 0) {
            vm_end_from_state(end, value);
            said = true;
        } else if (!value && length && !said) {
            take_problem(end, line, length);
        }
        json_decref(value);
        line += length + (line[length] == '\n');
    }
    return said;
}

void vm_end_determine(struct vm_end *end, const char *output, int status)
{
    *end = (struct vm_end){0};
    if (take_lines(end, output))
        return;
    if (status == PROCESS_STATUS_UNKNOWN) {
        strcpy(end->reason, "unknown");
        if (!end->detail[0])
            strcpy(end->detail, "the worker ended without saying why");
    } else if (WIFSIGNALED(status)) {
        strcpy(end->reason, "killed");
        snprintf(end->detail, sizeof(end->detail), "the worker was killed by signal %d (%s)",
                 WTERMSIG(status), strsignal(WTERMSIG(status)));
    } else {
        strcpy(end->reason, end->detail[0] ? "start-failed" : "unknown");
        if (!end->detail[0])
            snprintf(end->detail, sizeof(end->detail),
                     "the worker ended with status %d and without saying why", WEXITSTATUS(status));
    }
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
