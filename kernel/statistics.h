/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Numbers about the hypervisor itself that only launch code knows. */
#ifndef KERNEL_STATISTICS_H
#define KERNEL_STATISTICS_H

#include "hv/types.h"

/* In bytes; filled once at boot. */
struct hypervisor_size {
    uint64_t image;    /* code and data */
    uint64_t reserved; /* all memory that Loam took at boot */
    uint64_t tables;   /* of which the parent's nested tables and the frames' owners: boot_memory_seal() */
};
extern struct hypervisor_size hypervisor_size;

#endif
