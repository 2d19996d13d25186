/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tools/loam/confined.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "partitions/root/confinement.h"
#include "partitions/root/disk/host_files.h"
#include "partitions/root/disk/new_file.h"
#include "partitions/root/disk/remote_source.h"
#include "partitions/root/passing.h"
#include "tools/loam/broker_message.h"
#include "tools/loam/cli.h"

#define CHANNEL 3
/* Whom root becomes: the user and group that the kernel shows for those it cannot, "nobody". */
#define NOBODY 65534u

/* ---- Asking ---- */

static struct broker_request request;
static struct broker_answer answer;

static void prepare(enum broker_request_kind kind, const char *path, unsigned number)
{
    memset(&request, 0, sizeof(request));
    request.kind = kind;
    request.number = number;
    snprintf(request.path, sizeof(request.path), "%s", path);
}

/* The answer's result. Without a broker there is nobody to work for. */
static int ask(int *descriptor)
{
    if (!passing_send(CHANNEL, &request, sizeof(request), -1) ||
        !passing_receive(CHANNEL, &answer, sizeof(answer), 0, descriptor))
        _exit(CLI_REFUSED);
    return answer.result;
}

/* What ends a request about a path that is too long to be one. */
static bool fits(const char *path, struct disk_error *error)
{
    if (strlen(path) < PATH_MAX)
        return true;
    disk_error_set(error, ENAMETOOLONG, path, "%s", strerror(ENAMETOOLONG));
    return false;
}

/* Asks for a descriptor; -1 with `error`. */
static int ask_for_descriptor(struct disk_error *error)
{
    int descriptor = -1;
    if (ask(&descriptor) == 0)
        return descriptor;
    if (error)
        *error = answer.error;
    return -1;
}

/* ---- Files ---- */

static int open_image(const char *path, unsigned flags, struct disk_error *error)
{
    if (!fits(path, error))
        return -1;
    prepare(ASK_OPEN_IMAGE, path, flags);
    return ask_for_descriptor(error);
}

static int open_source(const struct remote_source *source, struct disk_error *error)
{
    prepare(ASK_OPEN_SOURCE, source->url, source->raw);
    strcpy(request.text, source->validator);
    request.size = source->size;
    return ask_for_descriptor(error);
}

static bool begin_file(struct new_file *file, const char *path, bool replace, struct disk_error *error)
{
    if (!fits(path, error))
        return false;
    prepare(ASK_BEGIN_FILE, path, replace);
    *file = (struct new_file){
        .descriptor = ask_for_descriptor(error), .directory = -1, .replaced = -1, .path = path, .replace = replace};
    return file->descriptor >= 0;
}

static bool commit_file(struct new_file *file, struct disk_error *error)
{
    prepare(ASK_COMMIT_FILE, "", 0);
    close(file->descriptor);
    if (ask(NULL) == 0)
        return true;
    if (error)
        *error = answer.error;
    return false;
}

static void abandon_file(struct new_file *file)
{
    prepare(ASK_ABANDON_FILE, "", 0);
    close(file->descriptor);
    ask(NULL);
}

static bool find_parent(const char *child, const char *name, char found[PATH_MAX])
{
    if (strlen(child) >= PATH_MAX || strlen(name) >= PATH_MAX)
        return false;
    prepare(ASK_FIND_PARENT, child, 0);
    strcpy(request.text, name);
    if (ask(NULL))
        return false;
    strcpy(found, answer.path);
    return true;
}

static int real_path(const char *path, char real[PATH_MAX])
{
    if (strlen(path) >= PATH_MAX)
        return ENAMETOOLONG;
    prepare(ASK_REAL_PATH, path, 0);
    int result = ask(NULL);
    strcpy(real, answer.path);
    return result;
}

static int get_status(const char *path, struct stat *status)
{
    if (strlen(path) >= PATH_MAX)
        return ENAMETOOLONG;
    prepare(ASK_STATUS, path, 0);
    int result = ask(NULL);
    *status = answer.status;
    return result;
}

static int list_beside(const char *path)
{
    prepare(ASK_LIST_BESIDE, path, 0);
    return ask_for_descriptor(NULL);
}

static int remove_file(const char *path, int descriptor)
{
    (void)descriptor;
    prepare(ASK_REMOVE, path, 0);
    return ask(NULL);
}

static void set_times(const char *path, int descriptor, const struct timespec times[2])
{
    (void)descriptor;
    prepare(ASK_SET_TIMES, path, 0);
    memcpy(request.times, times, sizeof(request.times));
    ask(NULL);
}

static const struct host_files host_files_brokered = {
    .open_image = open_image,
    .open_source = open_source,
    .begin_file = begin_file,
    .commit_file = commit_file,
    .abandon_file = abandon_file,
    .find_parent = find_parent,
    .real_path = real_path,
    .status = get_status,
    .list_beside = list_beside,
    .remove = remove_file,
    .set_times = set_times,
};

/* ---- What is said ---- */

void confined_find_vm(pid_t process, char name[64])
{
    prepare(ASK_FIND_VM, "", (unsigned)process);
    ask(NULL);
    snprintf(name, 64, "%.63s", answer.path);
}

void confined_show_progress(const char *what, unsigned percent)
{
    prepare(ASK_PROGRESS, "", percent);
    snprintf(request.text, sizeof(request.text), "%s", what);
    ask(NULL);
}

/* A cookie is the number of its stream. */
static const unsigned output = STDOUT_FILENO, errors = STDERR_FILENO;

static ssize_t print(void *cookie, const char *bytes, size_t size)
{
    const unsigned *stream = cookie;
    for (size_t done = 0, piece; done < size; done += piece) {
        prepare(ASK_PRINT, "", *stream);
        piece = size - done < sizeof(request.text) ? size - done : sizeof(request.text) - 1;
        memcpy(request.text, bytes + done, piece);
        ask(NULL);
    }
    return (ssize_t)size;
}

/* Standard output and error, a line of which is a message. 0 or an errno. */
static int replace_streams(void)
{
    const cookie_io_functions_t functions = {.write = print};
    FILE *to_output = fopencookie((void *)&output, "w", functions);
    FILE *to_errors = fopencookie((void *)&errors, "w", functions);
    if (!to_output || !to_errors || setvbuf(to_errors, NULL, _IOLBF, PATH_MAX) != 0)
        return ENOMEM;
    stdout = to_output;
    stderr = to_errors;
    return 0;
}

/* ---- Entering ---- */

/* Nothing stays open but the channel. 0 or an errno. */
static int close_others(void)
{
    int null = open("/dev/null", O_RDWR);
    for (int i = STDIN_FILENO; i <= STDERR_FILENO; i++)
        if (null < 0 || dup2(null, i) < 0)
            return errno;
    return close_range(CHANNEL + 1, ~0u, 0) == 0 ? 0 : errno;
}

/* What is open keeps its rights; the process has none any more. */
static bool drop_rights(char error[CONFINEMENT_ERROR_SIZE])
{
    const struct confinement_user nobody = {.given = geteuid() == 0, .uid = NOBODY, .gid = NOBODY};
    /* Root of a user namespace without other users, or without that right, is root by its capabilities alone. */
    if (!confinement_become(&nobody, error) && errno != EPERM && errno != EINVAL)
        return false;
    return confinement_drop_capabilities(error);
}

/* When the rights are dropped, as the kernel forgets the last of these with a change of user. */
static int end_with(pid_t broker)
{
    const struct rlimit none = {0, 0};
    if (setrlimit(RLIMIT_CORE, &none) != 0 || prctl(PR_SET_DUMPABLE, 0) != 0 || prctl(PR_SET_PDEATHSIG, SIGKILL) != 0)
        return errno;
    return getppid() == broker ? 0 : ESRCH;
}

static const int allowed[] = {
    /* the channel and those of what is fetched, which are the only sockets, and what was listed */
    SCMP_SYS(sendmsg),
    SCMP_SYS(recvmsg),
    SCMP_SYS(sendto),
    SCMP_SYS(recvfrom),
    SCMP_SYS(shutdown),
    SCMP_SYS(read),
    /* signals that cancel the work */
    SCMP_SYS(rt_sigaction),
    SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(rt_sigreturn),
    SCMP_SYS(restart_syscall),
    /* the C library: a last word, and time without vDSO */
    SCMP_SYS(write),
    SCMP_SYS(writev),
    SCMP_SYS(clock_gettime),
    SCMP_SYS(getpid),
    SCMP_SYS(gettid),
    SCMP_SYS(exit_group),
#ifdef __SANITIZE_ADDRESS__
    SCMP_SYS(sigaltstack),
#endif
};

static int add_rules(scmp_filter_ctx filter)
{
    /* Space that files share; whether a stream is a terminal, and how wide: it is none. */
    static const unsigned long ioctls[] = {FICLONERANGE, TCGETS, TIOCGWINSZ};
    int result = 0;
    for (size_t i = 0; i < sizeof(ioctls) / sizeof(ioctls[0]) && !result; i++)
        result = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1, SCMP_A1(SCMP_CMP_EQ, ioctls[i]));
    if (!result) /* abort(3) */
        result =
            seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1, SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid()));
    return result;
}

bool confined_enter(int channel, pid_t broker, char error[CONFINEMENT_ERROR_SIZE])
{
    static const struct confinement_calls calls = {.others = SCMP_ACT_KILL_PROCESS,
                                                   .allowed = allowed,
                                                   .count = sizeof(allowed) / sizeof(allowed[0]),
                                                   .threads = true, /* of files that are fetched */
                                                   .disks = true,
                                                   .add_rules = add_rules};
    int result = dup2(channel, CHANNEL) == CHANNEL ? replace_streams() : errno;
    if (!result)
        result = close_others();
    host_files = &host_files_brokered;
    bool dropped = !result && drop_rights(error);
    if (dropped)
        result = end_with(broker);
    if (result)
        snprintf(error, CONFINEMENT_ERROR_SIZE, "%s", strerror(result));
    return dropped && !result && confinement_close(&calls, error);
}
