/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tools/loam/broker.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "partitions/root/disk/host_files.h"
#include "partitions/root/disk/open.h"
#include "tools/loam/cli.h"
#include "tools/loam/disk_fetch.h"
#include "tools/loam/progress.h"

/* Each name in a listing may be asked about: whether it is an image, and of which parent. */
#define REQUESTS_PER_LISTED_BYTE 20u
#define MOST_PER_CENT            100u

static void refuse(const struct broker_request *request, struct broker_answer *answer)
{
    disk_error_set(&answer->error, EACCES, request->path, "not a file that this command may use so");
    answer->result = EACCES;
}

/* ---- Opening ---- */

/* What an image may call its parent, or a server a version. */
static bool is_name(const char *text)
{
    for (const char *byte = text; *byte; byte++)
        if ((unsigned char)*byte < ' ' || *byte == '\x7F')
            return false;
    return *text;
}

/* An image that the user has not named: a parent, or what lies beside an image. `file` is NULL for the latter. */
static int open_found(const struct broker_file *file, const struct broker_request *request,
                      struct broker_answer *answer)
{
    bool writing = !(request->number & DISK_OPEN_READ_ONLY);
    if (request->number & DISK_OPEN_RAW || (writing && !(file && file->found & BROKER_WRITE && file->opened))) {
        refuse(request, answer);
        return -1;
    }
    int descriptor = host_files_direct.open_image(request->path, request->number, &answer->error);
    if (descriptor < 0)
        return -1;
    if (!broker_looks_like_image(descriptor))
        disk_error_set(&answer->error, EMEDIUMTYPE, request->path, "not a VHD: it has no VHD footer");
    else if (writing && !broker_file_is(file, descriptor))
        disk_error_set(&answer->error, ESTALE, request->path, "deleted or replaced just now; try again");
    else
        return descriptor;
    close(descriptor);
    return -1;
}

static void open_image(struct broker *broker, const struct broker_request *request, struct broker_answer *answer,
                       int *descriptor)
{
    struct broker_file *file = broker_files_find(broker->files, request->path);
    unsigned needed = request->number & DISK_OPEN_READ_ONLY ? BROKER_READ : BROKER_WRITE;
    if (request->number & ~(unsigned)(DISK_OPEN_UNLOCKED | DISK_OPEN_RAW))
        refuse(request, answer);
    else if (file && file->given & needed)
        *descriptor = host_files_direct.open_image(request->path, request->number, &answer->error);
    else if ((file && file->found) || broker_files_list(broker->files, request->path))
        *descriptor = open_found(file, request, answer);
    else
        refuse(request, answer);
    if (*descriptor >= 0 && file)
        broker_file_note(file, *descriptor);
    answer->result = *descriptor < 0 ? answer->error.code : 0;
}

/* Any URL that an image may name, since what it names is unknown here. */
static void open_source(struct broker *broker, const struct broker_request *request, struct broker_answer *answer,
                        int *descriptor)
{
    struct remote_source source = {.raw = request->number, .size = request->size};
    if (broker->sources_left == 0 || remote_source_check_url(request->path) ||
        strlen(request->text) >= sizeof(source.validator) || (request->text[0] && !is_name(request->text))) {
        refuse(request, answer);
        return;
    }
    broker->sources_left--;
    strcpy(source.url, request->path);
    strcpy(source.validator, request->text);
    *descriptor = disk_fetch_open(&source, &answer->error);
    answer->result = *descriptor < 0 ? answer->error.code : 0;
}

/* ---- New files ---- */

static void forget_begun(struct broker *broker)
{
    free(broker->begun_path);
    broker->begun_path = NULL;
}

static void begin_file(struct broker *broker, const struct broker_request *request, struct broker_answer *answer,
                       int *descriptor)
{
    const struct broker_file *file = broker_files_find(broker->files, request->path);
    unsigned rights = file ? file->given : 0;
    if (broker_files_back_up(broker->files, request->path))
        rights |= BROKER_CREATE;
    bool replace = request->number;
    if (broker->begun_path || !(rights & BROKER_CREATE) || (replace && !(rights & BROKER_REPLACE))) {
        refuse(request, answer);
        return;
    }
    broker->begun_path = strdup(request->path);
    if (!broker->begun_path) {
        disk_error_set(&answer->error, ENOMEM, request->path, "no memory");
    } else if (!host_files_direct.begin_file(&broker->begun, broker->begun_path, replace, &answer->error)) {
        forget_begun(broker);
    } else if ((*descriptor = fcntl(broker->begun.descriptor, F_DUPFD_CLOEXEC, 0)) < 0) {
        disk_error_set(&answer->error, errno, request->path, "cannot be created: %s", strerror(errno));
        host_files_direct.abandon_file(&broker->begun);
        forget_begun(broker);
    }
    answer->result = *descriptor < 0 ? answer->error.code : 0;
}

static void commit_file(struct broker *broker, const struct broker_request *request, struct broker_answer *answer,
                        int *descriptor)
{
    (void)descriptor;
    if (!broker->begun_path) {
        refuse(request, answer);
        return;
    }
    if (!host_files_direct.commit_file(&broker->begun, &answer->error))
        answer->result = answer->error.code;
    forget_begun(broker);
}

static void abandon_file(struct broker *broker, const struct broker_request *request, struct broker_answer *answer,
                         int *descriptor)
{
    (void)request;
    (void)answer;
    (void)descriptor;
    if (broker->begun_path)
        host_files_direct.abandon_file(&broker->begun);
    forget_begun(broker);
}

/* ---- Finding ---- */

static void find_parent(struct broker *broker, const struct broker_request *request, struct broker_answer *answer,
                        int *descriptor)
{
    (void)descriptor;
    if (!is_name(request->text) ||
        !(broker_files_find(broker->files, request->path) || broker_files_list(broker->files, request->path))) {
        refuse(request, answer);
        return;
    }
    if (!host_files_direct.find_parent(request->path, request->text, answer->path)) {
        answer->result = ENOENT;
        return;
    }
    struct broker_file *file = broker_files_add(&broker->files, answer->path);
    if (file)
        file->found |= broker->parents;
    else
        answer->result = ENOMEM;
}

static void real_path(struct broker *broker, const struct broker_request *request, struct broker_answer *answer,
                      int *descriptor)
{
    (void)descriptor;
    if (!broker_files_know(broker->files, request->path)) {
        refuse(request, answer);
        return;
    }
    answer->result = host_files_direct.real_path(request->path, answer->path);
    const struct broker_file *file = broker_files_find(broker->files, request->path);
    struct broker_file *real = file && !answer->result ? broker_files_add(&broker->files, answer->path) : NULL;
    if (real) { /* its other name */
        real->given |= file->given;
        real->found |= file->found;
    }
}

static void get_status(struct broker *broker, const struct broker_request *request, struct broker_answer *answer,
                       int *descriptor)
{
    (void)descriptor;
    if (broker_files_know(broker->files, request->path))
        answer->result = host_files_direct.status(request->path, &answer->status);
    else
        refuse(request, answer);
}

static void list_beside(struct broker *broker, const struct broker_request *request, struct broker_answer *answer,
                        int *descriptor)
{
    const struct broker_file *file = broker_files_find(broker->files, request->path);
    struct stat status;
    if (!file || !((file->given | file->found) & BROKER_LIST)) {
        refuse(request, answer);
        return;
    }
    *descriptor = host_files_direct.list_beside(request->path);
    answer->result = *descriptor < 0 ? ENOENT : 0;
    if (*descriptor >= 0 && fstat(*descriptor, &status) == 0)
        broker->requests_left += (uint64_t)status.st_size * REQUESTS_PER_LISTED_BYTE;
}

static void find_vm(struct broker *broker, const struct broker_request *request, struct broker_answer *answer,
                    int *descriptor)
{
    (void)broker;
    (void)descriptor;
    json_t *result = cli_ask_quietly("vm-list", NULL), *vm;
    size_t index;
    json_array_foreach(json_object_get(result, "vms"), index, vm)
    {
        if (cli_number(vm, "process") == request->number)
            snprintf(answer->path, sizeof(answer->path), "%s", cli_text(vm, "name"));
    }
    json_decref(result);
}

/* ---- Changing ---- */

/* Opens a file that may be changed so, for reading, as it was opened before. -1 with the answer's result. */
static int open_again(const struct broker *broker, const struct broker_request *request, unsigned right,
                      struct broker_answer *answer)
{
    const struct broker_file *file = broker_files_find(broker->files, request->path);
    if (!file || !((file->given | file->found) & right)) {
        refuse(request, answer);
        return -1;
    }
    int opened = broker_file_open_again(file);
    if (opened < 0)
        answer->result = errno;
    return opened;
}

static void remove_image(struct broker *broker, const struct broker_request *request, struct broker_answer *answer,
                         int *descriptor)
{
    (void)descriptor;
    int opened = open_again(broker, request, BROKER_REMOVE, answer);
    if (opened < 0)
        return;
    if (broker_files_find(broker->files, request->path)->given & BROKER_REMOVE || broker_looks_like_image(opened))
        answer->result = host_files_direct.remove(request->path, opened);
    else
        refuse(request, answer);
    close(opened);
}

static void set_times(struct broker *broker, const struct broker_request *request, struct broker_answer *answer,
                      int *descriptor)
{
    (void)descriptor;
    int opened = open_again(broker, request, BROKER_WRITE, answer);
    if (opened < 0)
        return;
    host_files_direct.set_times(request->path, opened, request->times);
    close(opened);
}

/* ---- Printing ---- */

/* Whether a byte has a terminal do something else than show it or begin a line; `last` is the one before. */
static bool is_control(unsigned char byte, unsigned char last)
{
    return (byte < ' ' && byte != '\n' && byte != '\t') || byte == 0x7F ||
           (last == 0xC2 && byte >= 0x80 && byte < 0xA0);
}

static void print_text(struct broker *broker, const struct broker_request *request, struct broker_answer *answer,
                       int *descriptor)
{
    (void)descriptor;
    bool is_error = request->number == STDERR_FILENO;
    FILE *stream = is_error ? stderr : stdout;
    bool terminal = isatty(fileno(stream));
    unsigned char *last = &broker->last[is_error];
    for (const char *byte = request->text; *byte; byte++) {
        fputc(terminal && is_control((unsigned char)*byte, *last) ? '?' : *byte, stream);
        *last = (unsigned char)*byte;
    }
    answer->result = 0;
}

static void show_progress(struct broker *broker, const struct broker_request *request, struct broker_answer *answer,
                          int *descriptor)
{
    (void)broker;
    (void)answer;
    (void)descriptor;
    if (request->number > MOST_PER_CENT)
        progress_erase();
    else if (is_name(request->text))
        progress_draw(request->text, request->number);
}

/* ---- All of them ---- */

static void (*const handlers[])(struct broker *broker, const struct broker_request *request,
                                struct broker_answer *answer, int *descriptor) = {
    [ASK_OPEN_IMAGE] = open_image,     [ASK_BEGIN_FILE] = begin_file,   [ASK_COMMIT_FILE] = commit_file,
    [ASK_ABANDON_FILE] = abandon_file, [ASK_FIND_PARENT] = find_parent, [ASK_REAL_PATH] = real_path,
    [ASK_STATUS] = get_status,         [ASK_LIST_BESIDE] = list_beside, [ASK_REMOVE] = remove_image,
    [ASK_SET_TIMES] = set_times,       [ASK_FIND_VM] = find_vm,         [ASK_PRINT] = print_text,
    [ASK_PROGRESS] = show_progress,    [ASK_OPEN_SOURCE] = open_source,
};

bool broker_begin(struct broker *broker, const struct broker_grant *grant)
{
    *broker = (struct broker){
        .parents = grant->parents, .sources_left = grant->sources, .requests_left = BROKER_MOST_REQUESTS};
    for (size_t i = 0; i < sizeof(grant->files) / sizeof(grant->files[0]); i++) {
        struct broker_file *file = grant->files[i].path ? broker_files_add(&broker->files, grant->files[i].path) : NULL;
        if (grant->files[i].path && !file)
            return false;
        if (file)
            file->given |= grant->files[i].rights;
    }
    return true;
}

bool broker_answer(struct broker *broker, const struct broker_request *request, struct broker_answer *answer,
                   int *descriptor)
{
    *descriptor = -1;
    memset(answer, 0, sizeof(*answer)); /* padding too, as it is sent */
    if (request->kind >= sizeof(handlers) / sizeof(handlers[0]) || broker->requests_left == 0 ||
        !memchr(request->path, '\0', sizeof(request->path)) || !memchr(request->text, '\0', sizeof(request->text)))
        return false;
    broker->requests_left--;
    handlers[request->kind](broker, request, answer, descriptor);
    return true;
}

void broker_end(struct broker *broker)
{
    if (broker->begun_path)
        host_files_direct.abandon_file(&broker->begun);
    forget_begun(broker);
    broker_files_free(broker->files);
    broker->files = NULL;
}
