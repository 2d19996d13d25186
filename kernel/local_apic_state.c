/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The local APIC's registers as HV_VP_STATE_LAPIC moves them. */
#include <string.h>

#include "kernel/local_apic_private.h"

/* What a blank hv_local_interrupt_controller_state has for the entry that this APIC lacks. */
#define LVT_CMCI_ABSENT LVT_MASKED

/* The blob is packed, so its arrays are moved as bytes; both orders are little-endian. */
static void vectors_to_state(const uint64_t bits[4], void *state)
{
    memcpy(state, bits, 32);
}

static void vectors_from_state(uint64_t bits[4], const void *state)
{
    memcpy(bits, state, 32);
}

void local_apic_get_state(struct local_apic *apic, uint64_t now, struct hv_local_interrupt_controller_state *state)
{
    *state = (struct hv_local_interrupt_controller_state){
        .apic_counter_value = local_apic_timer_count(apic, now),
        .apic_id = apic->id << 24,
        .apic_version = APIC_VERSION,
        .apic_ldr = local_apic_x2apic(apic) ? local_apic_x2apic_ldr(apic->id) : apic->ldr,
        .apic_dfr = apic->dfr,
        .apic_spurious = apic->svr,
        .apic_esr = apic->error_status,
        .apic_icr_high = (uint32_t)(apic->icr >> 32),
        .apic_icr_low = (uint32_t)apic->icr,
        .apic_lvt_timer = apic->lvt[LVT_TIMER],
        .apic_lvt_thermal = apic->lvt[LVT_THERMAL],
        .apic_lvt_perfmon = apic->lvt[LVT_PERFORMANCE],
        .apic_lvt_lint0 = apic->lvt[LVT_LINT0],
        .apic_lvt_lint1 = apic->lvt[LVT_LINT1],
        .apic_lvt_error = apic->lvt[LVT_ERROR],
        .apic_lvt_cmci = LVT_CMCI_ABSENT,
        .apic_error_status = apic->error_pending,
        .apic_initial_count = apic->initial_count,
        .apic_divide_configuration = apic->divide,
    };
    vectors_to_state(apic->isr, state->apic_isr);
    vectors_to_state(apic->tmr, state->apic_tmr);
    vectors_to_state(apic->irr, state->apic_irr);
}

static bool state_valid(const struct local_apic *apic, const struct hv_local_interrupt_controller_state *state)
{
    const struct {
        uint32_t value;
        uint32_t offset;
    } checked[] = {
        {state->apic_spurious,             APIC_REGISTER_SVR            },
        {state->apic_icr_low,              APIC_REGISTER_ICR_LOW        },
        {state->apic_lvt_timer,            APIC_REGISTER_LVT_TIMER      },
        {state->apic_lvt_thermal,          APIC_REGISTER_LVT_THERMAL    },
        {state->apic_lvt_perfmon,          APIC_REGISTER_LVT_PERFORMANCE},
        {state->apic_lvt_lint0,            APIC_REGISTER_LVT_LINT0      },
        {state->apic_lvt_lint1,            APIC_REGISTER_LVT_LINT1      },
        {state->apic_lvt_error,            APIC_REGISTER_LVT_ERROR      },
        {state->apic_divide_configuration, APIC_REGISTER_DIVIDE         },
    };
    for (unsigned i = 0; i < sizeof(checked) / sizeof(checked[0]); i++)
        if ((checked[i].value & ~local_apic_writable_bits(apic, checked[i].offset)) != 0)
            return false;
    bool ldr_valid = (state->apic_ldr & 0x00FFFFFF) == 0 || state->apic_ldr == local_apic_x2apic_ldr(apic->id);
    return state->apic_id == apic->id << 24 && state->apic_version == APIC_VERSION && ldr_valid &&
           (state->apic_dfr & 0x0FFFFFFF) == 0x0FFFFFFF &&
           ((state->apic_esr | state->apic_error_status) & ~0xFFu) == 0 && (state->apic_isr[0] & 0xFFFF) == 0 &&
           (state->apic_irr[0] & 0xFFFF) == 0 && state->apic_counter_value <= state->apic_initial_count &&
           (state->apic_lvt_cmci | LVT_MASKED) == LVT_CMCI_ABSENT && state->apic_remote_read == 0;
}

enum hv_status local_apic_set_state(struct local_apic *apic, uint64_t now,
                                    const struct hv_local_interrupt_controller_state *state)
{
    if (!state_valid(apic, state))
        return HV_STATUS_INVALID_REGISTER_VALUE;

    /* What expired until now belongs to the old state. */
    uint32_t count = local_apic_timer_count(apic, now);
    local_apic_timer_write_lvt(apic, state->apic_lvt_timer, now);
    bool same = apic->divide == state->apic_divide_configuration && count == state->apic_counter_value;
    apic->initial_count = state->apic_initial_count;
    apic->divide = state->apic_divide_configuration;
    if (!same)
        local_apic_timer_start(apic, now, state->apic_counter_value);

    vectors_from_state(apic->isr, state->apic_isr);
    vectors_from_state(apic->tmr, state->apic_tmr);
    vectors_from_state(apic->irr, state->apic_irr);
    if (!local_apic_x2apic(apic))
        apic->ldr = state->apic_ldr & 0xFF000000;
    apic->dfr = state->apic_dfr;
    apic->svr = state->apic_spurious;
    apic->extint_pending = apic->eoi_pending = false;
    apic->error_status = state->apic_esr;
    apic->error_pending = state->apic_error_status;
    apic->icr = (uint64_t)state->apic_icr_high << 32 | state->apic_icr_low;
    apic->lvt[LVT_THERMAL] = state->apic_lvt_thermal;
    apic->lvt[LVT_PERFORMANCE] = state->apic_lvt_perfmon;
    apic->lvt[LVT_LINT0] = state->apic_lvt_lint0;
    apic->lvt[LVT_LINT1] = state->apic_lvt_lint1;
    apic->lvt[LVT_ERROR] = state->apic_lvt_error;
    return HV_STATUS_SUCCESS;
}
