/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the loader tells the hypervisor, and the layout that both agree on. */
#ifndef BOOT_BOOT_INFORMATION_H
#define BOOT_BOOT_INFORMATION_H

#include "hv/types.h"
#include "kernel/boot_memory.h"

/* Virtual addresses of the hypervisor. */
#define LOAM_DIRECT_MAP 0xFFFF800000000000ull /* physical address 0: RAM and the local APIC's page */
#define LOAM_IMAGE_BASE 0xFFFFFFFF80000000ull
#define LOAM_STACKS     0xFFFFFFFFA0000000ull
#define LOAM_APIC_PAGE  0xFFFFFFFFC0000000ull /* the xAPIC's registers, uncached */

/* The direct map reaches up to the stacks' top-level slot. */
#define LOAM_DIRECT_MAP_SIZE (0x7F8000000000ull)

/* Per processor, in 4 KiB pages: a hole, two pages of stack, a hole, the page for double faults and machine checks. */
#define LOAM_STACK_STRIDE    0x8000ull
#define LOAM_STACK_TOP       0x3000ull
#define LOAM_FAULT_STACK_TOP 0x5000ull
#define LOAM_STACK_PAGES     3u

#define LOAM_MAXIMUM_PROCESSORS 512u
#define LOAM_MAXIMUM_RANGES     128u

/*
 * Pages of Loam's memory that each processor needs besides its stacks: the processor itself, its parent VP, the
 * vendor's control blocks and host areas, hypercall input and output, extended state.
 */
#define LOAM_PROCESSOR_PAGES 9u

struct boot_information {
    uint64_t region; /* Loam's memory: 2 MiB aligned, below 4 GiB, the image at its beginning; whole pages */
    uint64_t region_size;
    uint64_t free;       /* the first byte of it that is not used yet */
    uint64_t low_page;   /* see low_page.asm */
    uint64_t root_table; /* CR3 */
    uint64_t tsc_frequency;
    uint32_t processors; /* most that this machine can have */
    uint32_t panic_seconds;
    uint32_t log_level;
    uint16_t serial_port; /* 0: none */
    uint16_t reset_port;  /* ACPI reset register if it is an I/O port, else 0 */
    uint8_t reset_value;
    uint8_t reserved[3];
    uint32_t apic_id_count;
    uint32_t apic_ids[LOAM_MAXIMUM_PROCESSORS]; /* by the firmware's tables; empty if it has none */
    uint32_t range_count;
    uint32_t mapped_count;
    struct memory_range ranges[LOAM_MAXIMUM_RANGES]; /* RAM, Loam's own included; normalized */
    /*
     * What the direct map reaches: RAM and what the firmware keeps for itself, where its processors may wait. All else
     * is registers.
     */
    struct memory_range mapped[LOAM_MAXIMUM_RANGES];
};

/* Begins the image. Offsets are from the image's base. */
#define LOAM_IMAGE_MAGIC 0x214D414F4C21ull
struct image_header {
    uint64_t magic;
    uint64_t text_end;
    uint64_t rodata_end;
    uint64_t file_end;
    uint64_t image_end;
    uint64_t low_page_template; /* 4096 bytes */
    uint64_t entry;             /* address of loam_entry */
};

/*
 * Fields of the low page that the loader fills (see low_page.asm for the code around them). The page lies below 1 MiB
 * and is mapped at its own address in Loam's tables.
 */
#define LOW_PAGE_CALL   0x400 /* offset of the code that enters the hypervisor from the firmware */
#define LOW_PAGE_FIELDS 0xF00
struct low_page_fields {
    uint64_t root_table;
    uint64_t entry;
    uint64_t stacks;
    uint32_t next_index; /* atomic: the next processor's index */
    uint32_t processors;
    uint64_t root_table5; /* the same tables below a fifth level, for firmware that runs with CR4.LA57 */
    uint64_t context;     /* of the processor that is entering; one at a time */
    uint32_t index;
    uint32_t operation;
} HV_PACKED;
HV_ASSERT_OFFSET(struct low_page_fields, operation, 52);
HV_ASSERT_OFFSET(struct low_page_fields, next_index, 24);
HV_ASSERT_OFFSET(struct low_page_fields, root_table5, 32);

/* The firmware's state on one processor. Offsets are used by launch.asm and low_page.asm. */
struct launch_context {
    uint64_t rsp, rip, rflags;                 /* 0 8 16 */
    uint64_t cr0, cr3, cr4, efer;              /* 24 32 40 48 */
    uint64_t dr6, dr7;                         /* 56 64 */
    uint16_t cs, ss, ds, es, fs, gs, tr, ldtr; /* 72 .. 86 */
    uint16_t gdtr_limit;                       /* 88 */
    uint64_t gdtr_base;                        /* 90 */
    uint16_t idtr_limit;                       /* 98 */
    uint64_t idtr_base;                        /* 100 */
    uint32_t operation;                        /* 108: enum launch_operation */
    uint32_t index;                            /* 112: processor */
    uint32_t result;                           /* 116 */
    struct boot_information *information;      /* 120 */
} HV_PACKED;
HV_ASSERT_OFFSET(struct launch_context, dr7, 64);
HV_ASSERT_OFFSET(struct launch_context, gdtr_limit, 88);
HV_ASSERT_OFFSET(struct launch_context, operation, 108);
HV_ASSERT_OFFSET(struct launch_context, information, 120);

enum launch_operation {
    LAUNCH_INITIALIZE, /* prepares everything and returns: result 0, or a text's offset in the image */
    LAUNCH_PROCESSOR,  /* the caller goes on as the parent's VP */
    LAUNCH_SIPI,       /* from the real-mode trampoline: no firmware state */
};

#endif
