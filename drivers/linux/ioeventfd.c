// SPDX-License-Identifier: GPL-2.0-or-later
#include <linux/err.h>
#include <linux/eventfd.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/uaccess.h>

#include "ioeventfd.h"

#define KNOWN_FLAGS (MSHV_IOEVENTFD_DATAMATCH | MSHV_IOEVENTFD_PIO | MSHV_IOEVENTFD_DEASSIGN)

struct ioeventfd {
    struct list_head node; /* mshv_partition.ioeventfds */
    struct eventfd_ctx *eventfd;
    u64 address;
    u32 length; /* 0: any */
    bool any_value;
    u64 value;
};

static int check(const struct mshv_user_ioeventfd *request)
{
    if (request->flags & ~KNOWN_FLAGS || memchr_inv(request->rsvd, 0, sizeof(request->rsvd)))
        return -EINVAL;
    if (request->flags & MSHV_IOEVENTFD_PIO)
        return -EOPNOTSUPP;
    switch (request->len) {
    case 0:
    case 1:
    case 2:
    case 4:
    case 8:
        return request->addr + request->len < request->addr ? -EINVAL : 0;
    default:
        return -EINVAL;
    }
}

/* Whether both would answer the same write. */
static bool collide(const struct ioeventfd *a, const struct ioeventfd *b)
{
    return a->address == b->address && a->length == b->length &&
           (a->any_value || b->any_value || a->value == b->value);
}

static bool same(const struct ioeventfd *a, const struct ioeventfd *b)
{
    return a->eventfd == b->eventfd && a->any_value == b->any_value && collide(a, b);
}

static struct ioeventfd *find(struct mshv_partition *partition, const struct ioeventfd *wanted,
                              bool (*matches)(const struct ioeventfd *, const struct ioeventfd *))
{
    struct ioeventfd *ioeventfd;

    list_for_each_entry(ioeventfd, &partition->ioeventfds,
                        node) if (matches(ioeventfd, wanted)) return ioeventfd;
    return NULL;
}

static void release(struct ioeventfd *ioeventfd)
{
    list_del(&ioeventfd->node);
    eventfd_ctx_put(ioeventfd->eventfd);
    kfree(ioeventfd);
}

/* On success the eventfd is the new entry's. */
static int assign(struct mshv_partition *partition, const struct ioeventfd *wanted)
{
    struct ioeventfd *ioeventfd;

    if (find(partition, wanted, collide))
        return -EEXIST;
    ioeventfd = kmemdup(wanted, sizeof(*wanted), GFP_KERNEL_ACCOUNT);
    if (!ioeventfd)
        return -ENOMEM;
    list_add(&ioeventfd->node, &partition->ioeventfds);
    return 0;
}

static int deassign(struct mshv_partition *partition, const struct ioeventfd *wanted)
{
    struct ioeventfd *ioeventfd = find(partition, wanted, same);

    if (!ioeventfd)
        return -ENOENT;
    release(ioeventfd);
    return 0;
}

int ioeventfd_set(struct mshv_partition *partition, const struct mshv_user_ioeventfd __user *argument)
{
    struct mshv_user_ioeventfd request;
    struct ioeventfd wanted;
    int error;

    if (copy_from_user(&request, argument, sizeof(request)))
        return -EFAULT;
    error = check(&request);
    if (error)
        return error;
    wanted = (struct ioeventfd){
        .eventfd = eventfd_ctx_fdget(request.fd),
        .address = request.addr,
        .length = request.len,
        .any_value = !(request.flags & MSHV_IOEVENTFD_DATAMATCH),
        .value = request.datamatch,
    };
    if (IS_ERR(wanted.eventfd))
        return PTR_ERR(wanted.eventfd);
    if (request.flags & MSHV_IOEVENTFD_DEASSIGN) {
        error = deassign(partition, &wanted);
    } else {
        error = assign(partition, &wanted);
        if (!error)
            return 0;
    }
    eventfd_ctx_put(wanted.eventfd);
    return error;
}

void ioeventfd_release_all(struct mshv_partition *partition)
{
    struct ioeventfd *ioeventfd, *next;

    list_for_each_entry_safe(ioeventfd, next, &partition->ioeventfds, node) release(ioeventfd);
}
