/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/passing.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Room for one descriptor. */
union control {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(sizeof(int))];
};

bool passing_send(int channel, const void *message, size_t size, int descriptor)
{
    union control control = {0};
    struct iovec part = {.iov_base = (void *)message, .iov_len = size};
    struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1};
    ssize_t sent;
    if (descriptor >= 0) {
        header.msg_control = &control;
        header.msg_controllen = sizeof(control);
        struct cmsghdr *rights = CMSG_FIRSTHDR(&header);
        *rights =
            (struct cmsghdr){.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(int))};
        memcpy(CMSG_DATA(rights), &descriptor, sizeof(int));
    }
    do
        sent = sendmsg(channel, &header, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    return sent == (ssize_t)size;
}

bool passing_receive(int channel, void *message, size_t size, int flags, int *descriptor)
{
    union control control;
    struct iovec part = {.iov_base = message, .iov_len = size};
    struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1};
    ssize_t received;
    int passed = -1;
    if (descriptor) {
        header.msg_control = &control;
        header.msg_controllen = sizeof(control);
    }
    do
        received = recvmsg(channel, &header, flags | MSG_CMSG_CLOEXEC);
    while (received < 0 && errno == EINTR);
    if (received <= 0) {
        errno = received ? errno : 0;
        return false;
    }
    struct cmsghdr *rights = CMSG_FIRSTHDR(&header);
    if (rights && rights->cmsg_level == SOL_SOCKET && rights->cmsg_type == SCM_RIGHTS)
        memcpy(&passed, CMSG_DATA(rights), sizeof(int));
    bool whole = received == (ssize_t)size && !(header.msg_flags & (MSG_TRUNC | MSG_CTRUNC));
    if (whole && descriptor)
        *descriptor = passed;
    else if (passed >= 0)
        close(passed);
    if (!whole)
        errno = EBADMSG;
    return whole;
}
