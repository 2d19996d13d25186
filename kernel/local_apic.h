/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A child's local APIC (SDM vol. 3A chapter 11, APM vol. 2 chapter 16): xAPIC and x2APIC registers,
 * priorities, timer, local vector table, errors. Pure state: no locks (the caller holds vp->interrupt_lock),
 * no clock (`now` is the host's TSC), no other processors (an ICR write comes out as a struct
 * interrupt_request for kernel/interrupt.c).
 *
 * Version 0x14 with six LVT entries, no CMCI, no EOI-broadcast suppression. The APIC id is the VP's index.
 */
#ifndef KERNEL_LOCAL_APIC_H
#define KERNEL_LOCAL_APIC_H

#include "hv/types.h"
#include "hv/status.h"
#include "hv/hypercall.h"
#include "hv/registers.h"

/* Register offsets in the xAPIC page; the x2APIC MSR is APIC_X2APIC_MSR_FIRST + (offset >> 4). */
enum local_apic_register {
    APIC_REGISTER_ID = 0x020,
    APIC_REGISTER_VERSION = 0x030,
    APIC_REGISTER_TPR = 0x080,
    APIC_REGISTER_APR = 0x090,
    APIC_REGISTER_PPR = 0x0A0,
    APIC_REGISTER_EOI = 0x0B0,
    APIC_REGISTER_REMOTE_READ = 0x0C0,
    APIC_REGISTER_LDR = 0x0D0,
    APIC_REGISTER_DFR = 0x0E0,
    APIC_REGISTER_SVR = 0x0F0,
    APIC_REGISTER_ISR = 0x100, /* eight registers each */
    APIC_REGISTER_TMR = 0x180,
    APIC_REGISTER_IRR = 0x200,
    APIC_REGISTER_ESR = 0x280,
    APIC_REGISTER_ICR_LOW = 0x300,
    APIC_REGISTER_ICR_HIGH = 0x310,
    APIC_REGISTER_LVT_TIMER = 0x320,
    APIC_REGISTER_LVT_THERMAL = 0x330,
    APIC_REGISTER_LVT_PERFORMANCE = 0x340,
    APIC_REGISTER_LVT_LINT0 = 0x350,
    APIC_REGISTER_LVT_LINT1 = 0x360,
    APIC_REGISTER_LVT_ERROR = 0x370,
    APIC_REGISTER_INITIAL_COUNT = 0x380,
    APIC_REGISTER_CURRENT_COUNT = 0x390,
    APIC_REGISTER_DIVIDE = 0x3E0,
    APIC_REGISTER_SELF_IPI = 0x3F0, /* x2APIC only */
};
#define APIC_X2APIC_MSR_FIRST 0x800u
#define APIC_X2APIC_MSR_LAST  0x8FFu

/* IA32_APIC_BASE */
#define APIC_BASE_BSP     0x100ull
#define APIC_BASE_X2APIC  0x400ull
#define APIC_BASE_ENABLE  0x800ull
#define APIC_BASE_ADDRESS 0x000FFFFFFFFFF000ull
#define APIC_BASE_DEFAULT 0xFEE00000ull

enum local_apic_lvt { LVT_TIMER, LVT_THERMAL, LVT_PERFORMANCE, LVT_LINT0, LVT_LINT1, LVT_ERROR, LVT_COUNT };

/* The error status register */
#define APIC_ERROR_SEND_ILLEGAL_VECTOR     0x20u
#define APIC_ERROR_RECEIVED_ILLEGAL_VECTOR 0x40u
#define APIC_ERROR_ILLEGAL_REGISTER        0x80u

#define LOCAL_APIC_NO_DEADLINE (~0ull) /* = LOAM_NO_DEADLINE */

enum interrupt_shorthand {
    INTERRUPT_TO_DESTINATION,
    INTERRUPT_TO_SELF,
    INTERRUPT_TO_ALL,
    INTERRUPT_TO_ALL_BUT_SELF,
};

/* An interrupt on its way to the VPs of one partition. */
struct interrupt_request {
    uint8_t type; /* enum hv_interrupt_type */
    uint8_t vector;
    uint8_t shorthand; /* enum interrupt_shorthand; other than INTERRUPT_TO_DESTINATION only with a sender */
    bool level;        /* level-triggered */
    bool logical;
    bool wide; /* the destination is 32 bits: 0xFF is an id, not the broadcast (which 0xFFFFFFFF always is) */
    uint32_t destination;
};

/* Fields are the business of local_apic.c, local_apic_timer.c and local_apic_state.c; others use the functions below.
 */
struct local_apic {
    uint64_t base; /* IA32_APIC_BASE: the VP's only copy */
    uint32_t id;
    bool x2apic_allowed;       /* the partition was created with HV_CREATE_X2APIC */
    bool tsc_deadline_allowed; /* the VP's CPUID has TSC-deadline */
    bool eoi_pending;          /* a level EOI that the worker has to hear of */
    uint8_t eoi_vector;
    bool extint_pending; /* an ExtINT whose vector its sender has acknowledged already */
    uint8_t extint_vector;

    uint32_t tpr, svr, ldr, dfr;
    uint32_t error_status;  /* what a read of ESR gives */
    uint32_t error_pending; /* found since the last write of ESR */
    uint64_t icr;
    uint32_t lvt[LVT_COUNT];
    uint64_t isr[4], tmr[4], irr[4];

    uint32_t initial_count;
    uint32_t divide;
    uint64_t timer_deadline; /* host TSC at which the count reaches 0; LOCAL_APIC_NO_DEADLINE: it stands at 0 */
    uint64_t tsc_deadline;   /* IA32_TSC_DEADLINE, guest TSC; 0 = disarmed */
    uint64_t tsc_offset;     /* guest TSC = host TSC + offset */
};

/* What the write of a register asks of its caller, besides what local_apic_take_eoi() gives. */
struct local_apic_effect {
    bool send; /* hand `request` to interrupt_deliver() */
    struct interrupt_request request;
};

/* State after power-up; `id` 0 is the boot processor. */
void local_apic_initialize(struct local_apic *apic, uint32_t id, bool x2apic_allowed, bool tsc_deadline_allowed);
/* INIT: all registers take their reset values; id, base (mode, address, BSP flag) and time offset stay. */
void local_apic_init(struct local_apic *apic);

static inline bool local_apic_enabled(const struct local_apic *apic)
{
    return (apic->base & APIC_BASE_ENABLE) != 0;
}

static inline bool local_apic_x2apic(const struct local_apic *apic)
{
    return (apic->base & (APIC_BASE_ENABLE | APIC_BASE_X2APIC)) == (APIC_BASE_ENABLE | APIC_BASE_X2APIC);
}

/* The page at `gpa` (any address in it) is this APIC's register page at this moment. */
static inline bool local_apic_claims(const struct local_apic *apic, uint64_t gpa)
{
    return (apic->base & (APIC_BASE_ENABLE | APIC_BASE_X2APIC)) == APIC_BASE_ENABLE &&
           (gpa & ~0xFFFull) == (apic->base & APIC_BASE_ADDRESS);
}

/* Errors were found since the guest last wrote to ESR; their interrupt may be pending. */
static inline bool local_apic_has_error(const struct local_apic *apic)
{
    return apic->error_pending != 0;
}

/*
 * WRMSR of IA32_APIC_BASE with `address_bits` of physical address. False: #GP(0): reserved bits or a
 * transition that SDM figure 11-27 does not have. Disabling resets the APIC's registers.
 */
bool local_apic_set_base(struct local_apic *apic, uint64_t value, unsigned address_bits);
/* The same for SET_VP_REGISTERS: any valid value, whatever the mode was before. False: not a valid value. */
bool local_apic_restore_base(struct local_apic *apic, uint64_t value, unsigned address_bits);

/* 32-bit accesses to the xAPIC page, offset 0-0xFFC aligned to 4. Only if local_apic_claims(). */
uint32_t local_apic_read(struct local_apic *apic, uint32_t offset, uint64_t now);
void local_apic_write(struct local_apic *apic, uint32_t offset, uint32_t value, uint64_t now,
                      struct local_apic_effect *effect);

/* RDMSR and WRMSR of 0x800-0x8FF. False: #GP(0), among others whenever the APIC is not in x2APIC mode. */
bool local_apic_read_msr(struct local_apic *apic, uint32_t msr, uint64_t now, uint64_t *value);
bool local_apic_write_msr(struct local_apic *apic, uint32_t msr, uint64_t value, uint64_t now,
                          struct local_apic_effect *effect);

/* Takes the vector of a level EOI that has to leave as HVMSG_X64_APIC_EOI. -1: there is none. */
int local_apic_take_eoi(struct local_apic *apic);

/*
 * CR8 is TPR[7:4]. The VP's own processor may call these without the lock: the task priority is one word,
 * which other processors only read to compare.
 */
static inline uint64_t local_apic_cr8(const struct local_apic *apic)
{
    return apic->tpr >> 4;
}
static inline void local_apic_set_cr8(struct local_apic *apic, uint64_t value)
{
    if (value != apic->tpr >> 4)
        apic->tpr = (uint32_t)(value & 15) << 4;
}
/* Processor priority: the greater of TPR and the highest vector in service. */
uint32_t local_apic_processor_priority(const struct local_apic *apic);

/* The timer. `now` must not run backwards between calls. */
/* Host TSC of the next interrupt that the timer gives; LOCAL_APIC_NO_DEADLINE: none. */
uint64_t local_apic_deadline(const struct local_apic *apic);
/* Turns an expired timer into a pending interrupt. True: something became pending that was not. */
bool local_apic_tick(struct local_apic *apic, uint64_t now);
/* IA32_TSC_DEADLINE: 0 once it has passed. A write outside TSC-deadline mode is ignored, as on hardware. */
uint64_t local_apic_tsc_deadline(struct local_apic *apic, uint64_t now);
void local_apic_set_tsc_deadline(struct local_apic *apic, uint64_t value);
/*
 * The guest's TSC is the host's + `tsc_offset` from now on; a running count stood still for `skipped` host
 * ticks.
 */
void local_apic_set_time(struct local_apic *apic, uint64_t tsc_offset, uint64_t skipped);

/* Interrupts that arrive. */
enum local_apic_accept {
    LOCAL_APIC_REJECTED, /* disabled, or an illegal vector (then the error is recorded) */
    LOCAL_APIC_PENDING,  /* was pending already */
    LOCAL_APIC_ACCEPTED,
};
/* False: the APIC is disabled, by IA32_APIC_BASE or by its spurious vector register. */
bool local_apic_accepts_fixed(const struct local_apic *apic);
/* A fixed interrupt. `level`: sets TMR, so that its EOI is reported. */
enum local_apic_accept local_apic_accept(struct local_apic *apic, uint8_t vector, bool level);
/*
 * One of the local sources fires as its LVT entry says: LINT0 and LINT1 for the pins of that name. A fixed
 * interrupt becomes pending (*news: it was not before) and the result is NONE; other modes are the
 * processor's to act on.
 */
enum local_apic_local_event {
    LOCAL_APIC_EVENT_NONE,
    LOCAL_APIC_EVENT_NMI,
    LOCAL_APIC_EVENT_INIT,
    LOCAL_APIC_EVENT_EXTINT,
};
enum local_apic_local_event local_apic_signal(struct local_apic *apic, enum local_apic_lvt entry, bool *news);
/* True if this APIC is one of those that a logical destination names (flat, cluster or x2APIC cluster). */
bool local_apic_matches_logical(const struct local_apic *apic, uint32_t destination);
/* True if the 8259A's request on LINT0 reaches the processor: APIC disabled, or LINT0 unmasked as ExtINT. */
bool local_apic_accepts_extint(const struct local_apic *apic);

/* Interrupts that leave for the processor. */
/* The vector that the processor may take now as far as priorities go; -1: none. ExtINT is separate. */
int local_apic_pending(const struct local_apic *apic);
/* The processor takes `vector`, which local_apic_pending() gave: request becomes service. */
void local_apic_acknowledge(struct local_apic *apic, uint8_t vector);
/*
 * The processor takes the ExtINT: gives its vector, -1 if there is none. Delivered before any other vector.
 */
int local_apic_take_extint(struct local_apic *apic);

/* GET_VP_STATE and SET_VP_STATE of HV_VP_STATE_LAPIC; what one gave the other takes and nothing changes. */
void local_apic_get_state(struct local_apic *apic, uint64_t now, struct hv_local_interrupt_controller_state *state);
/* INVALID_REGISTER_VALUE: another id, or bits set that no register has; then nothing has changed. */
enum hv_status local_apic_set_state(struct local_apic *apic, uint64_t now,
                                    const struct hv_local_interrupt_controller_state *state);

#endif
