/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/worker/sandbox.h"

#include <errno.h>
#include <seccomp.h>
#include <asm/termbits.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "uapi/loam.h"
#include "uapi/mshv.h"

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

/* What a worker does once it runs, beside its disks: wait, move data, run VPs. No opening of files, no processes, no new code.
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
    SCMP_SYS(preadv2),
    SCMP_SYS(pwritev2),
    SCMP_SYS(fsync),
    SCMP_SYS(io_uring_enter), /* of rings that were made before, and can do nothing else than these: io_uring.c */
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
    /* What libvncserver waits with, should it ever */
    SCMP_SYS(select),
    SCMP_SYS(pselect6),
    /* Ending */
    SCMP_SYS(exit),
    SCMP_SYS(exit_group),
    SCMP_SYS(set_robust_list),
    SCMP_SYS(rseq),
};

static const unsigned long allowed_ioctls[] = {
    MSHV_ROOT_HVCALL,
    MSHV_SET_GUEST_MEMORY,
    MSHV_GET_VP_STATE,
    MSHV_SET_VP_STATE,
    MSHV_GET_GPAP_ACCESS_BITMAP,
    LOAM_GET_PARTITION_ID,
    TCGETS, /* the C library asks whether standard output is a terminal */
};

static int add_rules(scmp_filter_ctx filter)
{
    int error = 0;

    for (unsigned i = 0; !error && i < sizeof allowed_ioctls / sizeof allowed_ioctls[0]; i++)
        error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1, SCMP_A1(SCMP_CMP_EQ, allowed_ioctls[i]));
    /* A switch that comes back is connected to again. */
    if (!error)
        error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1, SCMP_A0(SCMP_CMP_EQ, AF_UNIX));
    /* Between a viewer and libvncserver. */
    if (!error)
        error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(socketpair), 1, SCMP_A0(SCMP_CMP_EQ, AF_UNIX));
    return error;
}

bool sandbox_enter(const struct confinement_user *user, char error[CONFINEMENT_ERROR_SIZE])
{
    static const struct confinement_calls calls = {.others = SCMP_ACT_KILL_PROCESS,
                                                   .allowed = allowed_calls,
                                                   .count = sizeof allowed_calls / sizeof allowed_calls[0],
                                                   .disks = true,
                                                   .add_rules = add_rules};

    return confinement_become(user, error) && confinement_close(&calls, error);
}
