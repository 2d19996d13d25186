/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What loam-fetch can still do in its sandbox, and what it cannot. Each case is a process of its own. */
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "partitions/root/fetch/sandbox.h"

/* The sanitizer's own system calls at an end are not loam-fetch's. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "use_sigaltstack=0:detect_leaks=0";
}

/* The number of the first of the attempts that is refused; 0 if none is. In another process, in the sandbox. */
static int run(int (*attempts)(void))
{
    const struct confinement_user none = {0};
    char error[CONFINEMENT_ERROR_SIZE];
    int status;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        syscall(SYS_exit_group, sandbox_enter(&none, error) ? attempts() : 255);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void *do_nothing(void *context)
{
    return context;
}

static int do_the_work(void)
{
    struct addrinfo *addresses;
    int ends[2];
    pthread_t thread;
    char byte;
    int file = open("/etc/passwd", O_RDONLY | O_CLOEXEC);
    if (file < 0 || read(file, &byte, 1) != 1)
        return 1;
    if (getaddrinfo("localhost", "80", NULL, &addresses) != 0)
        return 2;
    if (socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0) < 0 || socket(AF_UNIX, SOCK_STREAM, 0) < 0)
        return 3;
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0 || write(ends[0], "x", 1) != 1 || read(ends[1], &byte, 1) != 1)
        return 4;
    if (pthread_create(&thread, NULL, do_nothing, NULL) != 0 || pthread_join(thread, NULL) != 0)
        return 5;
    return 0;
}

static bool is_refused(long result)
{
    return result < 0 && errno == EPERM;
}

static int do_harm(void)
{
    char *const arguments[] = {"/bin/true", NULL};
    if (!is_refused(open("/dev/null", O_WRONLY)) || !is_refused(open("/dev/null", O_RDWR)) ||
        !is_refused(open("/tmp", O_TMPFILE | O_RDWR, 0600)))
        return 1;
    if (!is_refused(open("/dev/null", O_RDONLY | O_CREAT, 0600)) || !is_refused(open("/dev/null", O_RDONLY | O_TRUNC)))
        return 2;
    if (!is_refused(execve(arguments[0], arguments, NULL)))
        return 3;
    if (!is_refused(syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL)) || !is_refused(syscall(SYS_vfork)))
        return 4;
    if (!is_refused(ptrace(PTRACE_TRACEME, 0, NULL, NULL)))
        return 5;
    if (!is_refused(unlink("/tmp/no-such-file")) || !is_refused(mkdir("/tmp/no-such-folder", 0700)) ||
        !is_refused(rename("/tmp/no-such-file", "/tmp/no-other")) || !is_refused(chmod("/tmp/no-such-file", 0600)))
        return 6;
    if (!is_refused(socket(AF_PACKET, SOCK_RAW, 0)) || !is_refused(ioctl(0, TIOCSTI, "x")))
        return 7;
    if (mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED)
        return 8;
    if (!is_refused(setuid(0)) || !is_refused(kill(getpid(), 0)) || !is_refused(listen(0, 1)))
        return 9;
    return 0;
}

static void fetching_works_in_it(void **state)
{
    (void)state;
    assert_int_equal(run(do_the_work), 0);
}

static void harm_does_not(void **state)
{
    (void)state;
    assert_int_equal(run(do_harm), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fetching_works_in_it),
        cmocka_unit_test(harm_does_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
