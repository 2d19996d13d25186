/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tools/loam/disk_work.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "partitions/root/passing.h"
#include "tools/loam/cli.h"
#include "tools/loam/confined.h"
#include "tools/loam/progress.h"
#include "tools/loam/table.h"

/* So many signals are left to the process to deal with. */
#define PATIENCE 2

static const int signals[] = {SIGINT, SIGTERM, SIGHUP};

#define SIGNALS (sizeof(signals) / sizeof(signals[0]))

/* ---- Signals ---- */

static volatile pid_t process; /* 0: there is none */
static volatile sig_atomic_t times_received;

static void pass_on(int number)
{
    progress_cancel(number);
    if (process > 0)
        kill(process, ++times_received > PATIENCE ? SIGKILL : number);
}

static void block_signals(sigset_t *before)
{
    sigset_t blocked;
    sigemptyset(&blocked);
    for (size_t i = 0; i < SIGNALS; i++)
        sigaddset(&blocked, signals[i]);
    sigprocmask(SIG_BLOCK, &blocked, before);
}

/* Those that are not ignored, as by nohup(1). */
static void set_handlers(void (*handler)(int number))
{
    const struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};
    struct sigaction before;
    for (size_t i = 0; i < SIGNALS; i++)
        if (sigaction(signals[i], NULL, &before) == 0 && before.sa_handler != SIG_IGN)
            sigaction(signals[i], &action, NULL);
}

/* ---- The process ---- */

/* So that no file that is opened gets the number of a standard stream that is closed, to which something may be
 * printed. */
static void fill_standard_descriptors(void)
{
    int descriptor;
    while ((descriptor = open("/dev/null", O_PATH | O_CLOEXEC)) >= 0 && descriptor <= STDERR_FILENO)
        ;
    if (descriptor >= 0)
        close(descriptor);
}

/* What libraries would open files for. */
static void prepare_libraries(void)
{
    json_object_seed(0);
    tzset();
    table_look_at_terminal();
    fflush(NULL);
}

static _Noreturn void run(int channel, pid_t broker, int (*work)(const struct disk_arguments *arguments),
                          const struct disk_arguments *arguments)
{
    int status = CLI_REFUSED;
    char error[CONFINEMENT_ERROR_SIZE];
    if (confined_enter(channel, broker, error))
        status = work(arguments);
    else
        cli_complain("cannot confine the work on images: %s", error);
    fflush(stdout);
    fflush(stderr);
    _exit(status);
}

/* ---- The broker ---- */

/* False: the other one has asked for what the program never does. */
static bool serve(struct broker *broker, int channel)
{
    static struct broker_request request;
    static struct broker_answer answer;
    bool more = true;
    while (more && passing_receive(channel, &request, sizeof(request), 0, NULL)) {
        int descriptor;
        if (!broker_answer(broker, &request, &answer, &descriptor))
            return false;
        more = passing_send(channel, &answer, sizeof(answer), descriptor);
        if (descriptor >= 0)
            close(descriptor);
    }
    return !more || errno != EBADMSG;
}

/* The exit status of the process. It has closed the channel, so that it is ending, if it means well. */
static int end_process(void)
{
    sigset_t before;
    int status = 0;
    block_signals(&before);
    kill(process, SIGKILL); /* changes nothing any more if it is */
    while (waitpid(process, &status, 0) < 0 && errno == EINTR)
        ;
    process = 0;
    sigprocmask(SIG_SETMASK, &before, NULL);
    return status;
}

static int explain_end(int status, bool served, const char *path)
{
    if (served && WIFEXITED(status))
        return WEXITSTATUS(status);
    progress_erase();
    if (!served) {
        cli_complain("the process that worked on %s asked for what it may not (a damaged or malicious image?)", path);
        return CLI_REFUSED;
    }
    int number = WTERMSIG(status), received = progress_signal();
    if (received && number == received) { /* this process would have ended so */
        set_handlers(SIG_DFL);
        raise(number);
    }
    if (received && number == SIGKILL)
        return CLI_SIGNALLED + received;
    cli_complain("the process that worked on %s was killed by signal %d (a damaged or malicious image?)", path, number);
    return CLI_REFUSED;
}

int disk_work(int (*work)(const struct disk_arguments *arguments), const struct disk_arguments *arguments,
              const struct broker_grant *grant)
{
    int channel[2];
    struct broker broker;
    sigset_t before;
    const pid_t self = getpid();
    fill_standard_descriptors();
    if (!broker_begin(&broker, grant) || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, channel) != 0)
        cli_refuse("%s: no process for the work on it: %s", grant->files[0].path, strerror(errno));
    prepare_libraries();
    block_signals(&before);
    process = fork();
    set_handlers(process == 0 ? SIG_DFL : pass_on);
    sigprocmask(SIG_SETMASK, &before, NULL);
    if (process == 0)
        run(channel[1], self, work, arguments);
    close(channel[1]);
    if (process < 0)
        cli_refuse("%s: no process for the work on it: %s", grant->files[0].path, strerror(errno));
    bool served = serve(&broker, channel[0]);
    close(channel[0]);
    int status = end_process();
    broker_end(&broker);
    return explain_end(status, served, grant->files[0].path);
}

unsigned disk_changing(const struct disk_arguments *arguments)
{
    return arguments->dry_run ? BROKER_READ : BROKER_CHANGE;
}
