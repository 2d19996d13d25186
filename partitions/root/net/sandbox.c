/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/net/sandbox.h"

#include <errno.h>
#include <seccomp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define SOCKET_TYPE_MASK 0xF /* without SOCK_NONBLOCK and SOCK_CLOEXEC */

/* Whatever their arguments. */
static const int allowed[] = {
    /* the event loop */
    SCMP_SYS(epoll_wait),
    SCMP_SYS(epoll_pwait),
    SCMP_SYS(epoll_ctl),
    SCMP_SYS(clock_gettime),
    SCMP_SYS(clock_nanosleep),
    SCMP_SYS(nanosleep),
    SCMP_SYS(restart_syscall),
    SCMP_SYS(rt_sigreturn),
    SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(rt_sigaction),
    /* sockets that are open */
    SCMP_SYS(recvmmsg),
    SCMP_SYS(sendmmsg),
    SCMP_SYS(recvmsg),
    SCMP_SYS(sendmsg),
    SCMP_SYS(recvfrom),
    SCMP_SYS(sendto),
    SCMP_SYS(read),
    SCMP_SYS(readv),
    SCMP_SYS(write),
    SCMP_SYS(writev),
    SCMP_SYS(connect),
    SCMP_SYS(bind),
    SCMP_SYS(listen),
    SCMP_SYS(accept4),
    SCMP_SYS(getsockopt),
    SCMP_SYS(setsockopt),
    SCMP_SYS(getsockname),
    SCMP_SYS(shutdown),
    SCMP_SYS(fcntl),
    SCMP_SYS(close),
    /* resolv.conf, the lease file, and /proc for who has a port */
    SCMP_SYS(openat),
    SCMP_SYS(newfstatat),
    SCMP_SYS(fstat),
    SCMP_SYS(lseek),
    SCMP_SYS(fsync),
    SCMP_SYS(rename),
    SCMP_SYS(unlink),
    SCMP_SYS(getdents64),
    SCMP_SYS(readlinkat),
    /* threads (lwIP's, when it comes as a package), the end */
    SCMP_SYS(futex),
    SCMP_SYS(sched_yield),
    SCMP_SYS(getrandom),
    SCMP_SYS(getpid),
    SCMP_SYS(gettid),
    SCMP_SYS(geteuid),
    SCMP_SYS(tgkill),
    SCMP_SYS(exit),
    SCMP_SYS(exit_group),
};

bool sandbox_find_user(const char *name, struct confinement_user *user, char error[CONFINEMENT_ERROR_SIZE])
{
    if (!confinement_parse_user(name, user, error))
        return false;
    if (user->uid == 0)
        snprintf(error, CONFINEMENT_ERROR_SIZE, "the switch must not run as root");
    return user->uid != 0;
}

/* Sockets of the families and kinds that the NAT opens. */
static int allow_sockets(scmp_filter_ctx filter)
{
    static const unsigned families[] = {AF_INET, AF_INET6}, types[] = {SOCK_STREAM, SOCK_DGRAM};
    int result = 0;
    for (size_t i = 0; i < 2; i++)
        for (size_t j = 0; j < 2 && result == 0; j++)
            result = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(socket), 2, SCMP_A0(SCMP_CMP_EQ, families[i]),
                                      SCMP_A1(SCMP_CMP_MASKED_EQ, SOCKET_TYPE_MASK, types[j]));
    return result;
}

bool sandbox_close(char error[CONFINEMENT_ERROR_SIZE])
{
    static const struct confinement_calls calls = {.others = SCMP_ACT_ERRNO(EPERM),
                                                   .allowed = allowed,
                                                   .count = sizeof(allowed) / sizeof(allowed[0]),
                                                   .add_rules = allow_sockets};
    return confinement_drop_capabilities(error) && confinement_close(&calls, error);
}
