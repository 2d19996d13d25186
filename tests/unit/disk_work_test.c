/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Work on images in a process of its own: what that process cannot do, should an image have taken it over, and what is
 * said then. */
#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "partitions/root/disk/host_files.h"
#include "partitions/root/disk/new_file.h"
#include "partitions/root/passing.h"
#include "tests/unit/scratch.h"
#include "tools/loam/cli.h"
#include "tools/loam/disk_work.h"

/* The channel to the broker, which is all that is open. */
#define CHANNEL 3

/* As in sandbox_test.c. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "use_sigaltstack=0:detect_leaks=0";
}

typedef int work_function(const struct disk_arguments *arguments);

static char said[4096];

/* The exit status; what was said on standard error is in `said`. */
static int run(work_function *work)
{
    const struct disk_arguments arguments = {.names = {"FILE"}};
    const struct broker_grant grant = {.files = {{"new.vhd", BROKER_CREATE}}};
    int errors = dup(STDERR_FILENO), file = open("said", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(errors >= 0 && file >= 0 && dup2(file, STDERR_FILENO) >= 0);
    int status = disk_work(work, &arguments, &grant);
    assert_true(dup2(errors, STDERR_FILENO) >= 0);
    ssize_t length = pread(file, said, sizeof(said) - 1, 0);
    assert_true(length >= 0);
    said[length] = '\0';
    close(errors);
    close(file);
    unlink("said");
    return status;
}

static void expect_end(const char *name, work_function *work, const char *text)
{
    int status = run(work);
    if (status != CLI_REFUSED || !strstr(said, text))
        fail_msg("%s: status %d, and it says: %s", name, status, said);
    assert_int_equal(scratch_files(), 0);
}

/* ---- What is forbidden ---- */

/* clang-format off */
#define FORBIDDEN(name, call) static int name(const struct disk_arguments *arguments) { (void)arguments; return (int)(call); }
/* clang-format on */

FORBIDDEN(opens, open("/etc/passwd", O_RDONLY))
FORBIDDEN(creates, open("mine", O_RDWR | O_CREAT, 0600))
FORBIDDEN(opens_otherwise, syscall(SYS_openat2, -1, "/etc/passwd", NULL, 0))
FORBIDDEN(removes, unlink("new.vhd"))
FORBIDDEN(renames, rename("new.vhd", "old.vhd"))
FORBIDDEN(links, link("new.vhd", "old.vhd"))
FORBIDDEN(changes_mode, chmod("new.vhd", 0777))
FORBIDDEN(forks, fork())
FORBIDDEN(runs_program, execl("/bin/true", "true", (char *)NULL))
FORBIDDEN(connects, socket(AF_INET, SOCK_STREAM, 0))
FORBIDDEN(makes_unix_socket, socket(AF_UNIX, SOCK_STREAM, 0))
FORBIDDEN(makes_ring, syscall(SYS_io_uring_setup, 1, &(struct io_uring_params){0}))
FORBIDDEN(enters_ring, syscall(SYS_io_uring_enter, CHANNEL, 0, 0, 0, NULL, 0))
FORBIDDEN(kills, kill(1, 0))
FORBIDDEN(signals_thread, syscall(SYS_tgkill, 1, 1, 0))
FORBIDDEN(traces, syscall(SYS_ptrace, 0, 0, 0, 0))
FORBIDDEN(becomes_root, setuid(0))
FORBIDDEN(changes_process, prctl(PR_SET_DUMPABLE, 1))
FORBIDDEN(types_into_terminal, ioctl(STDOUT_FILENO, TIOCSTI, "x"))
FORBIDDEN(maps_code, mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != NULL)

static void test_what_is_forbidden_ends_the_process(void **state)
{
    static const struct {
        const char *name;
        work_function *work;
    } cases[] = {
        {"opens",             opens              },
        {"creates",           creates            },
        {"opens otherwise",   opens_otherwise    },
        {"removes",           removes            },
        {"renames",           renames            },
        {"links",             links              },
        {"changes mode",      changes_mode       },
        {"forks",             forks              },
        {"runs a program",    runs_program       },
        {"connects",          connects           },
        {"makes a socket",    makes_unix_socket  },
        {"makes a ring",      makes_ring         },
        {"enters a ring",     enters_ring        },
        {"kills",             kills              },
        {"signals a thread",  signals_thread     },
        {"traces",            traces             },
        {"becomes root",      becomes_root       },
        {"changes a process", changes_process    },
        {"types",             types_into_terminal},
        {"maps code",         maps_code          },
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        expect_end(
            cases[i].name, cases[i].work,
            "loam: the process that worked on new.vhd was killed by signal 31 (a damaged or malicious image?)\n");
}

/* ---- What is no way to ask ---- */

static struct broker_request request;

static int writes_nonsense(const struct disk_arguments *arguments)
{
    (void)arguments;
    return write(CHANNEL, "nonsense", 8) < 0;
}

static int passes_descriptor(const struct disk_arguments *arguments)
{
    (void)arguments;
    request.kind = ASK_STATUS;
    return !passing_send(CHANNEL, &request, sizeof(request), STDIN_FILENO);
}

static int asks_what_there_is_not(const struct disk_arguments *arguments)
{
    struct broker_answer answer;
    (void)arguments;
    request.kind = UINT32_MAX;
    passing_send(CHANNEL, &request, sizeof(request), -1);
    return passing_receive(CHANNEL, &answer, sizeof(answer), 0, NULL);
}

static int asks_without_end(const struct disk_arguments *arguments)
{
    struct broker_answer answer;
    (void)arguments;
    request.kind = ASK_STATUS;
    while (passing_send(CHANNEL, &request, sizeof(request), -1) &&
           passing_receive(CHANNEL, &answer, sizeof(answer), 0, NULL))
        ;
    return 0;
}

static void test_whoever_does_not_ask_properly_is_ended(void **state)
{
    (void)state;
    static const char text[] =
        "loam: the process that worked on new.vhd asked for what it may not (a damaged or malicious image?)\n";
    expect_end("nonsense", writes_nonsense, text);
    expect_end("descriptor", passes_descriptor, text);
    expect_end("unknown", asks_what_there_is_not, text);
    expect_end("without end", asks_without_end, text);
}

/* ---- How it ends ---- */

static int goes_on_alone(const struct disk_arguments *arguments)
{
    static volatile bool forever = true;
    (void)arguments;
    close(CHANNEL);
    while (forever)
        ;
    return CLI_DONE;
}

static int gives_up(const struct disk_arguments *arguments)
{
    struct new_file file;
    struct disk_error error;
    (void)arguments;
    if (new_file_begin(&file, "new.vhd", false, &error))
        abort();
    return CLI_DONE;
}

static int forgets(const struct disk_arguments *arguments)
{
    struct new_file file;
    struct disk_error error;
    (void)arguments;
    return new_file_begin(&file, "new.vhd", false, &error) ? 42 : CLI_DONE;
}

static void test_nothing_is_left_of_it(void **state)
{
    (void)state;
    expect_end("alone", goes_on_alone, "was killed by signal 9 ");
    expect_end("abort", gives_up, "was killed by signal 6 ");
    assert_int_equal(run(forgets), 42);
    assert_string_equal(said, "");
    assert_int_equal(scratch_files(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scratch_test(test_what_is_forbidden_ends_the_process),
        scratch_test(test_whoever_does_not_ask_properly_is_ended),
        scratch_test(test_nothing_is_left_of_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
