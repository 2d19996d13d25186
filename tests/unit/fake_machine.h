/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A machine on the host for tests of kernel/: an arena as physical memory, logical processors that are only
 * structures, an architecture that is simple, and a vendor whose guests are functions of the test.
 */
#ifndef TESTS_FAKE_MACHINE_H
#define TESTS_FAKE_MACHINE_H

#include "kernel/arch.h"
#include "kernel/boot_memory.h"
#include "kernel/lp.h"
#include "kernel/vp.h"

#define FAKE_ADDRESS_BITS 40
#define FAKE_MEMORY_SIZE  (64ull << 20)
#define FAKE_OWN_PFN      0x3000ull /* Loam's own: from 48 MiB on, not 2 MiB aligned at its end */
#define FAKE_OWN_PAGES    0x501ull
#define FAKE_LP_MAXIMUM   4u
/* The fake clock advances by FAKE_TSC_STEP at each reading. */
#define FAKE_TSC_FREQUENCY 1000000000ull
#define FAKE_TSC_STEP      10ull
/* CR4 bit that the fake CPUID shows in leaf 1, ECX bit 27, as the real one does. */
#define FAKE_CR4_OSXSAVE (1ull << 18)
/* What children may have of CR4. */
#define FAKE_CR4_BITS 0x3507FFull
#define FAKE_RFLAGS_IF   0x200ull
#define FAKE_MSR_UNKNOWN 0x1234u
/* Length that the fake architecture gives to every instruction whose exit does not say. */
#define FAKE_INSTRUCTION_LENGTH 2u

/* RAM that the parent sees: 0-0x9EFFF and 1 MiB to the end. */
extern const struct memory_range fake_ram[2];

/* Memory types of the parent by address, the same from FAKE_TYPES_END on; NULL: write-back. What load_types
 * says. */
extern enum memory_type (*fake_memory_type)(uint64_t spa);
extern uint64_t fake_types_first, fake_types_end;
#define FAKE_TYPES_END (2ull << 30)

/* A machine just after boot: frames, the parent's map, `lps` processors with a parent VP each, no children.
 */
void fake_machine_start(unsigned lps, bool has_1g_pages);
void fake_machine_stop(void);

/* The processor that the test, or this thread of it, plays. */
void fake_machine_become(unsigned lp);

/* Called instead of a guest: fills *exit, may change the VP. NULL: an EXTERNAL_INTERRUPT exit at once. */
extern void (*fake_guest)(struct vp *vp, struct vp_exit *exit);
/* Called for lp_kick. */
extern void (*fake_kick)(uint32_t lp_index);
/* Called by lp_current, at many places in the core: what other processors do just then. Not called from
 * within. */
extern void (*fake_meanwhile)(void);
/* Called by arch_pause: what other processors do while this one waits. */
extern void (*fake_elsewhere)(void);

/* What the fake vendor saw last. */
struct fake_vendor_record {
    unsigned runs;
    unsigned flushes;
    uint64_t injected; /* event of the last entry */
    bool window;       /* an interrupt window was wanted at the last entry */
    const struct vp *child; /* whose registers that no entry loads are in the processor */
};
extern _Thread_local struct fake_vendor_record fake_vendor_record;
/* Given by interrupted_event once. */
extern _Thread_local uint64_t fake_interrupted_event;
extern uint64_t fake_tsc;
/* The next NMI exit is a kick. */
extern _Thread_local bool fake_nmi_is_kick;
/* extended_state_enter minus extended_state_leave. */
extern _Thread_local int fake_extended_state_entered;

/* Large leaves may be executable; the processor sets accessed and dirty bits. True at the start. */
extern bool fake_large_execute, fake_sets_accessed;
/* Where these are: as in EPT, where what is not present has another meaning for dirty. */
#define FAKE_ACCESSED_SHIFT 8

/* Translation of the parent's map, by the fake nested format. False: not present. */
bool fake_parent_translate(uint64_t gpa, uint64_t *spa, bool *writable);
/* The type in its leaf, and the leaf's size. */
enum memory_type fake_parent_type(uint64_t gpa, unsigned *shift);
/* A copy of the parent's whole map below FAKE_MEMORY_SIZE, leaf by leaf with its size, to compare (free()
 * it). */
uint64_t *fake_parent_map_copy(size_t *count);

#endif
