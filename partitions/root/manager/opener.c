/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/manager/opener.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "partitions/root/passing.h"

/* A file system that does not answer for so long is not waited for any longer. Milliseconds. */
#define PATIENCE 30000u

struct opener {
    struct opener_context *context;
    opener_done *done; /* NULL: has been called; only the process is waited for */
    void *owner;
    struct opener_file files[OPENER_FILES];
    unsigned count;
    bool to_use;
    bool has_asker;
    struct identity asker;
    struct file_access_problem problem;
    bool failed;

    pid_t process;
    struct event_source process_end; /* pidfd */
    int channel;
    struct alarm alarm;
};

/* From the process, with the descriptor if there is no problem: first those of parents, then the file's own. */
struct message {
    unsigned index;
    bool failed;
    struct file_access_problem problem;
    char parent[PATH_MAX];       /* empty: the file itself, with: */
    struct remote_source source; /* what is beneath it at a URL; without one: nothing */
};

/* ---- In the process ---- */

static void send_message(int channel, const struct message *message, int descriptor)
{
    if (!passing_send(channel, message, sizeof(*message), descriptor))
        _exit(1); /* the manager takes silence for failure */
}

static int become(const struct opener *opener, uid_t user)
{
    struct identity identity;
    if (opener->has_asker && opener->asker.user == user)
        return identity_become(&opener->asker);
    int error = identity_of_user(user, &identity);
    return error ? error : identity_become(&identity);
}

/* Nothing of the manager's is left open but the channel, which moves to descriptor 3. */
static void leave_manager(int channel)
{
    sigset_t none;
    sigemptyset(&none);
    if (dup2(channel, 3) < 0 || close_range(4, ~0u, 0) != 0 || sigprocmask(SIG_SETMASK, &none, NULL) != 0)
        _exit(1);
}

static _Noreturn void serve(const struct opener *opener, int channel, uid_t user)
{
    leave_manager(channel);
    static struct file_parents parents;
    struct message message = {0};
    int error = become(opener, user);
    for (unsigned i = 0; i < opener->count; i++) {
        if (opener->files[i].access.user != user)
            continue;
        int descriptor = -1;
        parents.count = 0;
        if (error)
            snprintf(message.problem.text, sizeof(message.problem.text), "%.600s: cannot be opened as user %u: %s",
                     opener->files[i].access.path, (unsigned)user, strerror(error));
        else
            descriptor = file_access_open(&opener->files[i].access, opener->to_use, &parents, &message.problem);
        message.index = i;
        message.failed = descriptor < 0;
        for (unsigned j = 0; j < parents.count; j++) {
            snprintf(message.parent, sizeof(message.parent), "%s", parents.list[j].path);
            send_message(3, &message, parents.list[j].descriptor);
        }
        message.parent[0] = '\0';
        message.source = parents.source;
        send_message(3, &message, descriptor);
        file_parents_clear(&parents);
        if (message.failed)
            _exit(0);
    }
    _exit(0);
}

/* ---- In the manager ---- */

static void release(struct opener *opener)
{
    for (unsigned i = 0; i < opener->count; i++) {
        if (opener->files[i].descriptor >= 0)
            close(opener->files[i].descriptor);
        if (opener->files[i].parents)
            file_parents_clear(opener->files[i].parents);
        free(opener->files[i].parents);
        free((char *)opener->files[i].access.path);
    }
    if (opener->has_asker)
        identity_clear(&opener->asker);
    opener->context->active--;
    free(opener);
}

static void fail(struct opener *opener, const struct opener_file *file, const char *text)
{
    if (opener->failed)
        return;
    opener->failed = true;
    snprintf(opener->problem.text, sizeof(opener->problem.text), "%.600s: %s", file->access.path, text);
}

static void tell(struct opener *opener)
{
    struct opener_result result = {
        .files = opener->files, .count = opener->count, .problem = opener->failed ? &opener->problem : NULL};
    if (opener->done)
        opener->done(opener->owner, &result);
    opener->done = NULL;
}

static struct opener_file *first_closed(struct opener *opener)
{
    for (unsigned i = 0; i < opener->count; i++)
        if (opener->files[i].descriptor < 0)
            return &opener->files[i];
    return NULL;
}

static bool has_parents(struct opener_file *file)
{
    if (!file->parents)
        file->parents = calloc(1, sizeof(*file->parents));
    return file->parents != NULL;
}

/* Whoever has read the image may have been taken in by it. */
static bool is_sound(const struct remote_source *source)
{
    return memchr(source->url, '\0', sizeof(source->url)) && !remote_source_check_url(source->url) &&
           remote_source_check_validator(source->validator) && source->size > 0 && source->size <= INT64_MAX;
}

/* False: no memory, or no source. */
static bool add_source(struct opener_file *file, const struct remote_source *source)
{
    if (!source->url[0])
        return true;
    if (!is_sound(source) || !has_parents(file))
        return false;
    file->parents->source = *source;
    return true;
}

/* False: no memory, or more than there can be. */
static bool add_parent(struct opener_file *file, const char *path, int descriptor)
{
    if (!has_parents(file) || file->parents->count == CONFIGURATION_PARENTS)
        return false;
    char *copy = strndup(path, PATH_MAX - 1);
    if (!copy)
        return false;
    file->parents->list[file->parents->count].descriptor = descriptor;
    file->parents->list[file->parents->count++].path = copy;
    return true;
}

/* Takes one message in. False: there is none. */
static bool receive(struct opener *opener)
{
    struct message message;
    int descriptor;
    if (!passing_receive(opener->channel, &message, sizeof(message), MSG_DONTWAIT, &descriptor))
        return false;
    if (message.failed || message.index >= opener->count || descriptor < 0 ||
        opener->files[message.index].descriptor >= 0) {
        if (descriptor >= 0)
            close(descriptor);
        opener->failed = true;
        opener->problem = message.problem;
        opener->problem.text[sizeof(opener->problem.text) - 1] = '\0';
        return true;
    }
    struct opener_file *file = &opener->files[message.index];
    if (!message.parent[0]) {
        file->descriptor = descriptor;
        if (!add_source(file, &message.source))
            fail(opener, file, "what it says of its parent cannot be used");
    } else if (!add_parent(file, message.parent, descriptor)) {
        close(descriptor);
        fail(opener, file, "its parents cannot be kept: no memory");
    }
    return true;
}

/* Two names, links for example, of one disk. */
static void check_twins(struct opener *opener)
{
    struct stat status[OPENER_FILES];
    for (unsigned i = 0; i < opener->count; i++) {
        if (opener->files[i].access.role != FILE_DISK || fstat(opener->files[i].descriptor, &status[i]) != 0)
            continue;
        for (unsigned j = 0; j < i; j++) {
            if (opener->files[j].access.role != FILE_DISK)
                continue;
            bool same = S_ISBLK(status[i].st_mode) && S_ISBLK(status[j].st_mode)
                            ? status[i].st_rdev == status[j].st_rdev
                            : status[i].st_dev == status[j].st_dev && status[i].st_ino == status[j].st_ino;
            if (same)
                fail(opener, &opener->files[i], "is the same file as another disk of this virtual machine");
        }
    }
}

static int start_process(struct opener *opener);

/* The process has ended: more files of other users, or the end. */
static void go_on(struct opener *opener, uid_t user)
{
    while (receive(opener))
        ;
    close(opener->channel);
    for (unsigned i = 0; i < opener->count; i++)
        if (opener->files[i].access.user == user && opener->files[i].descriptor < 0)
            fail(opener, &opener->files[i], "cannot be opened: the process that tried has been killed");
    if (!opener->failed && opener->done && first_closed(opener)) {
        int error = start_process(opener);
        if (!error)
            return;
        fail(opener, first_closed(opener), strerror(error));
    }
    if (!opener->failed)
        check_twins(opener);
    tell(opener);
    release(opener);
}

static void process_ended(void *owner, uint32_t events)
{
    struct opener *opener = owner;
    (void)events;
    uid_t user = first_closed(opener)->access.user;
    waitpid(opener->process, NULL, WNOHANG);
    alarm_cancel(opener->context->alarms, &opener->alarm);
    event_loop_remove(opener->context->loop, &opener->process_end);
    close(opener->process_end.descriptor);
    go_on(opener, user);
}

static void patience_ended(void *owner)
{
    struct opener *opener = owner;
    kill(opener->process, SIGKILL);
    fail(opener, first_closed(opener), "cannot be opened: its file system does not answer");
    tell(opener);
}

static int start_process(struct opener *opener)
{
    int ends[2];
    uid_t user = first_closed(opener)->access.user;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
        return errno;
    pid_t process = fork();
    if (process == 0)
        serve(opener, ends[1], user);
    int error = process < 0 ? errno : 0;
    close(ends[1]);
    int pidfd = process < 0 ? -1 : pidfd_open(process, 0);
    if (process > 0 && pidfd < 0)
        error = errno;
    if (!error)
        error = event_loop_add(opener->context->loop, &opener->process_end, pidfd, EPOLLIN, process_ended, opener);
    if (!error) {
        opener->process = process;
        opener->channel = ends[0];
        alarm_set(opener->context->alarms, &opener->alarm, opener->context->loop->now + PATIENCE, patience_ended,
                  opener);
        return 0;
    }
    close(ends[0]);
    if (pidfd >= 0)
        close(pidfd);
    if (process > 0) {
        kill(process, SIGKILL);
        waitpid(process, NULL, 0);
    }
    return error;
}

/* Adds a file, whose path `access` borrows; false: no memory. */
static bool add(struct opener *opener, const struct opener_plan *plan, const struct definition_file *file,
                struct file_access access)
{
    if (!file->path)
        return true;
    access.path = strdup(file->path);
    access.user = plan->all_as_asker ? plan->asker->user : file->user;
    if (access.path)
        opener->files[opener->count++] = (struct opener_file){.access = access, .descriptor = -1};
    return access.path != NULL;
}

static bool add_drives(struct opener *opener, const struct opener_plan *plan, enum file_role role,
                       const struct definition_drive *drives, unsigned count)
{
    bool added = true;
    for (unsigned i = 0; i < count && added; i++)
        added =
            add(opener, plan, &drives[i].file,
                (struct file_access){.role = role, .index = i, .read_only = role == FILE_DVD || drives[i].read_only});
    return added;
}

static bool add_disks(struct opener *opener, const struct opener_plan *plan)
{
    bool added = true;
    for (unsigned i = 0; i < plan->definition->disk_count && added; i++) {
        const struct definition_disk *disk = &plan->definition->disks[i];
        added =
            add(opener, plan, &disk->file,
                (struct file_access){.role = FILE_DISK, .index = i, .raw = disk->raw, .read_only = disk->read_only});
    }
    return added;
}

static bool fill(struct opener *opener, const struct opener_plan *plan)
{
    const struct definition *definition = plan->definition;
    if (plan->asker) {
        if (!identity_copy(&opener->asker, plan->asker))
            return false;
        opener->has_asker = true;
    }
    return add(opener, plan, &definition->kernel, (struct file_access){.role = FILE_KERNEL}) &&
           add(opener, plan, &definition->initrd, (struct file_access){.role = FILE_INITRD}) &&
           add_disks(opener, plan) && add_drives(opener, plan, FILE_DVD, definition->dvds, definition->dvd_count) &&
           add_drives(opener, plan, FILE_FLOPPY, definition->floppies, definition->floppy_count) &&
           add(opener, plan, &definition->com2.file,
               (struct file_access){.role = FILE_SERIAL, .serial = definition->com2.kind});
}

static void nothing_to_open(void *owner)
{
    tell(owner);
    release(owner);
}

int opener_begin(struct opener_context *context, const struct opener_plan *plan, opener_done *done, void *owner)
{
    if (context->active >= OPENER_MAXIMUM)
        return EBUSY;
    struct opener *opener = calloc(1, sizeof(*opener));
    if (!opener)
        return ENOMEM;
    opener->context = context;
    opener->done = done;
    opener->owner = owner;
    opener->to_use = plan->to_use;
    context->active++;
    int error = fill(opener, plan) ? 0 : ENOMEM;
    if (!error && opener->count)
        error = start_process(opener);
    else if (!error)
        alarm_set(context->alarms, &opener->alarm, context->loop->now, nothing_to_open, opener);
    if (error)
        release(opener);
    return error;
}
