/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A hypervisor in place of the real one (drivers/linux/hypervisor.h), so that the driver can be tested in any
 * kernel, without Loam: it keeps partitions, deposits, maps and VPs as plain state, strictly as the ABI says,
 * and interprets the few real-mode instructions of the test guests. It is asked for memory and continues
 * calls as awkwardly as the ABI allows, and fails calls on demand.
 */
#ifndef TESTS_FAKE_HYPERVISOR_H
#define TESTS_FAKE_HYPERVISOR_H

#include <linux/types.h>
#include <linux/xarray.h>

#include "hv/hypercall.h"
#include "hv/loam.h"
#include "hv/message.h"
#include "hv/registers.h"
#include "hv/status.h"

#define FAKE_PARTITIONS 64
#define FAKE_VPS        8
#define FAKE_PROPERTIES 8
#define FAKE_ACCESSED   XA_MARK_0
#define FAKE_DIRTY      XA_MARK_1

struct fake_vp {
    bool blocked; /* as last reported to the parent: the next event that makes it runnable wakes it */
    bool halted;  /* HLT */
    bool waits_for_startup; /* no SIPI yet */
    bool intercept_suspended;
    bool shadow; /* the instruction after STI */
    u64 gpr[16];
    u64 rip;
    u64 rflags;
    struct hv_x64_segment_register segment[8]; /* ES CS SS DS FS GS LDTR TR */
    u64 irr[4];
    u8 timer_vector;
    u64 deadline;
    u64 told_deadline;
    struct hv_vp_register_page *register_page;
    struct hv_message *message;
    u8 lapic[sizeof(struct hv_local_interrupt_controller_state)];
    u8 xsave[4096];
};

enum fake_partition_state { FAKE_UNUSED, FAKE_CREATED, FAKE_ACTIVE, FAKE_FINALIZED };

struct fake_partition {
    enum fake_partition_state state;
    u64 id;
    u32 first_free; /* list of deposited frames, linked by their numbers; 0: none */
    u32 deposited;  /* frames */
    u32 used;       /* of them, for tables and VPs */
    u32 mapped_pages;
    u32 mappings;      /* since creation; every 512th needs a table */
    struct xarray gpa; /* guest pfn -> xa_mk_value(parent pfn << 4 | permissions), with the marks below */
    bool tracks;       /* accessed and dirty pages, which takes a frame more */
    struct {
        u32 code;
        u64 value;
    } property[FAKE_PROPERTIES];
    struct fake_vp *vps[FAKE_VPS];
};

/*
 * All under the fake's lock. A dispatch enters the VP once, which is when its timers are looked at, and then
 * runs it for some instructions at a time: true if it could go on. VPs that the parent has to wake are added
 * to output->wake and `wake`.
 */
void fake_guest_enter(struct fake_vp *vp);
bool fake_guest_run(struct fake_partition *partition, u32 index, struct loam_output_dispatch_vp *output);
void fake_guest_interrupt(struct fake_partition *partition, u32 index, u8 vector, struct loam_vp_set *wake);

/* To be called before and after the parent looks at or changes registers: the register page's dirty rules. */
void fake_guest_load_page(struct fake_vp *vp);
void fake_guest_store_page(struct fake_vp *vp);

#define FAKE_TSC() rdtsc_ordered()

#endif
