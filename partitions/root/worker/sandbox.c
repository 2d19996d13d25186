/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/worker/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <asm/termbits.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "uapi/loam.h"
#include "uapi/mshv.h"

static bool is_number(const char *text)
{
    return text[0] && strspn(text, "0123456789") == strlen(text) && strlen(text) < 10;
}

static bool find_group(const char *name, gid_t *gid)
{
    const struct group *group = getgrnam(name);

    if (is_number(name))
        *gid = (gid_t)strtoul(name, NULL, 10);
    else if (group)
        *gid = group->gr_gid;
    return group || is_number(name);
}

bool sandbox_parse_user(const char *text, struct sandbox_user *user, char error[SANDBOX_ERROR_SIZE])
{
    char name[64];
    const char *colon = strchr(text, ':');
    const struct passwd *entry;

    snprintf(name, sizeof name, "%.*s", colon ? (int)(colon - text) : (int)strlen(text), text);
    entry = is_number(name) ? getpwuid((uid_t)strtoul(name, NULL, 10)) : getpwnam(name);
    if (!entry && !is_number(name)) {
        snprintf(error, SANDBOX_ERROR_SIZE, "there is no user \"%s\"", name);
        return false;
    }
    *user = (struct sandbox_user){.given = true,
                                  .uid = entry ? entry->pw_uid : (uid_t)strtoul(name, NULL, 10),
                                  .gid = entry ? entry->pw_gid : (gid_t)strtoul(name, NULL, 10)};
    if (colon && !find_group(colon + 1, &user->gid)) {
        snprintf(error, SANDBOX_ERROR_SIZE, "there is no group \"%.40s\"", colon + 1);
        return false;
    }
    return true;
}

void sandbox_set_limits(void)
{
    const struct rlimit none = {0, 0};
    const struct rlimit all = {RLIM_INFINITY, RLIM_INFINITY};

    /* Only root may raise it; for others the limit that they have must do, and mapping memory says if it does
     * not. */
    if (setrlimit(RLIMIT_MEMLOCK, &all) != 0)
        errno = 0;
    setrlimit(RLIMIT_CORE, &none);
}

bool sandbox_drop(const struct sandbox_user *user, char error[SANDBOX_ERROR_SIZE])
{
    if (!user->given)
        return true;
    if (setgroups(0, NULL) != 0 || setresgid(user->gid, user->gid, user->gid) != 0 ||
        setresuid(user->uid, user->uid, user->uid) != 0) {
        snprintf(error, SANDBOX_ERROR_SIZE, "cannot become user %u: %s", (unsigned)user->uid,
                 strerror(errno));
        return false;
    }
    return true;
}

/* What a worker does once it runs: wait, move data, run VPs. No opening of files, no processes, no new code.
 */
static const int allowed_calls[] = {
    /* Waiting and waking */
    SCMP_SYS(epoll_wait),
    SCMP_SYS(epoll_pwait),
    SCMP_SYS(epoll_ctl),
    SCMP_SYS(futex),
    SCMP_SYS(restart_syscall),
    SCMP_SYS(timerfd_settime),
    SCMP_SYS(clock_gettime),
    SCMP_SYS(clock_nanosleep),
    SCMP_SYS(nanosleep),
    SCMP_SYS(sched_yield),
    SCMP_SYS(tgkill),
    SCMP_SYS(getpid),
    SCMP_SYS(gettid),
    SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(rt_sigreturn),
    /* Data of disks, console and switch */
    SCMP_SYS(read),
    SCMP_SYS(write),
    SCMP_SYS(readv),
    SCMP_SYS(writev),
    SCMP_SYS(pread64),
    SCMP_SYS(pwrite64),
    SCMP_SYS(preadv),
    SCMP_SYS(pwritev),
    SCMP_SYS(preadv2),
    SCMP_SYS(pwritev2),
    SCMP_SYS(fsync),
    SCMP_SYS(fdatasync),
    SCMP_SYS(fallocate),
    SCMP_SYS(io_uring_enter), /* of rings that were made before, and can do nothing else than these: io_uring.c */
    SCMP_SYS(ftruncate),
    SCMP_SYS(fstat),
    SCMP_SYS(newfstatat),
    SCMP_SYS(lseek),
    SCMP_SYS(flock),
    SCMP_SYS(sendto),
    SCMP_SYS(sendmsg),
    SCMP_SYS(sendmmsg),
    SCMP_SYS(recvfrom),
    SCMP_SYS(recvmsg),
    SCMP_SYS(recvmmsg),
    SCMP_SYS(accept4),
    SCMP_SYS(connect),
    SCMP_SYS(setsockopt),
    SCMP_SYS(getsockopt),
    SCMP_SYS(getpeername),
    SCMP_SYS(shutdown),
    SCMP_SYS(close),
    SCMP_SYS(fcntl),
    /* What libvncserver waits with, should it ever */
    SCMP_SYS(select),
    SCMP_SYS(pselect6),
    /* Memory */
    SCMP_SYS(munmap),
    SCMP_SYS(mremap),
    SCMP_SYS(madvise),
    SCMP_SYS(brk),
    SCMP_SYS(getrandom),
    /* Ending */
    SCMP_SYS(exit),
    SCMP_SYS(exit_group),
    SCMP_SYS(set_robust_list),
    SCMP_SYS(rseq),
};

static const unsigned long allowed_ioctls[] = {
    MSHV_ROOT_HVCALL, MSHV_SET_GUEST_MEMORY, MSHV_GET_VP_STATE, MSHV_SET_VP_STATE, MSHV_GET_GPAP_ACCESS_BITMAP,
    LOAM_GET_PARTITION_ID, TCGETS, /* the C library asks whether standard output is a terminal */
};

static int add_rules(scmp_filter_ctx filter)
{
    int error = 0;

    for (unsigned i = 0; !error && i < sizeof allowed_calls / sizeof allowed_calls[0]; i++)
        error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, allowed_calls[i], 0);
    for (unsigned i = 0; !error && i < sizeof allowed_ioctls / sizeof allowed_ioctls[0]; i++)
        error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1,
                                 SCMP_A1(SCMP_CMP_EQ, allowed_ioctls[i]));
    /* The allocator's memory, but none that could be executed. */
    if (!error)
        error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1,
                                 SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
    if (!error)
        error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1,
                                 SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
    /* A switch that comes back is connected to again. */
    if (!error)
        error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1, SCMP_A0(SCMP_CMP_EQ, AF_UNIX));
    /* Between a viewer and libvncserver. */
    if (!error)
        error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(socketpair), 1, SCMP_A0(SCMP_CMP_EQ, AF_UNIX));
    return error;
}

static bool install_filter(char error[SANDBOX_ERROR_SIZE])
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
    int result = filter ? seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1) : -ENOMEM;

    if (!result)
        result = add_rules(filter);
    if (!result)
        result = seccomp_load(filter);
    if (filter)
        seccomp_release(filter);
    if (result)
        snprintf(error, SANDBOX_ERROR_SIZE, "cannot restrict system calls: %s", strerror(-result));
    return !result;
}

bool sandbox_enter(const struct sandbox_user *user, char error[SANDBOX_ERROR_SIZE])
{
    if (!sandbox_drop(user, error))
        return false;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
        snprintf(error, SANDBOX_ERROR_SIZE, "cannot forbid new privileges: %s", strerror(errno));
        return false;
    }
    return install_filter(error);
}
