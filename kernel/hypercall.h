/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Hypercalls of the parent (TLFS chapter 3; layouts in hv/hypercall.h, hv/loam.h). kernel/hypercall_table.c
 * lists them; hypercall.c checks the control word, copies the input once, finds target partition and VP,
 * calls the handler, and copies the output once. Handlers see private copies only.
 */
#ifndef KERNEL_HYPERCALL_H
#define KERNEL_HYPERCALL_H

#include "hv/hypercall.h"
#include "hv/loam.h"
#include "hv/status.h"

struct lp;
struct partition;
struct vp;

/* About how many instructions a handler may spend before it lets the parent take its interrupts. */
#define HYPERCALL_BUDGET 36000u

struct hypercall {
    struct vp *caller;
    struct partition *partition; /* the target, referenced; NULL: the call names none */
    struct vp *vp;               /* the target VP, claimed; NULL: the call names none */
    /* Private pages. What a handler writes behind its fixed output is not the caller's; it may use both as scratch. */
    void *input;
    void *output;
    uint32_t variable_size; /* bytes of variable header, behind the fixed input */
    uint32_t rep_start;
    uint32_t rep_count;
    uint32_t reps_done; /* from rep_start on; a handler that stops at fewer than rep_count with SUCCESS is
                           called again */
    uint32_t budget;    /* instructions left */
    bool wants_output;  /* the caller gave an output address */
    bool repeat;        /* not a rep call and not finished: to be called again, with progress kept in the partition */
};

/* False: that much is not left in the budget. */
static inline bool hypercall_spend(struct hypercall *call, uint32_t instructions)
{
    if (call->budget < instructions)
        return false;
    call->budget -= instructions;
    return true;
}

typedef enum hv_status (*hypercall_handler)(struct hypercall *call);

enum hypercall_target {
    TARGET_NONE,  /* the input begins with something else */
    TARGET_CHILD, /* it begins with the id of a child partition */
    TARGET_ANY,   /* of a child or the parent */
};

enum hypercall_vp {
    VP_NOT_NAMED,
    VP_CLAIMED, /* the input has a VP index at offset 8; the VP is the handler's until it returns */
    VP_READ,    /* the same, and what the parent changed in the register page is loaded first */
    VP_WRITTEN, /* the same, and a valid register page is filled again afterwards */
};

/* Bits 1 << enum partition_state; the parent counts as active. */
#define IN_CREATED    (1u << PARTITION_CREATED)
#define IN_ACTIVE     (1u << PARTITION_ACTIVE)
#define IN_FINALIZING (1u << PARTITION_FINALIZING)
#define IN_FINALIZED  (1u << PARTITION_FINALIZED)
#define IN_ANY_STATE  (IN_CREATED | IN_ACTIVE | IN_FINALIZING | IN_FINALIZED)

struct hypercall_entry {
    hypercall_handler handler;
    uint16_t input; /* sizes in bytes, without elements */
    uint16_t output;
    uint16_t rep_input; /* of one element */
    uint16_t rep_output;
    uint8_t target; /* enum hypercall_target */
    uint8_t states; /* of the target partition in which the call is served; else INVALID_PARTITION_STATE */
    uint8_t vp;     /* enum hypercall_vp */
    bool rep;
    bool locked;          /* the handler runs under the target partition's lock */
    bool variable;        /* may have a variable header */
    bool optional_output; /* the caller may leave out the output address */
};

/* NULL: no such call. */
const struct hypercall_entry *hypercall_find(uint16_t code);

/* Gives the processor its buffers; at boot. */
void hypercall_initialize(struct lp *lp);

/*
 * Serves the hypercall that the parent's VP is at: RCX, RDX, R8 in, RAX out. The caller has checked CPL 0 and
 * protected mode. True: done, RIP is to be moved behind the instruction. False: not finished; the VP executes
 * the instruction again, after its interrupts.
 */
bool hypercall_dispatch(struct vp *parent_vp);

/* partition.c */
enum hv_status hypercall_create_partition(struct hypercall *call);
enum hv_status hypercall_initialize_partition(struct hypercall *call);
enum hv_status hypercall_finalize_partition(struct hypercall *call);
enum hv_status hypercall_delete_partition(struct hypercall *call);
enum hv_status hypercall_get_partition_id(struct hypercall *call);
/* property.c */
enum hv_status hypercall_get_partition_property(struct hypercall *call);
enum hv_status hypercall_set_partition_property(struct hypercall *call);
/* deposit.c */
enum hv_status hypercall_deposit_memory(struct hypercall *call);
enum hv_status hypercall_withdraw_memory(struct hypercall *call);
/* gpa_map.c */
enum hv_status hypercall_map_gpa_pages(struct hypercall *call);
enum hv_status hypercall_unmap_gpa_pages(struct hypercall *call);
enum hv_status hypercall_get_gpa_pages_access_states(struct hypercall *call);
/* vp.c */
enum hv_status hypercall_create_vp(struct hypercall *call);
enum hv_status hypercall_delete_vp(struct hypercall *call);
/* registers.c */
enum hv_status hypercall_get_vp_registers(struct hypercall *call);
enum hv_status hypercall_set_vp_registers(struct hypercall *call);
/* translate.c */
enum hv_status hypercall_translate_virtual_address(struct hypercall *call);
/* cpuid_result.c */
enum hv_status hypercall_register_intercept_result(struct hypercall *call);
enum hv_status hypercall_get_vp_cpuid_values(struct hypercall *call);
/* assert_interrupt.c */
enum hv_status hypercall_assert_virtual_interrupt(struct hypercall *call);
/* state_page.c */
enum hv_status hypercall_map_vp_state_page(struct hypercall *call);
enum hv_status hypercall_unmap_vp_state_page(struct hypercall *call);
/* vp_state.c */
enum hv_status hypercall_get_vp_state(struct hypercall *call);
enum hv_status hypercall_set_vp_state(struct hypercall *call);
/* dispatch.c */
enum hv_status hypercall_dispatch_vp(struct hypercall *call);
/* statistics.c */
enum hv_status hypercall_read_log(struct hypercall *call);
enum hv_status hypercall_get_statistics(struct hypercall *call);
/* reclaim.c */
enum hv_status hypercall_reclaim_children(struct hypercall *call);

#endif
