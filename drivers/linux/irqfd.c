// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * An irqfd waits on its eventfd like a reader, but acts in the waker's context. It ends in two steps, since
 * that context can neither sleep nor take itself off the eventfd: whoever takes it off mshv_partition.irqfds
 * (detaching, the partition's end, or the eventfd's own end) queues its work item, and that frees it.
 */
#include <linux/err.h>
#include <linux/eventfd.h>
#include <linux/file.h>
#include <linux/poll.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#include "interrupt.h"
#include "irqfd.h"
#include "routing.h"

struct irqfd {
    struct mshv_partition *partition;
    struct eventfd_ctx *eventfd;
    u32 gsi;
    wait_queue_entry_t wait; /* on the eventfd */
    poll_table poll;
    struct list_head node; /* mshv_partition.irqfds, under its irqfd_lock; empty once it is taken off */
    struct work_struct end;
};

static struct workqueue_struct *end_queue;

static void inject(struct irqfd *irqfd)
{
    struct hv_input_assert_virtual_interrupt interrupt;

    if (!routing_find(irqfd->partition, irqfd->gsi, &interrupt))
        return;
    interrupt.partition_id = irqfd->partition->id;
    interrupt_assert(irqfd->partition, &interrupt);
}

static void end_work(struct work_struct *work)
{
    struct irqfd *irqfd = container_of(work, struct irqfd, end);
    u64 count;

    /* Takes the eventfd's lock, so that a wake-up under way has ended after it. */
    eventfd_ctx_remove_wait_queue(irqfd->eventfd, &irqfd->wait, &count);
    eventfd_ctx_put(irqfd->eventfd);
    kfree(irqfd);
}

/* partition->irqfd_lock is held. */
static void take_off(struct irqfd *irqfd)
{
    if (list_empty(&irqfd->node))
        return;
    list_del_init(&irqfd->node);
    queue_work(end_queue, &irqfd->end);
}

/* The eventfd is signalled or at its end. Its wait queue is locked, interrupts are off. */
static int eventfd_woken(wait_queue_entry_t *wait, unsigned int mode, int sync, void *key)
{
    struct irqfd *irqfd = container_of(wait, struct irqfd, wait);
    __poll_t events = key_to_poll(key);
    int consumed = 0;

    if (events & EPOLLIN) {
        u64 count;

        eventfd_ctx_do_read(irqfd->eventfd, &count);
        inject(irqfd);
        consumed = 1;
    }
    if (events & EPOLLHUP) {
        unsigned long flags;

        spin_lock_irqsave(&irqfd->partition->irqfd_lock, flags);
        take_off(irqfd);
        spin_unlock_irqrestore(&irqfd->partition->irqfd_lock, flags);
    }
    return consumed;
}

static void join_wait_queue(struct file *file, wait_queue_head_t *queue, poll_table *poll)
{
    struct irqfd *irqfd = container_of(poll, struct irqfd, poll);

    add_wait_queue_priority(queue, &irqfd->wait);
}

static struct irqfd *find(struct mshv_partition *partition, const struct eventfd_ctx *eventfd)
{
    struct irqfd *irqfd;

    list_for_each_entry(irqfd, &partition->irqfds, node) if (irqfd->eventfd == eventfd) return irqfd;
    return NULL;
}

/* False: the eventfd is attached already. */
static bool add(struct mshv_partition *partition, struct irqfd *irqfd)
{
    bool added = false;

    spin_lock_irq(&partition->irqfd_lock);
    if (!find(partition, irqfd->eventfd)) {
        list_add(&irqfd->node, &partition->irqfds);
        added = true;
    }
    spin_unlock_irq(&partition->irqfd_lock);
    return added;
}

/* `file` is the eventfd's and open during the call, so that it cannot end before it is polled. */
static int attach(struct mshv_partition *partition, struct file *file, u32 gsi)
{
    struct irqfd *irqfd = kzalloc(sizeof(*irqfd), GFP_KERNEL_ACCOUNT);

    if (!irqfd)
        return -ENOMEM;
    irqfd->partition = partition;
    irqfd->gsi = gsi;
    irqfd->eventfd = eventfd_ctx_fileget(file);
    INIT_LIST_HEAD(&irqfd->node);
    INIT_WORK(&irqfd->end, end_work);
    init_waitqueue_func_entry(&irqfd->wait, eventfd_woken);
    init_poll_funcptr(&irqfd->poll, join_wait_queue);
    if (!add(partition, irqfd)) {
        eventfd_ctx_put(irqfd->eventfd);
        kfree(irqfd);
        return -EBUSY;
    }
    if (vfs_poll(file, &irqfd->poll) & EPOLLIN)
        inject(irqfd);
    return 0;
}

static void detach(struct mshv_partition *partition, struct file *file, u32 gsi)
{
    struct eventfd_ctx *eventfd = eventfd_ctx_fileget(file);
    struct irqfd *irqfd;

    spin_lock_irq(&partition->irqfd_lock);
    irqfd = find(partition, eventfd);
    if (irqfd && irqfd->gsi == gsi)
        take_off(irqfd);
    spin_unlock_irq(&partition->irqfd_lock);
    eventfd_ctx_put(eventfd);
    flush_workqueue(end_queue);
}

int irqfd_set(struct mshv_partition *partition, const struct mshv_user_irqfd __user *argument)
{
    struct mshv_user_irqfd request;
    struct file *file;
    int error = 0;

    if (copy_from_user(&request, argument, sizeof(request)))
        return -EFAULT;
    if (request.flags & ~(MSHV_IRQFD_DEASSIGN | MSHV_IRQFD_RESAMPLE) || request.gsi >= MSHV_MAX_GUEST_IRQS)
        return -EINVAL;
    if (request.flags == MSHV_IRQFD_RESAMPLE)
        return -EINVAL;
    file = eventfd_fget(request.fd);
    if (IS_ERR(file))
        return PTR_ERR(file);
    if (request.flags & MSHV_IRQFD_DEASSIGN)
        detach(partition, file, request.gsi);
    else
        error = attach(partition, file, request.gsi);
    fput(file);
    return error;
}

void irqfd_release_all(struct mshv_partition *partition)
{
    struct irqfd *irqfd, *next;

    spin_lock_irq(&partition->irqfd_lock);
    list_for_each_entry_safe(irqfd, next, &partition->irqfds, node) take_off(irqfd);
    spin_unlock_irq(&partition->irqfd_lock);
    flush_workqueue(end_queue);
}

int irqfd_prepare(void)
{
    end_queue = alloc_workqueue("mshv_irqfd", WQ_UNBOUND, 0);
    return end_queue ? 0 : -ENOMEM;
}

void irqfd_release(void)
{
    destroy_workqueue(end_queue);
}
