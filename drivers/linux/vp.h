/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A virtual processor and its file. It belongs to its partition and is freed with it, not with its file. */
#ifndef DRIVER_VP_H
#define DRIVER_VP_H

#include <linux/hrtimer.h>
#include <linux/mutex.h>
#include <linux/rcuwait.h>
#include <linux/types.h>

#include "hv/loam.h"
#include "hv/message.h"
#include "uapi/mshv.h"
#include "partition.h"

/* DISPATCH_VP's input and output, in place for every dispatch of the VP. */
struct dispatch_block {
    struct hv_input_dispatch_vp input;
    struct loam_output_dispatch_vp output;
} __aligned(128); /* a power of two: kmalloc aligns it, so it does not cross a page */

struct mshv_vp {
    struct mshv_partition *partition;
    u32 index;
    struct mutex mutex;

    /* Pages shared with the hypervisor and, by mmap, with the VMM, which may write them at any time. */
    void *register_page;
    struct hv_message *intercept_page;

    struct call_pages calls;         /* mutex; for slow hypercalls about this VP */
    struct dispatch_block *dispatch; /* mutex; input.flags is kept ready for the next dispatch */
    u64 deadline; /* mutex; TSC value at which a timer of the VP is due, or LOAM_NO_DEADLINE */

    /*
     * The TSC value that `timer` waits for, or LOAM_NO_DEADLINE: set under the mutex when it is started, and
     * by the timer itself when it fires.
     */
    u64 armed;
    struct hrtimer timer;
    bool woken; /* set by anyone, cleared before each dispatch: ends or prevents the wait in `wait` */
    struct rcuwait wait;    /* the thread that waits for the VP to become runnable */
    int dispatch_processor; /* the logical processor that dispatches the VP at this moment, or -1 */
};

/* MSHV_CREATE_VP: a file descriptor, or -EINVAL, -EEXIST, -EFAULT, -ENOMEM, the errno of a hypercall. */
int vp_create(struct mshv_partition *partition, const struct mshv_create_vp __user *argument);

/* The VP's end, in this order, when no thread can run it; the last after its partition is finalized. */
void vp_stop_timer(struct mshv_vp *vp);
void vp_unmap_state_pages(struct mshv_vp *vp);
void vp_free(struct mshv_vp *vp);

/* Makes the VP's thread look again whether the VP can run, if it waits for that or will. Any context. */
void vp_wake(struct mshv_vp *vp);

/* The same, and ends a dispatch that goes on elsewhere. True: there is one. Any context. */
bool vp_kick(struct mshv_vp *vp);

#endif
