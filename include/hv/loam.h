/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Loam's own extension of the interface, between the hypervisor and the driver of the same release. Documented in
 * docs/private-interface.md. The driver refuses a hypervisor whose LOAM_INTERFACE_VERSION differs.
 */
#ifndef HV_LOAM_H
#define HV_LOAM_H

#include "hypercall.h"

#define LOAM_INTERFACE_VERSION 1u

/*
 * CPUID leaf by which a parent finds Loam: EAX is the highest leaf, EBX, ECX and EDX are "LoamLoamLoam".
 * The next leaf: EAX interface version, EBX feature bits (LOAM_FEATURE_*), ECX index of this logical processor,
 * EDX number of logical processors.
 */
#define LOAM_CPUID_SIGNATURE 0x40000100u
#define LOAM_CPUID_INTERFACE 0x40000101u
#define LOAM_SIGNATURE 0x6D616F4Cu /* "Loam" */
#define LOAM_FEATURE_VMMCALL 0x1u  /* the hypercall instruction is VMMCALL; clear: VMCALL */

/* Private hypercalls, for the parent only. */
enum loam_call_code {
    LOAM_HVCALL_READ_LOG = 0xF001,       /* struct loam_input_read_log -> struct loam_output_read_log */
    LOAM_HVCALL_GET_STATISTICS = 0xF002, /* struct loam_input_get_statistics -> struct loam_output_get_statistics */
    /*
     * Ends every child partition that this parent has, of whatever earlier kernel, and gives all deposited pages
     * back to the parent's map. No input; output: struct loam_output_reclaim.
     */
    LOAM_HVCALL_RECLAIM_CHILDREN = 0xF003,
};

/* Reads the log from byte `position` (counted since boot) on. */
struct loam_input_read_log {
    uint64_t position;
    uint32_t size; /* room for text in the output, at most LOAM_LOG_CHUNK */
    uint32_t reserved;
} HV_PACKED;
HV_ASSERT_SIZE(struct loam_input_read_log, 16);

#define LOAM_LOG_CHUNK 4064u
struct loam_output_read_log {
    uint64_t position; /* where `text` really starts: later than asked if the ring has wrapped */
    uint64_t end;      /* end of the log: more follows while position + size < end */
    uint32_t size;
    uint32_t reserved[3];
    uint8_t text[LOAM_LOG_CHUNK];
} HV_PACKED;
HV_ASSERT_SIZE(struct loam_output_read_log, 4096);

struct loam_output_reclaim {
    uint32_t partitions;
    uint32_t reserved;
    uint64_t pages;
} HV_PACKED;
HV_ASSERT_SIZE(struct loam_output_reclaim, 16);

/*
 * Exit counters, one a neutral reason. Also the indexes of loam_output_get_statistics.counter.
 * The names are part of `loam host stats` and of the bench: append only.
 */
#define LOAM_EXIT_REASONS(X)                                                                                 \
    X(EXTERNAL_INTERRUPT, "external-interrupt")                                                              \
    X(NMI, "nmi")                                                                                            \
    X(KICK, "kick")                                                                                          \
    X(INTERRUPT_WINDOW, "interrupt-window")                                                                  \
    X(CPUID, "cpuid")                                                                                        \
    X(HLT, "hlt")                                                                                            \
    X(IO_PORT, "io-port")                                                                                    \
    X(MSR_READ, "msr-read")                                                                                  \
    X(MSR_WRITE, "msr-write")                                                                                \
    X(HYPERCALL, "hypercall")                                                                                \
    X(NESTED_FAULT, "nested-fault")                                                                          \
    X(APIC_ACCESS, "apic-access")                                                                            \
    X(EXCEPTION, "exception")                                                                                \
    X(CONTROL_REGISTER, "control-register")                                                                  \
    X(XSETBV, "xsetbv")                                                                                      \
    X(CACHE, "cache")                                                                                        \
    X(VIRTUALIZATION_INSTRUCTION, "virtualization-instruction")                                              \
    X(TRIPLE_FAULT, "triple-fault")                                                                          \
    X(PAUSE, "pause")                                                                                        \
    X(INVALID_STATE, "invalid-state")                                                                        \
    X(OTHER, "other")                                                                                        \
    X(TASK_SWITCH, "task-switch")

enum loam_exit_reason {
#define LOAM_EXIT_ENUM(name, text) LOAM_EXIT_##name,
    LOAM_EXIT_REASONS(LOAM_EXIT_ENUM)
#undef LOAM_EXIT_ENUM
        LOAM_EXIT_REASON_COUNT
};

/*
 * Parameter of a message UNSUPPORTED_FEATURE with HV_UNSUPPORTED_FEATURE_TASK_SWITCH_TSS: a hardware task switch
 * (SDM vol. 3A, 8.3) that the processor has begun and the VMM has to do. RIP is at the instruction, if one began it;
 * what follows the source is of the event that met a task gate, which is not delivered again, and 0 otherwise.
 */
#define LOAM_TASK_SWITCH_SELECTOR_MASK 0xFFFFull /* of the new TSS */
#define LOAM_TASK_SWITCH_SOURCE_SHIFT 16         /* 2 bits, enum loam_task_switch_source */
#define LOAM_TASK_SWITCH_LENGTH_SHIFT 18         /* 4 bits: of the instruction; 0: none began it */
#define LOAM_TASK_SWITCH_TYPE_SHIFT 22           /* 3 bits, enum hv_pending_interruption_type */
#define LOAM_TASK_SWITCH_ERROR_CODE_VALID 0x2000000ull
#define LOAM_TASK_SWITCH_EXCEPTION_SHIFT 26 /* 5 bits: the vector of an exception */
#define LOAM_TASK_SWITCH_ERROR_CODE_SHIFT 32
enum loam_task_switch_source { /* as VT-x numbers them (SDM vol. 3C, table 28-2) */
    LOAM_TASK_SWITCH_CALL = 0,
    LOAM_TASK_SWITCH_IRET = 1,
    LOAM_TASK_SWITCH_JMP = 2,
    LOAM_TASK_SWITCH_GATE = 3, /* an event, by a task gate in the IDT */
};

enum loam_statistics_type {
    LOAM_STATISTICS_HYPERVISOR = 1, /* counter[]: enum loam_hypervisor_counter */
    LOAM_STATISTICS_VP = 2,         /* counter[]: enum loam_exit_reason; the parent's own VP: partition SELF, LP index */
    LOAM_STATISTICS_PARTITION = 3,  /* counter[]: enum loam_partition_counter */
};

enum loam_hypervisor_counter {
    LOAM_COUNTER_LOGICAL_PROCESSORS,
    LOAM_COUNTER_PARTITIONS,            /* the parent included */
    LOAM_COUNTER_IMAGE_BYTES,           /* code and data of the hypervisor */
    LOAM_COUNTER_RESERVED_BYTES,        /* all memory that Loam took at boot */
    LOAM_COUNTER_TABLE_BYTES,           /* of which nested tables of the parent and frame ownership */
    LOAM_COUNTER_DEPOSITED_PAGES,       /* hidden from the parent at this moment */
    LOAM_COUNTER_HIDDEN_WRITES,         /* the parent's writes to hidden memory, answered by #GP */
    LOAM_COUNTER_SHOOT_DOWNS,
    LOAM_HYPERVISOR_COUNTER_COUNT
};

enum loam_partition_counter {
    LOAM_PARTITION_DEPOSITED_PAGES,
    LOAM_PARTITION_FREE_PAGES, /* deposited and unused */
    LOAM_PARTITION_MAPPED_PAGES,
    LOAM_PARTITION_VPS,
    LOAM_PARTITION_COUNTER_COUNT
};

struct loam_input_get_statistics {
    uint64_t partition_id;
    uint32_t type; /* enum loam_statistics_type */
    uint32_t vp_index;
} HV_PACKED;
HV_ASSERT_SIZE(struct loam_input_get_statistics, 16);

#define LOAM_STATISTICS_COUNTERS 63u
struct loam_output_get_statistics {
    uint32_t count;
    uint32_t reserved;
    uint64_t counter[LOAM_STATISTICS_COUNTERS];
} HV_PACKED;
HV_ASSERT_SIZE(struct loam_output_get_statistics, 512);

/* A set of VPs of one partition, by index: the VPs that the parent has to wake. */
struct loam_vp_set {
    uint64_t bank[HV_MAXIMUM_VPS / 64];
} HV_PACKED;

/* DISPATCH_VP always writes this whole structure; its beginning is the public one. */
#define LOAM_NO_DEADLINE (~0ull)
struct loam_output_dispatch_vp {
    struct hv_output_dispatch_vp dispatch;
    /*
     * The TSC value (as the parent reads it) at which a timer of the VP is due, or LOAM_NO_DEADLINE. The driver keeps
     * an hrtimer armed for it, whatever dispatch_state is; its interrupt ends a running dispatch.
     */
    uint64_t deadline;
    struct loam_vp_set wake; /* VPs of the same partition that became runnable during this dispatch */
} HV_PACKED;
HV_ASSERT_SIZE(struct loam_output_dispatch_vp, 48);

/* ASSERT_VIRTUAL_INTERRUPT writes it if the caller gives an output page (R8 not 0). */
struct loam_output_assert_virtual_interrupt {
    struct loam_vp_set wake;
} HV_PACKED;
HV_ASSERT_SIZE(struct loam_output_assert_virtual_interrupt, 32);

/* Private partition properties. */
enum loam_partition_property_code {
    /*
     * 1: level-triggered vectors set TMR and their EOI sends HVMSG_X64_APIC_EOI (the worker's IOAPIC needs it).
     * 0, the default: they are treated as edges, which QEMU's IOAPIC needs.
     */
    LOAM_PARTITION_PROPERTY_APIC_EOI_MESSAGES = 0x000F0001,
    /* The TSC's frequency in Hz is HV_PARTITION_PROPERTY_PROCESSOR_CLOCK_FREQUENCY; this is the APIC timer's. */
    LOAM_PARTITION_PROPERTY_APIC_FREQUENCY = 0x000F0002,
};

#endif
