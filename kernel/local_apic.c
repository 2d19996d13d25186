/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "kernel/local_apic_private.h"

#define SVR_ENABLE          0x100u
#define ICR_MODE_SHIFT      8
#define ICR_LOGICAL         0x800u
#define ICR_ASSERT          0x4000u
#define ICR_LEVEL           0x8000u
#define ICR_SHORTHAND_SHIFT 18
#define ICR_LOW_BITS        0x000CCFFFu
#define ICR_BUSY            0x1000u /* tolerated in x2APIC mode, as processors do */

/* Bits of the delivery mode that LVT and ICR share (SDM 11.5.1, 11.6.1). */
enum delivery_mode { MODE_FIXED, MODE_LOWEST, MODE_SMI, MODE_RESERVED, MODE_NMI, MODE_INIT, MODE_SIPI, MODE_EXTINT };

/*
 * What exists at each offset, in which mode; `bits` may be written, in x2APIC mode others are #GP (SDM table
 * 11-6).
 */
#define XR  0x1u
#define XW  0x2u
#define X2R 0x4u
#define X2W 0x8u
#define RO  (XR | X2R)
#define RW  (XR | XW | X2R | X2W)
/* clang-format off */
static const struct apic_register {
    uint32_t bits;
    uint8_t access;
} apic_registers[0x400 >> 4] = {
    [APIC_REGISTER_ID >> 4] = {0, RO},
    [APIC_REGISTER_VERSION >> 4] = {0, RO},
    [APIC_REGISTER_TPR >> 4] = {0xFF, RW},
    [APIC_REGISTER_APR >> 4] = {0, XR},
    [APIC_REGISTER_PPR >> 4] = {0, RO},
    [APIC_REGISTER_EOI >> 4] = {0, XW | X2W},
    [APIC_REGISTER_REMOTE_READ >> 4] = {0, XR},
    [APIC_REGISTER_LDR >> 4] = {0xFF000000, XR | XW | X2R},
    [APIC_REGISTER_DFR >> 4] = {0xF0000000, XR | XW},
    [APIC_REGISTER_SVR >> 4] = {0x3FF, RW},
    [APIC_REGISTER_ISR >> 4 ... (APIC_REGISTER_IRR >> 4) + 7] = {0, RO},
    [APIC_REGISTER_ESR >> 4] = {0, RW},
    [APIC_REGISTER_ICR_LOW >> 4] = {ICR_LOW_BITS, RW},
    [APIC_REGISTER_ICR_HIGH >> 4] = {0xFF000000, XR | XW},
    [APIC_REGISTER_LVT_TIMER >> 4] = {LVT_VECTOR | LVT_MASKED | LVT_TIMER_MODE, RW},
    [APIC_REGISTER_LVT_THERMAL >> 4] = {LVT_VECTOR | LVT_MODE | LVT_MASKED, RW},
    [APIC_REGISTER_LVT_PERFORMANCE >> 4] = {LVT_VECTOR | LVT_MODE | LVT_MASKED, RW},
    [APIC_REGISTER_LVT_LINT0 >> 4 ... APIC_REGISTER_LVT_LINT1 >> 4] =
        {LVT_VECTOR | LVT_MODE | LVT_POLARITY | LVT_TRIGGER | LVT_MASKED, RW},
    [APIC_REGISTER_LVT_ERROR >> 4] = {LVT_VECTOR | LVT_MASKED, RW},
    [APIC_REGISTER_INITIAL_COUNT >> 4] = {0xFFFFFFFF, RW},
    [APIC_REGISTER_CURRENT_COUNT >> 4] = {0, RO},
    [APIC_REGISTER_DIVIDE >> 4] = {0xB, RW},
    [APIC_REGISTER_SELF_IPI >> 4] = {0xFF, X2W},
};
/* clang-format on */

static bool bit_test(const uint64_t bits[4], unsigned vector)
{
    return (bits[vector / 64] >> (vector % 64)) & 1;
}

static void bit_set(uint64_t bits[4], unsigned vector)
{
    bits[vector / 64] |= 1ull << (vector % 64);
}

static void bit_clear(uint64_t bits[4], unsigned vector)
{
    bits[vector / 64] &= ~(1ull << (vector % 64));
}

static int bit_highest(const uint64_t bits[4])
{
    for (int word = 3; word >= 0; word--)
        if (bits[word] != 0)
            return word * 64 + 63 - __builtin_clzll(bits[word]);
    return -1;
}

uint32_t local_apic_writable_bits(const struct local_apic *apic, uint32_t offset)
{
    uint32_t bits = apic_registers[offset >> 4].bits;
    if (offset == APIC_REGISTER_LVT_TIMER && !apic->tsc_deadline_allowed)
        bits &= ~LVT_TIMER_TSC_DEADLINE;
    return bits;
}

/* --- life cycle --- */

void local_apic_init(struct local_apic *apic)
{
    struct local_apic fresh = {
        .base = apic->base,
        .id = apic->id,
        .x2apic_allowed = apic->x2apic_allowed,
        .tsc_deadline_allowed = apic->tsc_deadline_allowed,
        .tsc_offset = apic->tsc_offset,
        .svr = 0xFF,
        .dfr = 0xFFFFFFFF,
        .timer_deadline = LOCAL_APIC_NO_DEADLINE,
    };
    for (unsigned i = 0; i < LVT_COUNT; i++)
        fresh.lvt[i] = LVT_MASKED;
    *apic = fresh;
}

void local_apic_initialize(struct local_apic *apic, uint32_t id, bool x2apic_allowed, bool tsc_deadline_allowed)
{
    *apic = (struct local_apic){
        .base = APIC_BASE_DEFAULT | APIC_BASE_ENABLE | (id == 0 ? APIC_BASE_BSP : 0),
        .id = id,
        .x2apic_allowed = x2apic_allowed,
        .tsc_deadline_allowed = tsc_deadline_allowed,
    };
    local_apic_init(apic);
}

bool local_apic_restore_base(struct local_apic *apic, uint64_t value, unsigned address_bits)
{
    uint64_t allowed = (APIC_BASE_ADDRESS & ((1ull << address_bits) - 1)) | APIC_BASE_ENABLE | APIC_BASE_BSP;
    if (apic->x2apic_allowed)
        allowed |= APIC_BASE_X2APIC;
    if ((value & ~allowed) != 0 || (value & (APIC_BASE_ENABLE | APIC_BASE_X2APIC)) == APIC_BASE_X2APIC)
        return false;
    bool was_enabled = local_apic_enabled(apic);
    /* Which processor is the boot processor is not for software to say (APM 16.3.1). */
    apic->base = (value & ~APIC_BASE_BSP) | (apic->base & APIC_BASE_BSP);
    if (was_enabled && !local_apic_enabled(apic))
        local_apic_init(apic);
    return true;
}

bool local_apic_set_base(struct local_apic *apic, uint64_t value, unsigned address_bits)
{
    bool to_x2apic = (value & APIC_BASE_X2APIC) != 0;
    bool to_enabled = (value & APIC_BASE_ENABLE) != 0;
    /* x2APIC mode is entered from xAPIC mode only, and left only by disabling. */
    if (to_x2apic && !local_apic_enabled(apic))
        return false;
    if (!to_x2apic && to_enabled && local_apic_x2apic(apic))
        return false;
    return local_apic_restore_base(apic, value, address_bits);
}

/* --- priorities --- */

uint32_t local_apic_processor_priority(const struct local_apic *apic)
{
    int service = bit_highest(apic->isr);
    if (service < 0 || (apic->tpr >> 4) >= (uint32_t)service >> 4)
        return apic->tpr;
    return (uint32_t)service & 0xF0;
}

int local_apic_pending(const struct local_apic *apic)
{
    int vector = bit_highest(apic->irr);
    if (vector < 0 || (uint32_t)vector >> 4 <= local_apic_processor_priority(apic) >> 4)
        return -1;
    return vector;
}

void local_apic_acknowledge(struct local_apic *apic, uint8_t vector)
{
    bit_clear(apic->irr, vector);
    bit_set(apic->isr, vector);
}

int local_apic_take_extint(struct local_apic *apic)
{
    if (!apic->extint_pending)
        return -1;
    apic->extint_pending = false;
    return apic->extint_vector;
}

static void end_of_interrupt(struct local_apic *apic)
{
    int vector = bit_highest(apic->isr);
    if (vector < 0)
        return;
    bit_clear(apic->isr, (unsigned)vector);
    if (bit_test(apic->tmr, (unsigned)vector)) {
        apic->eoi_pending = true;
        apic->eoi_vector = (uint8_t)vector;
    }
}

int local_apic_take_eoi(struct local_apic *apic)
{
    if (!apic->eoi_pending)
        return -1;
    apic->eoi_pending = false;
    return apic->eoi_vector;
}

/* --- arrival --- */

static bool request_vector(struct local_apic *apic, unsigned vector, bool level)
{
    bool news = !bit_test(apic->irr, vector);
    bit_set(apic->irr, vector);
    if (level)
        bit_set(apic->tmr, vector);
    else
        bit_clear(apic->tmr, vector);
    return news;
}

/* Records errors and raises the error interrupt. */
static void record_error(struct local_apic *apic, uint32_t errors)
{
    apic->error_pending |= errors;
    uint32_t lvt = apic->lvt[LVT_ERROR];
    if ((lvt & LVT_MASKED) != 0)
        return;
    if ((lvt & LVT_VECTOR) < 16) /* an error of its own, which cannot be told by the same vector */
        apic->error_pending |= APIC_ERROR_RECEIVED_ILLEGAL_VECTOR;
    else
        request_vector(apic, lvt & LVT_VECTOR, false);
}

bool local_apic_accepts_fixed(const struct local_apic *apic)
{
    return local_apic_enabled(apic) && (apic->svr & SVR_ENABLE) != 0;
}

enum local_apic_accept local_apic_accept(struct local_apic *apic, uint8_t vector, bool level)
{
    if (!local_apic_accepts_fixed(apic))
        return LOCAL_APIC_REJECTED;
    if (vector < 16) {
        record_error(apic, APIC_ERROR_RECEIVED_ILLEGAL_VECTOR);
        return LOCAL_APIC_REJECTED;
    }
    return request_vector(apic, vector, level) ? LOCAL_APIC_ACCEPTED : LOCAL_APIC_PENDING;
}

bool local_apic_matches_logical(const struct local_apic *apic, uint32_t destination)
{
    if (local_apic_x2apic(apic)) {
        uint32_t ldr = local_apic_x2apic_ldr(apic->id);
        return destination >> 16 == ldr >> 16 && (destination & ldr & 0xFFFF) != 0;
    }
    uint32_t ldr = apic->ldr >> 24;
    if (!local_apic_enabled(apic) || destination > 0xFF)
        return false;
    if (apic->dfr >> 28 == 0xF) /* flat model */
        return (destination & ldr) != 0;
    return destination >> 4 == ldr >> 4 && (destination & ldr & 0xF) != 0;
}

bool local_apic_accepts_extint(const struct local_apic *apic)
{
    uint32_t lvt = apic->lvt[LVT_LINT0];
    return !local_apic_enabled(apic) || (lvt & (LVT_MASKED | LVT_MODE)) == MODE_EXTINT << LVT_MODE_SHIFT;
}

enum local_apic_local_event local_apic_signal(struct local_apic *apic, enum local_apic_lvt entry, bool *news)
{
    uint32_t lvt = apic->lvt[entry];
    *news = false;
    if (!local_apic_enabled(apic)) {
        /* LINT0 and LINT1 are the processor's INTR and NMI pins then. */
        if (entry == LVT_LINT0)
            return LOCAL_APIC_EVENT_EXTINT;
        return entry == LVT_LINT1 ? LOCAL_APIC_EVENT_NMI : LOCAL_APIC_EVENT_NONE;
    }
    if ((lvt & LVT_MASKED) != 0)
        return LOCAL_APIC_EVENT_NONE;
    switch ((lvt & LVT_MODE) >> LVT_MODE_SHIFT) {
    case MODE_FIXED:
        *news = local_apic_accept(apic, lvt & LVT_VECTOR, false) == LOCAL_APIC_ACCEPTED;
        return LOCAL_APIC_EVENT_NONE;
    case MODE_NMI:
        return LOCAL_APIC_EVENT_NMI;
    case MODE_INIT:
        return LOCAL_APIC_EVENT_INIT;
    case MODE_EXTINT:
        return LOCAL_APIC_EVENT_EXTINT;
    default: /* SMI, which no child has, and the reserved modes */
        return LOCAL_APIC_EVENT_NONE;
    }
}

/* --- registers --- */

static enum local_apic_lvt lvt_index(uint32_t offset)
{
    return (enum local_apic_lvt)((offset - APIC_REGISTER_LVT_TIMER) >> 4);
}

static uint32_t vector_word(const uint64_t bits[4], uint32_t offset)
{
    unsigned word = offset >> 4 & 7;
    return (uint32_t)(bits[word / 2] >> (word % 2 * 32));
}

/* A register that is readable in the present mode. */
static uint32_t read_register(struct local_apic *apic, uint32_t offset, uint64_t now)
{
    bool x2apic = local_apic_x2apic(apic);
    switch (offset) {
    case APIC_REGISTER_ID:
        return x2apic ? apic->id : apic->id << 24;
    case APIC_REGISTER_VERSION:
        return APIC_VERSION;
    case APIC_REGISTER_TPR:
        return apic->tpr;
    case APIC_REGISTER_APR:
    case APIC_REGISTER_PPR: /* no arbitration takes place: its priority is the processor's */
        return local_apic_processor_priority(apic);
    case APIC_REGISTER_LDR:
        return x2apic ? local_apic_x2apic_ldr(apic->id) : apic->ldr;
    case APIC_REGISTER_DFR:
        return apic->dfr;
    case APIC_REGISTER_SVR:
        return apic->svr;
    case APIC_REGISTER_ISR ... APIC_REGISTER_TMR - 1:
        return vector_word(apic->isr, offset);
    case APIC_REGISTER_TMR ... APIC_REGISTER_IRR - 1:
        return vector_word(apic->tmr, offset);
    case APIC_REGISTER_IRR ... APIC_REGISTER_ESR - 1:
        return vector_word(apic->irr, offset);
    case APIC_REGISTER_ESR:
        return apic->error_status;
    case APIC_REGISTER_ICR_LOW:
        return (uint32_t)apic->icr;
    case APIC_REGISTER_ICR_HIGH:
        return (uint32_t)(apic->icr >> 32);
    case APIC_REGISTER_LVT_TIMER ... APIC_REGISTER_LVT_ERROR:
        return apic->lvt[lvt_index(offset)];
    case APIC_REGISTER_INITIAL_COUNT:
        return apic->initial_count;
    case APIC_REGISTER_CURRENT_COUNT:
        return local_apic_timer_count(apic, now);
    case APIC_REGISTER_DIVIDE:
        return apic->divide;
    default: /* remote read: no processor answers one any more */
        return 0;
    }
}

/* The command in the ICR. Fixed interrupts to itself need nobody else. */
static void send(struct local_apic *apic, struct local_apic_effect *effect)
{
    uint32_t low = (uint32_t)apic->icr, high = (uint32_t)(apic->icr >> 32);
    unsigned mode = low >> ICR_MODE_SHIFT & 7;
    uint8_t vector = (uint8_t)low;
    unsigned shorthand = low >> ICR_SHORTHAND_SHIFT & 3;

    if (mode == MODE_RESERVED || mode == MODE_EXTINT)
        return;
    /* INIT level de-assert: no processor since the Pentium 4 takes notice of it (SDM 11.6.1). */
    if (mode == MODE_INIT && (low & (ICR_LEVEL | ICR_ASSERT)) == ICR_LEVEL)
        return;
    if ((mode == MODE_FIXED || mode == MODE_LOWEST) && vector < 16) {
        record_error(apic, APIC_ERROR_SEND_ILLEGAL_VECTOR);
        return;
    }
    if (mode == MODE_FIXED && shorthand == INTERRUPT_TO_SELF) {
        local_apic_accept(apic, vector, false);
        return;
    }
    effect->send = true;
    effect->request = (struct interrupt_request){
        .type = (uint8_t)mode, /* enum hv_interrupt_type has the same numbers */
        .vector = vector,
        .shorthand = (uint8_t)shorthand,
        .logical = (low & ICR_LOGICAL) != 0,
        .wide = local_apic_x2apic(apic),
        .destination = local_apic_x2apic(apic) ? high : high >> 24,
    };
}

static void write_svr(struct local_apic *apic, uint32_t value)
{
    apic->svr = value;
    if ((value & SVR_ENABLE) == 0)
        for (unsigned i = 0; i < LVT_COUNT; i++)
            apic->lvt[i] |= LVT_MASKED;
}

static void write_lvt(struct local_apic *apic, uint32_t offset, uint32_t value, uint64_t now)
{
    if ((apic->svr & SVR_ENABLE) == 0)
        value |= LVT_MASKED;
    if (offset == APIC_REGISTER_LVT_TIMER)
        local_apic_timer_write_lvt(apic, value, now);
    else
        apic->lvt[lvt_index(offset)] = value;
}

/* A register that is writable in the present mode; `value` has no other than writable bits. */
static void write_register(struct local_apic *apic, uint32_t offset, uint32_t value, uint64_t now,
                           struct local_apic_effect *effect)
{
    switch (offset) {
    case APIC_REGISTER_TPR:
        apic->tpr = value;
        break;
    case APIC_REGISTER_EOI:
        end_of_interrupt(apic);
        break;
    case APIC_REGISTER_LDR:
        apic->ldr = value;
        break;
    case APIC_REGISTER_DFR:
        apic->dfr = value | 0x0FFFFFFF;
        break;
    case APIC_REGISTER_SVR:
        local_apic_tick(apic, now);
        write_svr(apic, value);
        break;
    case APIC_REGISTER_ESR: /* a write brings forth what was found since the last (SDM 11.5.3) */
        apic->error_status = apic->error_pending;
        apic->error_pending = 0;
        break;
    case APIC_REGISTER_ICR_LOW:
        apic->icr = (apic->icr & ~0xFFFFFFFFull) | value;
        send(apic, effect);
        break;
    case APIC_REGISTER_ICR_HIGH:
        apic->icr = (apic->icr & 0xFFFFFFFFull) | (uint64_t)value << 32;
        break;
    case APIC_REGISTER_LVT_TIMER ... APIC_REGISTER_LVT_ERROR:
        write_lvt(apic, offset, value, now);
        break;
    case APIC_REGISTER_INITIAL_COUNT:
        local_apic_timer_write_initial(apic, value, now);
        break;
    case APIC_REGISTER_DIVIDE:
        local_apic_timer_write_divide(apic, value, now);
        break;
    case APIC_REGISTER_SELF_IPI:
        local_apic_accept(apic, (uint8_t)value, false);
        break;
    }
}

uint32_t local_apic_read(struct local_apic *apic, uint32_t offset, uint64_t now)
{
    if ((offset & 0xF) == 0 && offset < 0x400) {
        unsigned access = apic_registers[offset >> 4].access;
        if ((access & XR) != 0)
            return read_register(apic, offset, now);
        if ((access & XW) != 0)
            return 0;
    }
    record_error(apic, APIC_ERROR_ILLEGAL_REGISTER);
    return 0;
}

void local_apic_write(struct local_apic *apic, uint32_t offset, uint32_t value, uint64_t now,
                      struct local_apic_effect *effect)
{
    effect->send = false;
    if ((offset & 0xF) == 0 && offset < 0x400) {
        unsigned access = apic_registers[offset >> 4].access;
        if ((access & XW) != 0)
            write_register(apic, offset, value & local_apic_writable_bits(apic, offset), now, effect);
        if ((access & (XR | XW)) != 0)
            return;
    }
    record_error(apic, APIC_ERROR_ILLEGAL_REGISTER);
}

/* The xAPIC offset of an x2APIC MSR, or of a register that is none. */
static uint32_t msr_offset(const struct local_apic *apic, uint32_t msr)
{
    uint32_t offset = (msr - APIC_X2APIC_MSR_FIRST) << 4;
    return local_apic_x2apic(apic) && offset < 0x400 ? offset : 0;
}

bool local_apic_read_msr(struct local_apic *apic, uint32_t msr, uint64_t now, uint64_t *value)
{
    uint32_t offset = msr_offset(apic, msr);
    if ((apic_registers[offset >> 4].access & X2R) == 0)
        return false;
    *value = offset == APIC_REGISTER_ICR_LOW ? apic->icr : read_register(apic, offset, now);
    return true;
}

bool local_apic_write_msr(struct local_apic *apic, uint32_t msr, uint64_t value, uint64_t now,
                          struct local_apic_effect *effect)
{
    uint32_t offset = msr_offset(apic, msr);
    effect->send = false;
    if ((apic_registers[offset >> 4].access & X2W) == 0)
        return false;
    uint64_t bits = local_apic_writable_bits(apic, offset);
    if (offset == APIC_REGISTER_ICR_LOW)
        bits |= 0xFFFFFFFF00000000ull | ICR_BUSY;
    if ((value & ~bits) != 0)
        return false;
    if (offset == APIC_REGISTER_ICR_LOW)
        apic->icr = value & 0xFFFFFFFF00000000ull;
    write_register(apic, offset, (uint32_t)value & local_apic_writable_bits(apic, offset), now, effect);
    return true;
}
