/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A partition with VPs and a processor on the host, for tests of what lies between kernel/ and the hardware:
 * an arena as physical memory, a flat table as nested map, a vendor whose registers are an array, MSRs and
 * CPUID of the test's choice.
 */
#ifndef TESTS_FAKE_GUEST_H
#define TESTS_FAKE_GUEST_H

#include "arch/x86_64/cpu/extended_state.h"
#include "kernel/arch.h"
#include "kernel/partition.h"
#include "kernel/vp.h"

#define FAKE_ARENA_PAGES 1024u /* SPA 0 to 4 MiB */
#define FAKE_GUEST_PAGES 512u  /* GPA 0 to 2 MiB: pages from FAKE_GUEST_SPA on unless changed */
#define FAKE_GUEST_SPA   0x100000ull
#define FAKE_LPS         4u
#define FAKE_MSRS        64u

extern uint8_t fake_arena[FAKE_ARENA_PAGES * HV_PAGE_SIZE];

struct fake_page {
    uint64_t spa;
    uint32_t access; /* HV_MAP_GPA_*; 0: unmapped, unless no_access */
    bool no_access;
};
extern struct fake_page fake_pages[FAKE_GUEST_PAGES];
extern bool fake_dirty[FAKE_GUEST_PAGES]; /* nested_set_dirty */

extern struct partition fake_partition;
extern uint64_t fake_tsc;
extern unsigned fake_address_bits;
/* Kicks by LP. */
extern unsigned fake_kicks[FAKE_LPS];
/* guest_memory_begin without its end: must be 0 whenever the code under test returns. */
extern int fake_guest_memory_depth;
extern unsigned fake_nested_lookups;
extern struct frame *fake_frame; /* of every page; NULL: the machine knows no RAM, only memory of the firmware's */

/* `count` VPs 0.., all reset, in a partition whose pages are all mapped; the test plays LP 0. */
void fake_guest_start(unsigned count);
void fake_guest_stop(void);
struct vp *fake_vp(unsigned index);
void fake_become(unsigned lp);

/* The host's memory behind a GPA. */
uint8_t *fake_gpa(uint64_t gpa);

/* A vendor register and segment of a VP, directly. */
uint64_t *fake_register(struct vp *vp, enum vp_register name);
struct hv_x64_segment_register *fake_segment(struct vp *vp, enum vp_segment name);

/* CPUID of the machine: leaves not set here are zeros. */
void fake_cpuid_set(uint32_t leaf, uint32_t subleaf, uint32_t eax, uint32_t ebx, uint32_t ecx, uint32_t edx);
void fake_cpuid_clear(void);
/* Takes the leaves that matter from the processor that the test runs on. */
void fake_cpuid_copy_host(void);

/* MSRs of the machine. One that was not set raises #GP. fake_msr_writes counts WRMSR. */
void fake_msr_set(uint32_t msr, uint64_t value);
uint64_t fake_msr_get(uint32_t msr);
void fake_msr_clear(void);
unsigned fake_msr_writes(uint32_t msr);

extern uint64_t fake_xcr0;
extern unsigned fake_xsetbvs;
extern uint64_t fake_debug_registers[8];
extern unsigned fake_verws;
struct lp_extended_state *fake_lp_state(unsigned lp);

#endif
