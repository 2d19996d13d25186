/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The seam between the worker and what runs its partition: /dev/mshv (mshv.c), or a script in tests. One
 * partition an object. Functions return 0 or a negative errno; the structures are the driver's own
 * (uapi/mshv.h).
 */
#ifndef WORKER_HYPERVISOR_H
#define WORKER_HYPERVISOR_H

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include "uapi/mshv.h"

struct hypervisor;

/* Shared with the hypervisor for as long as the VP exists; it changes them only while the VP runs. */
struct vp_pages {
    struct hv_vp_register_page *registers;
    const struct hv_message *message;
};

struct hypervisor_operations {
    int (*create_partition)(struct hypervisor *hypervisor, uint64_t flags);
    int (*initialize_partition)(struct hypervisor *hypervisor);
    /* By which other programs of the parent can ask the hypervisor about the partition. */
    int (*partition_id)(struct hypervisor *hypervisor, uint64_t *id);
    int (*set_memory)(struct hypervisor *hypervisor, const struct mshv_user_mem_region *region);
    /*
     * Which of `count` pages from guest page `first` on the guest has written: a bit a page in `bitmap`, which
     * is filled up to whole words. `operation`: the bits are then cleared, or set, or left as they are. Writes
     * by the VMM's own mapping do not count, nor do those of memory that has been unmapped. From any thread,
     * also while VPs run. After an error bits that were cleared may be lost: all pages may have been written.
     */
    int (*written_pages)(struct hypervisor *hypervisor, uint64_t first, uint64_t count,
                         enum mshv_gpap_access_op operation, uint64_t *bitmap);
    /* A hypercall on the partition, from any thread. call->status and call->reps are filled in also on
     * failure. */
    int (*call)(struct hypervisor *hypervisor, struct mshv_root_hvcall *call);
    int (*create_vp)(struct hypervisor *hypervisor, uint32_t index, struct vp_pages *pages);
    /*
     * Runs the VP until there is a message in its page. -EINTR: *attention is not 0, or the thread was
     * kicked. From one thread.
     */
    int (*run_vp)(struct hypervisor *hypervisor, uint32_t index, const atomic_uint *attention);
    /*
     * Makes `thread`, which calls run_vp for this VP, return from it with -EINTR, or not enter it if it is
     * about to. The caller has made *attention non-zero before.
     */
    void (*kick_vp)(struct hypervisor *hypervisor, uint32_t index, pthread_t thread);
    /* `page` is one aligned page. From the thread that calls run_vp, or before there is one. */
    int (*get_vp_state)(struct hypervisor *hypervisor, uint32_t index, enum mshv_vp_state_type type,
                        void *page);
    int (*set_vp_state)(struct hypervisor *hypervisor, uint32_t index, enum mshv_vp_state_type type,
                        void *page);
};

struct hypervisor {
    const struct hypervisor_operations *operations;
};

#endif
