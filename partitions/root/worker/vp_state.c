/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/worker/vp_state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PAGE_ALIGNED _Alignas(HV_PAGE_SIZE)

/* Local APIC registers (SDM vol. 3A, 11.5 and 11.9). */
#define APIC_SPURIOUS_ENABLED (0x100u | 0xFFu)
#define APIC_LVT_EXTINT       0x700u
#define APIC_LVT_NMI          0x400u

/* MTRRs (APM vol. 2, 7.7). */
#define MTRR_ENABLED           0x800ull
#define MTRR_WRITE_BACK        6ull
#define MTRR_UNCACHED          0ull
#define MTRR_MASK_VALID        0x800ull
#define DEFAULT_PHYSICAL_WIDTH 36u

/* A run of register names. `optional`: the processor may not have it, and then there is nothing to restore.
 */
static const struct {
    uint32_t first, last;
    bool optional;
} ranges[] = {
    {HV_X64_REGISTER_RAX,                      HV_X64_REGISTER_RFLAGS,                   false},
    {HV_X64_REGISTER_CR0,                      HV_X64_REGISTER_CR8,                      false},
    {HV_X64_REGISTER_XFEM,                     HV_X64_REGISTER_XFEM,                     false},
    {HV_X64_REGISTER_DR0,                      HV_X64_REGISTER_DR7,                      false},
    {HV_X64_REGISTER_ES,                       HV_X64_REGISTER_TR,                       false},
    {HV_X64_REGISTER_IDTR,                     HV_X64_REGISTER_GDTR,                     false},
    {HV_X64_REGISTER_TSC,                      HV_X64_REGISTER_SFMASK,                   false},
    {HV_X64_REGISTER_MTRR_DEF_TYPE,            HV_X64_REGISTER_MTRR_DEF_TYPE,            false},
    {HV_X64_REGISTER_MTRR_PHYS_BASE0,          HV_X64_REGISTER_MTRR_PHYS_BASE0 + 7,      false},
    {HV_X64_REGISTER_MTRR_PHYS_MASK0,          HV_X64_REGISTER_MTRR_PHYS_MASK0 + 7,      false},
    {HV_X64_REGISTER_MTRR_FIX64K00000,         HV_X64_REGISTER_MTRR_FIX4KF8000,          false},
    {HV_X64_REGISTER_TSC_AUX,                  HV_X64_REGISTER_TSC_AUX,                  true },
    {HV_X64_REGISTER_DEBUG_CTL,                HV_X64_REGISTER_DEBUG_CTL,                true },
    {HV_X64_REGISTER_SPEC_CTRL,                HV_X64_REGISTER_SPEC_CTRL,                true },
    {HV_X64_REGISTER_U_XSS,                    HV_X64_REGISTER_U_XSS,                    true },
    {HV_X64_REGISTER_TSC_ADJUST,               HV_X64_REGISTER_TSC_ADJUST,               true },
    {HV_X64_REGISTER_MISC_ENABLE,              HV_X64_REGISTER_MISC_ENABLE,              true },
    {HV_REGISTER_PENDING_INTERRUPTION,         HV_REGISTER_PENDING_INTERRUPTION,         false},
    {HV_REGISTER_INTERRUPT_STATE,              HV_REGISTER_INTERRUPT_STATE,              false},
    {HV_REGISTER_PENDING_EVENT0,               HV_REGISTER_PENDING_EVENT0,               false},
    {HV_REGISTER_DELIVERABILITY_NOTIFICATIONS, HV_REGISTER_DELIVERABILITY_NOTIFICATIONS, false},
    {HV_REGISTER_INTERNAL_ACTIVITY_STATE,      HV_REGISTER_INTERNAL_ACTIVITY_STATE,      false},
};

static int save_registers(struct vp_state *state, const struct partition *partition, uint32_t vp)
{
    state->count = 0;
    for (unsigned i = 0; i < sizeof ranges / sizeof ranges[0]; i++) {
        for (uint32_t name = ranges[i].first; name <= ranges[i].last; name++) {
            union hv_register_value value;
            unsigned status = partition_get_registers(partition, vp, &name, &value, 1);

            if (state->count == VP_STATE_REGISTERS)
                return -E2BIG;
            if (status == HV_STATUS_SUCCESS)
                state->registers[state->count++] = (struct hv_register_assoc){.name = name, .value = value};
            else if (!ranges[i].optional)
                return (int)status;
        }
    }
    return 0;
}

static int get_apic(const struct partition *partition, uint32_t vp,
                    struct hv_local_interrupt_controller_state *apic)
{
    PAGE_ALIGNED uint8_t page[HV_PAGE_SIZE];
    int error =
        partition->hypervisor->operations->get_vp_state(partition->hypervisor, vp, MSHV_VP_STATE_LAPIC, page);

    if (!error)
        memcpy(apic, page, sizeof *apic);
    return error;
}

static int set_apic(const struct partition *partition, uint32_t vp,
                    const struct hv_local_interrupt_controller_state *apic)
{
    PAGE_ALIGNED uint8_t page[HV_PAGE_SIZE] = {0};

    memcpy(page, apic, sizeof *apic);
    return partition->hypervisor->operations->set_vp_state(partition->hypervisor, vp, MSHV_VP_STATE_LAPIC,
                                                           page);
}

int vp_state_save(struct vp_state *state, const struct partition *partition, uint32_t vp)
{
    int error = save_registers(state, partition, vp);

    if (!error)
        error = get_apic(partition, vp, &state->apic);
    if (error)
        return error;
    state->extended_state = aligned_alloc(HV_PAGE_SIZE, HV_PAGE_SIZE);
    if (!state->extended_state)
        return -ENOMEM;
    return partition->hypervisor->operations->get_vp_state(partition->hypervisor, vp, MSHV_VP_STATE_XSAVE,
                                                           state->extended_state);
}

int vp_state_restore(const struct vp_state *state, const struct partition *partition, uint32_t vp)
{
    struct hypervisor *hypervisor = partition->hypervisor;
    /* First the registers: APIC_BASE says how the APIC's state is to be read, and XCR0 what extended state
     * there is. */
    int error = (int)partition_set_registers(partition, vp, state->registers, state->count);

    if (!error)
        error = set_apic(partition, vp, &state->apic);
    if (!error)
        error =
            hypervisor->operations->set_vp_state(hypervisor, vp, MSHV_VP_STATE_XSAVE, state->extended_state);
    return error;
}

void vp_state_free(struct vp_state *state)
{
    free(state->extended_state);
    *state = (struct vp_state){0};
}

static int set_up_memory_types(const struct partition *partition, uint32_t vp, uint32_t uncached)
{
    uint64_t width = 0;
    uint64_t mask;

    if (partition_get_property(partition, HV_PARTITION_PROPERTY_PHYSICAL_ADDRESS_WIDTH, &width) !=
            HV_STATUS_SUCCESS ||
        width < DEFAULT_PHYSICAL_WIDTH || width > 52)
        width = DEFAULT_PHYSICAL_WIDTH;
    mask = ((1ull << width) - 1) & ~((1ull << 32) - uncached - 1);
    const struct hv_register_assoc registers[] = {
        {.name = HV_X64_REGISTER_MTRR_PHYS_BASE0, .value.low = uncached | MTRR_UNCACHED      },
        {.name = HV_X64_REGISTER_MTRR_PHYS_MASK0, .value.low = mask | MTRR_MASK_VALID        },
        {.name = HV_X64_REGISTER_MTRR_DEF_TYPE,   .value.low = MTRR_ENABLED | MTRR_WRITE_BACK},
    };

    return (int)partition_set_registers(partition, vp, registers, sizeof registers / sizeof registers[0]);
}

int vp_state_set_up(const struct partition *partition, uint32_t vp, uint32_t uncached)
{
    struct hv_local_interrupt_controller_state apic;
    int error = get_apic(partition, vp, &apic);

    if (error)
        return error;
    if (vp == 0) {
        apic.apic_spurious = APIC_SPURIOUS_ENABLED;
        apic.apic_lvt_lint0 = APIC_LVT_EXTINT;
        apic.apic_lvt_lint1 = APIC_LVT_NMI;
        error = set_apic(partition, vp, &apic);
        if (error)
            return error;
    }
    return set_up_memory_types(partition, vp, uncached);
}
