/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VP registers by their TLFS names. No value is checked against another register: VMMs write them one by one,
 * through combinations that would not be valid together; the processor checks at the VP's next entry.
 */
#include <string.h>

#include "kernel/arch.h"
#include "kernel/hypercall.h"
#include "kernel/interrupt.h"
#include "kernel/partition.h"
#include "kernel/registers.h"
#include "kernel/vp.h"

/* Bits that RFLAGS has; bit 1 is always set. */
#define RFLAGS_BITS  0x3F7FD7ull
#define RFLAGS_FIXED 0x2ull
/* MTRR_CAP: eight variable ranges, fixed ranges, write-combining. */
#define MTRR_CAPABILITIES 0x508ull
#define SYNIC_VERSION     1u
#define EXCEPTION_DEBUG   1u
#define EXCEPTION_PAGE    14u

/* The FXSAVE image (SDM vol. 1, 10.5.1). */
#define FXSAVE_FCW              0u
#define FXSAVE_FSW              2u
#define FXSAVE_FTW              4u
#define FXSAVE_FOP              6u
#define FXSAVE_FIP              8u
#define FXSAVE_FDP              16u
#define FXSAVE_MXCSR            24u
#define FXSAVE_MXCSR_MASK       28u
#define FXSAVE_ST0              32u
#define FXSAVE_XMM0             160u
#define FXSAVE_ST_SIZE          10u
#define XSAVE_LEGACY_STATES     3u
#define XSAVE_LEGACY_IMAGE_SIZE 576u

#define MSR_SPEC_CTRL 0x48u

/* What an element costs at most, about, in instructions. */
#define GET_COST 130u
#define SET_COST 420u

struct register_range {
    uint32_t first;
    uint32_t count;
    void (*get)(struct vp *vp, const struct register_range *range, unsigned index, union hv_register_value *value);
    /* False: not a value of the register. NULL: it cannot be written. */
    bool (*set)(struct vp *vp, const struct register_range *range, unsigned index,
                const union hv_register_value *value);
    uint32_t argument; /* what get and set make of it: a vendor register, an offset */
};

/* Every getter and setter has these parameters, whether it needs them or not. */
#define GET(name)                                                                                                      \
    static void get_##name(struct vp *vp, const struct register_range *range, unsigned index,                          \
                           union hv_register_value *value)
#define SET(name)                                                                                                      \
    static bool set_##name(struct vp *vp, const struct register_range *range, unsigned index,                          \
                           const union hv_register_value *value)
#define UNUSED_RANGE (void)range
#define UNUSED_INDEX (void)range, (void)index
#define UNUSED_ALL   (void)vp, (void)range, (void)index

/* --- Registers that are one field --- */

/* 64-bit fields of struct vp; `argument` is the first one's offset. */
GET(field)
{
    value->low = *(uint64_t *)((uint8_t *)vp + range->argument + index * sizeof(uint64_t));
}

SET(field)
{
    *(uint64_t *)((uint8_t *)vp + range->argument + index * sizeof(uint64_t)) = value->low;
    return true;
}

/* Registers of the vendor's control block; `argument` is an enum vp_register. */
GET(vendor)
{
    value->low = vendor->get(vp, range->argument + index);
}

SET(vendor)
{
    vendor->set(vp, range->argument + index, value->low);
    return true;
}

/* The same with bits 63:32 zero. */
SET(vendor32)
{
    return value->low >> 32 == 0 && set_vendor(vp, range, index, value);
}

/* One register whose value is `argument`. */
GET(constant)
{
    (void)vp, (void)index;
    value->low = range->argument;
}

SET(zero)
{
    UNUSED_ALL;
    return value->words[0] == 0 && value->words[1] == 0;
}

/* --- Suspend and event registers --- */

GET(suspend)
{
    UNUSED_INDEX;
    value->low = *((bool *)vp + range->argument);
}

SET(suspend)
{
    (void)index;
    if (value->low > 1)
        return false;
    *((bool *)vp + range->argument) = value->low;
    return true;
}

GET(activity)
{
    UNUSED_INDEX;
    lock_acquire(&vp->interrupt_lock);
    value->low = (vp->startup_suspend ? HV_ACTIVITY_STARTUP_SUSPEND : 0) | (vp->halted ? HV_ACTIVITY_HALT_SUSPEND : 0);
    lock_release(&vp->interrupt_lock);
}

SET(activity)
{
    UNUSED_INDEX;
    if (value->low & ~(uint64_t)(HV_ACTIVITY_STARTUP_SUSPEND | HV_ACTIVITY_HALT_SUSPEND))
        return false;
    lock_acquire(&vp->interrupt_lock);
    vp->startup_suspend = value->low & HV_ACTIVITY_STARTUP_SUSPEND;
    vp->halted = value->low & HV_ACTIVITY_HALT_SUSPEND;
    lock_release(&vp->interrupt_lock);
    return true;
}

bool pending_interruption_valid(uint64_t event)
{
    static const uint8_t types = 1u << HV_INTERRUPTION_TYPE_EXTERNAL | 1u << HV_INTERRUPTION_TYPE_NMI |
                                 1u << HV_INTERRUPTION_TYPE_EXCEPTION | 1u << HV_INTERRUPTION_TYPE_SOFTWARE_INTERRUPT |
                                 1u << HV_INTERRUPTION_TYPE_PRIVILEGED_SOFTWARE_EXCEPTION |
                                 1u << HV_INTERRUPTION_TYPE_SOFTWARE_EXCEPTION;
    unsigned type = hv_pending_interruption_type(event);
    unsigned vector = event >> HV_PENDING_INTERRUPTION_VECTOR_SHIFT & 0xFFFF;

    if (!(event & HV_PENDING_INTERRUPTION_PENDING))
        return event == 0;
    return (types >> type & 1) && vector <= 0xFF && (type != HV_INTERRUPTION_TYPE_EXCEPTION || vector <= 31);
}

SET(pending_interruption)
{
    UNUSED_INDEX;
    if (!pending_interruption_valid(value->low))
        return false;
    vp->pending_interruption = value->low;
    return true;
}

GET(interrupt_state)
{
    UNUSED_INDEX;
    value->low = (vendor->get(vp, VP_INTERRUPT_SHADOW) ? HV_INTERRUPT_STATE_SHADOW : 0) |
                 (vendor->get(vp, VP_NMI_MASKED) ? HV_INTERRUPT_STATE_NMI_MASKED : 0);
}

SET(interrupt_state)
{
    UNUSED_INDEX;
    if (value->low & ~(HV_INTERRUPT_STATE_SHADOW | HV_INTERRUPT_STATE_NMI_MASKED))
        return false;
    vendor->set(vp, VP_INTERRUPT_SHADOW, (value->low & HV_INTERRUPT_STATE_SHADOW) != 0);
    vendor->set(vp, VP_NMI_MASKED, (value->low & HV_INTERRUPT_STATE_NMI_MASKED) != 0);
    return true;
}

/* An exception with its parameter; it is kept as pending interruption. */
SET(pending_event)
{
    uint64_t event = value->words[0], parameter = value->words[1];
    unsigned vector = event >> 16 & 0xFFFF;

    UNUSED_INDEX;
    if (event == 0 && parameter == 0)
        return true;
    if ((event & 0xF) != 1 || vector > 31)
        return false;
    if (vector == EXCEPTION_PAGE)
        vendor->set(vp, VP_CR2, parameter);
    if (vector == EXCEPTION_DEBUG)
        vendor->set(vp, VP_DR6, vendor->get(vp, VP_DR6) | (uint32_t)parameter);
    vp->pending_interruption = hv_pending_interruption(HV_INTERRUPTION_TYPE_EXCEPTION, (unsigned)vector) |
                               (event & 0x100 ? HV_PENDING_INTERRUPTION_DELIVER_ERROR_CODE : 0) | (event >> 32 << 32);
    return true;
}

SET(deliverability)
{
    const uint64_t bits = HV_DELIVERABILITY_NMI | HV_DELIVERABILITY_INTERRUPT |
                          (uint64_t)HV_DELIVERABILITY_PRIORITY_MASK << HV_DELIVERABILITY_PRIORITY_SHIFT;

    UNUSED_INDEX;
    if (value->low & ~bits)
        return false;
    vp->deliverability = value->low;
    return true;
}

/* --- x87 and SSE --- */

GET(xmm)
{
    UNUSED_RANGE;
    memcpy(value, (uint8_t *)extended_state_legacy(vp) + FXSAVE_XMM0 + index * sizeof(*value), sizeof(*value));
}

SET(xmm)
{
    UNUSED_RANGE;
    memcpy((uint8_t *)extended_state_legacy(vp) + FXSAVE_XMM0 + index * sizeof(*value), value, sizeof(*value));
    return true;
}

GET(fp)
{
    UNUSED_RANGE;
    memcpy(value, (uint8_t *)extended_state_legacy(vp) + FXSAVE_ST0 + index * sizeof(*value), FXSAVE_ST_SIZE);
}

SET(fp)
{
    UNUSED_RANGE;
    memcpy((uint8_t *)extended_state_legacy(vp) + FXSAVE_ST0 + index * sizeof(*value), value, FXSAVE_ST_SIZE);
    return true;
}

GET(fp_control)
{
    struct hv_x64_fp_control_status *control = (struct hv_x64_fp_control_status *)value;
    const uint8_t *image = extended_state_legacy(vp);

    UNUSED_INDEX;
    memcpy(&control->fp_control, image + FXSAVE_FCW, sizeof(control->fp_control));
    memcpy(&control->fp_status, image + FXSAVE_FSW, sizeof(control->fp_status));
    control->fp_tag = image[FXSAVE_FTW];
    memcpy(&control->last_fp_op, image + FXSAVE_FOP, sizeof(control->last_fp_op));
    memcpy(&control->last_fp_rip, image + FXSAVE_FIP, sizeof(control->last_fp_rip));
}

SET(fp_control)
{
    const struct hv_x64_fp_control_status *control = (const struct hv_x64_fp_control_status *)value;
    uint8_t *image = extended_state_legacy(vp);

    UNUSED_INDEX;
    memcpy(image + FXSAVE_FCW, &control->fp_control, sizeof(control->fp_control));
    memcpy(image + FXSAVE_FSW, &control->fp_status, sizeof(control->fp_status));
    image[FXSAVE_FTW] = control->fp_tag;
    memcpy(image + FXSAVE_FOP, &control->last_fp_op, sizeof(control->last_fp_op));
    memcpy(image + FXSAVE_FIP, &control->last_fp_rip, sizeof(control->last_fp_rip));
    return true;
}

GET(xmm_control)
{
    struct hv_x64_xmm_control_status *control = (struct hv_x64_xmm_control_status *)value;
    const uint8_t *image = extended_state_legacy(vp);

    UNUSED_INDEX;
    memcpy(&control->last_fp_rdp, image + FXSAVE_FDP, sizeof(control->last_fp_rdp));
    memcpy(&control->xmm_status_control, image + FXSAVE_MXCSR, sizeof(control->xmm_status_control));
    memcpy(&control->xmm_status_control_mask, image + FXSAVE_MXCSR_MASK, sizeof(control->xmm_status_control_mask));
}

/* By way of a whole image, whose MXCSR is checked: a reserved bit would fault in the hypervisor. */
SET(xmm_control)
{
    const struct hv_x64_xmm_control_status *control = (const struct hv_x64_xmm_control_status *)value;
    uint8_t image[XSAVE_LEGACY_IMAGE_SIZE], *legacy = extended_state_legacy(vp);

    UNUSED_INDEX;
    if (extended_state_get(vp, XSAVE_LEGACY_STATES, image, sizeof(image)) != HV_STATUS_SUCCESS)
        return false;
    memcpy(image + FXSAVE_MXCSR, &control->xmm_status_control, sizeof(control->xmm_status_control));
    if (extended_state_set(vp, XSAVE_LEGACY_STATES, image, sizeof(image)) != HV_STATUS_SUCCESS)
        return false;
    memcpy(legacy + FXSAVE_FDP, &control->last_fp_rdp, sizeof(control->last_fp_rdp));
    return true;
}

/* --- Control, debug, segment registers --- */

uint64_t rflags_sanitize(uint64_t rflags)
{
    return (rflags & RFLAGS_BITS) | RFLAGS_FIXED;
}

SET(rflags)
{
    UNUSED_INDEX;
    if (value->low & ~RFLAGS_BITS)
        return false;
    vp->rflags = rflags_sanitize(value->low);
    return true;
}

/* Behind a bit that children do not get may be state that is the parent's. */
SET(cr4)
{
    return (value->low & ~child_cr4_bits()) == 0 && set_vendor(vp, range, index, value);
}

GET(cr8)
{
    UNUSED_INDEX;
    value->low = local_apic_cr8(&vp->apic);
}

SET(cr8)
{
    UNUSED_INDEX;
    if (value->low > 15)
        return false;
    local_apic_set_cr8(&vp->apic, value->low);
    return true;
}

SET(xfem)
{
    UNUSED_INDEX;
    return extended_state_set_xcr0(vp, value->low);
}

GET(debug)
{
    UNUSED_RANGE;
    value->low = extended_state_get_debug_register(vp, index);
}

SET(debug)
{
    UNUSED_RANGE;
    extended_state_set_debug_register(vp, index, value->low);
    return true;
}

GET(segment)
{
    vendor->get_segment(vp, range->argument + index, (struct hv_x64_segment_register *)value);
}

SET(segment)
{
    vendor->set_segment(vp, range->argument + index, (const struct hv_x64_segment_register *)value);
    return true;
}

GET(table)
{
    struct hv_x64_table_register *table = (struct hv_x64_table_register *)value;
    struct hv_x64_segment_register segment;

    vendor->get_segment(vp, range->argument + index, &segment);
    table->limit = (uint16_t)segment.limit;
    table->base = segment.base;
}

SET(table)
{
    const struct hv_x64_table_register *table = (const struct hv_x64_table_register *)value;
    const struct hv_x64_segment_register segment = {.base = table->base, .limit = table->limit};

    vendor->set_segment(vp, range->argument + index, &segment);
    return true;
}

/* --- MSRs --- */

GET(tsc)
{
    UNUSED_INDEX;
    value->low = partition_now(vp->partition) + vendor->get(vp, VP_TSC_OFFSET);
}

SET(tsc)
{
    UNUSED_INDEX;
    vp_set_tsc_offset(vp, value->low - partition_now(vp->partition));
    return true;
}

GET(apic_base)
{
    UNUSED_INDEX;
    value->low = vp->apic.base;
}

SET(apic_base)
{
    bool valid;

    UNUSED_INDEX;
    lock_acquire(&vp->interrupt_lock);
    valid = local_apic_restore_base(&vp->apic, value->low, arch_physical_address_bits());
    lock_release(&vp->interrupt_lock);
    return valid;
}

GET(apic_id)
{
    UNUSED_INDEX;
    value->low = vp->apic.id;
}

SET(tsc_aux)
{
    UNUSED_INDEX;
    if (value->low >> 32)
        return false;
    vp->tsc_aux = value->low;
    return true;
}

SET(spec_ctrl)
{
    UNUSED_INDEX;
    if (value->low == 0)
        vp->spec_ctrl = 0;
    return value->low == 0 || child_msr_write(vp, MSR_SPEC_CTRL, value->low);
}

/* --- The hypervisor's own --- */

GET(vp_index)
{
    UNUSED_INDEX;
    value->low = vp->index;
}

GET(reference_time)
{
    UNUSED_INDEX;
    value->low = partition_reference_time(vp->partition);
}

#define FIELD(name)      (uint32_t) offsetof(struct vp, name)
#define SYNTHETIC(index) (FIELD(synthetic) + (index) * (uint32_t)sizeof(uint64_t))

/* Sorted by name. */
static const struct register_range ranges[] = {
    {HV_REGISTER_EXPLICIT_SUSPEND,             1,  get_suspend,         set_suspend,              FIELD(explicit_suspend)    },
    {HV_REGISTER_INTERCEPT_SUSPEND,            1,  get_suspend,         set_suspend,              FIELD(intercept_suspend)   },
    {HV_REGISTER_INSTRUCTION_EMULATION_HINTS,  1,  get_constant,        set_zero,                 0                          },
    {HV_REGISTER_INTERNAL_ACTIVITY_STATE,      1,  get_activity,        set_activity,             0                          },
    {HV_REGISTER_PENDING_INTERRUPTION,         1,  get_field,           set_pending_interruption, FIELD(pending_interruption)},
    {HV_REGISTER_INTERRUPT_STATE,              1,  get_interrupt_state, set_interrupt_state,      0                          },
    {HV_REGISTER_PENDING_EVENT0,               1,  get_constant,        set_pending_event,        0                          },
    {HV_REGISTER_PENDING_EVENT1,               1,  get_constant,        set_zero,                 0                          },
    {HV_REGISTER_DELIVERABILITY_NOTIFICATIONS, 1,  get_field,           set_deliverability,       FIELD(deliverability)      },
    {HV_REGISTER_PENDING_DEBUG_EXCEPTION,      1,  get_constant,        set_zero,                 0                          },
    {HV_X64_REGISTER_RAX,                      16, get_field,           set_field,                FIELD(gpr)                 },
    {HV_X64_REGISTER_RIP,                      1,  get_field,           set_field,                FIELD(rip)                 },
    {HV_X64_REGISTER_RFLAGS,                   1,  get_field,           set_rflags,               FIELD(rflags)              },
    {HV_X64_REGISTER_XMM0,                     16, get_xmm,             set_xmm,                  0                          },
    {HV_X64_REGISTER_FP_MMX0,                  8,  get_fp,              set_fp,                   0                          },
    {HV_X64_REGISTER_FP_CONTROL_STATUS,        1,  get_fp_control,      set_fp_control,           0                          },
    {HV_X64_REGISTER_XMM_CONTROL_STATUS,       1,  get_xmm_control,     set_xmm_control,          0                          },
    {HV_X64_REGISTER_CR0,                      1,  get_vendor,          set_vendor32,             VP_CR0                     },
    {HV_X64_REGISTER_CR2,                      2,  get_vendor,          set_vendor,               VP_CR2                     },
    {HV_X64_REGISTER_CR4,                      1,  get_vendor,          set_cr4,                  VP_CR4                     },
    {HV_X64_REGISTER_CR8,                      1,  get_cr8,             set_cr8,                  0                          },
    {HV_X64_REGISTER_XFEM,                     1,  get_field,           set_xfem,                 FIELD(xcr0)                },
    {HV_X64_REGISTER_DR0,                      4,  get_debug,           set_debug,                0                          },
    {HV_X64_REGISTER_DR6,                      2,  get_vendor,          set_vendor32,             VP_DR6                     },
    {HV_X64_REGISTER_ES,                       8,  get_segment,         set_segment,              VP_ES                      },
    {HV_X64_REGISTER_IDTR,                     2,  get_table,           set_table,                VP_IDTR                    },
    {HV_X64_REGISTER_TSC,                      1,  get_tsc,             set_tsc,                  0                          },
    {HV_X64_REGISTER_EFER,                     1,  get_vendor,          set_vendor,               VP_EFER                    },
    {HV_X64_REGISTER_KERNEL_GS_BASE,           1,  get_vendor,          set_vendor,               VP_KERNEL_GS_BASE          },
    {HV_X64_REGISTER_APIC_BASE,                1,  get_apic_base,       set_apic_base,            0                          },
    {HV_X64_REGISTER_PAT,                      1,  get_vendor,          set_vendor,               VP_PAT                     },
    {HV_X64_REGISTER_SYSENTER_CS,              1,  get_vendor,          set_vendor,               VP_SYSENTER_CS             },
    {HV_X64_REGISTER_SYSENTER_EIP,             1,  get_vendor,          set_vendor,               VP_SYSENTER_EIP            },
    {HV_X64_REGISTER_SYSENTER_ESP,             1,  get_vendor,          set_vendor,               VP_SYSENTER_ESP            },
    {HV_X64_REGISTER_STAR,                     4,  get_vendor,          set_vendor,               VP_STAR                    },
    {HV_X64_REGISTER_INITIAL_APIC_ID,          1,  get_apic_id,         NULL,                     0                          },
    {HV_X64_REGISTER_MTRR_CAP,                 1,  get_constant,        NULL,                     MTRR_CAPABILITIES          },
    {HV_X64_REGISTER_MTRR_DEF_TYPE,            1,  get_field,           set_field,                FIELD(mtrr_def_type)       },
    {HV_X64_REGISTER_MTRR_PHYS_BASE0,          8,  get_field,           set_field,                FIELD(mtrr_phys_base)      },
    {HV_X64_REGISTER_MTRR_PHYS_MASK0,          8,  get_field,           set_field,                FIELD(mtrr_phys_mask)      },
    {HV_X64_REGISTER_MTRR_FIX64K00000,         11, get_field,           set_field,                FIELD(mtrr_fixed)          },
    {HV_X64_REGISTER_TSC_AUX,                  1,  get_field,           set_tsc_aux,              FIELD(tsc_aux)             },
    {HV_X64_REGISTER_DEBUG_CTL,                1,  get_vendor,          set_vendor,               VP_DEBUG_CTL               },
    {HV_X64_REGISTER_SPEC_CTRL,                1,  get_field,           set_spec_ctrl,            FIELD(spec_ctrl)           },
    {HV_X64_REGISTER_U_XSS,                    1,  get_field,           set_zero,                 FIELD(xss)                 },
    {HV_X64_REGISTER_TSC_ADJUST,               1,  get_field,           set_field,                FIELD(tsc_adjust)          },
    {HV_X64_REGISTER_MISC_ENABLE,              1,  get_field,           set_field,                FIELD(misc_enable)         },
    {HV_REGISTER_HYPERCALL,                    1,  get_field,           set_field,                FIELD(hypercall_msr)       },
    {HV_REGISTER_GUEST_OS_ID,                  1,  get_field,           set_field,                FIELD(guest_os_id)         },
    {HV_REGISTER_VP_INDEX,                     1,  get_vp_index,        NULL,                     0                          },
    {HV_REGISTER_TIME_REF_COUNT,               1,  get_reference_time,  NULL,                     0                          },
    {HV_REGISTER_VP_ASSIST_PAGE,               1,  get_field,           set_field,                FIELD(vp_assist)           },
    {HV_REGISTER_REFERENCE_TSC,                1,  get_field,           set_field,                FIELD(reference_tsc)       },
    {HV_REGISTER_SINT0,                        17, get_field,           set_field,                SYNTHETIC(0)               }, /* and SCONTROL */
    {HV_REGISTER_SVERSION,                     1,  get_constant,        NULL,                     SYNIC_VERSION              },
    {HV_REGISTER_SIEFP,                        2,  get_field,           set_field,                SYNTHETIC(18)              }, /* and SIMP */
};

/* CR2, CR3; DR6, DR7; STAR, LSTAR, CSTAR, SFMASK follow each other in both numberings. */
_Static_assert(VP_CR3 == VP_CR2 + 1 && VP_DR7 == VP_DR6 + 1 && VP_SFMASK == VP_STAR + 3, "order of enum vp_register");

static const struct register_range *find_range(uint32_t name)
{
    unsigned low = 0, high = sizeof(ranges) / sizeof(*ranges);

    while (low < high) {
        unsigned middle = (low + high) / 2;

        if (name < ranges[middle].first)
            high = middle;
        else if (name - ranges[middle].first >= ranges[middle].count)
            low = middle + 1;
        else
            return &ranges[middle];
    }
    return NULL;
}

enum hv_status register_get(struct vp *vp, uint32_t name, union hv_register_value *value)
{
    const struct register_range *range = find_range(name);

    *value = (union hv_register_value){
        .words = {0, 0}
    };
    if (!range)
        return HV_STATUS_INVALID_PARAMETER;
    range->get(vp, range, name - range->first, value);
    return HV_STATUS_SUCCESS;
}

enum hv_status register_set(struct vp *vp, uint32_t name, const union hv_register_value *value)
{
    const struct register_range *range = find_range(name);

    if (!range)
        return HV_STATUS_INVALID_PARAMETER;
    if (!range->set)
        return HV_STATUS_ACCESS_DENIED;
    return range->set(vp, range, name - range->first, value) ? HV_STATUS_SUCCESS : HV_STATUS_INVALID_REGISTER_VALUE;
}

enum hv_status hypercall_get_vp_registers(struct hypercall *call)
{
    const struct hv_input_get_vp_registers *input = call->input;
    union hv_register_value *values = call->output;

    if (input->input_vtl)
        return HV_STATUS_INVALID_PARAMETER;
    for (; call->reps_done < call->rep_count && hypercall_spend(call, GET_COST); call->reps_done++) {
        enum hv_status status = register_get(call->vp, input->names[call->reps_done], &values[call->reps_done]);

        if (status != HV_STATUS_SUCCESS)
            return status;
    }
    return HV_STATUS_SUCCESS;
}

enum hv_status hypercall_set_vp_registers(struct hypercall *call)
{
    const struct hv_input_set_vp_registers *input = call->input;

    if (input->input_vtl)
        return HV_STATUS_INVALID_PARAMETER;
    for (; call->reps_done < call->rep_count && hypercall_spend(call, SET_COST); call->reps_done++) {
        const struct hv_register_assoc *element = &input->elements[call->reps_done];
        union hv_register_value value;
        enum hv_status status;

        memcpy(&value, &element->value, sizeof(value));
        status = register_set(call->vp, element->name, &value);
        if (status != HV_STATUS_SUCCESS)
            return status;
    }
    return HV_STATUS_SUCCESS;
}
