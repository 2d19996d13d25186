/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The hypervisor behind /dev/mshv. */
#ifndef WORKER_MSHV_H
#define WORKER_MSHV_H

#include "hv/hypercall.h"
#include "partitions/root/worker/hypervisor.h"

struct mshv {
    struct hypervisor hypervisor;
    int device;    /* -1: closed */
    int partition; /* -1: none yet */
    struct {
        int descriptor;
        struct vp_pages pages;
    } vps[HV_MAXIMUM_VPS];
    uint32_t vp_count;
};

/*
 * Opens the device and installs the handler of the signal that kicks VPs (SIGUSR1: to be blocked in every
 * thread but those that run VPs). 0 or a negative errno.
 */
int mshv_open(struct mshv *mshv, const char *device_path);

/* Ends the partition: everything it has goes back to the parent. No thread may be in run_vp. */
void mshv_close(struct mshv *mshv);

#endif
