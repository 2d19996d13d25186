/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Partition properties (TLFS HV_PARTITION_PROPERTY_CODE). */
#include "kernel/arch.h"
#include "kernel/hypercall.h"
#include "kernel/interrupt.h"
#include "kernel/partition.h"
#include "kernel/vp.h"

#define TICKS_PER_SECOND 10000000ull /* reference time counts 100 ns */

/* Ticks of 100 ns in `ticks` of the TSC, without overflow for centuries. */
static uint64_t reference_ticks(uint64_t ticks)
{
    uint64_t frequency = arch_tsc_frequency();

    return ticks / frequency * TICKS_PER_SECOND + ticks % frequency * TICKS_PER_SECOND / frequency;
}

static uint64_t tsc_ticks(uint64_t reference)
{
    uint64_t frequency = arch_tsc_frequency();

    return reference / TICKS_PER_SECOND * frequency + reference % TICKS_PER_SECOND * frequency / TICKS_PER_SECOND;
}

uint64_t partition_now(const struct partition *partition)
{
    uint64_t frozen_at = __atomic_load_n(&partition->frozen_at, __ATOMIC_ACQUIRE);

    return frozen_at ? frozen_at : arch_tsc();
}

uint64_t partition_reference_time(const struct partition *partition)
{
    return reference_ticks(partition_now(partition) - partition->reference_base);
}

static enum hv_status set_reference_time(struct partition *partition, uint64_t value)
{
    partition->reference_base = partition_now(partition) - tsc_ticks(value);
    return HV_STATUS_SUCCESS;
}

static uint64_t get_privilege_flags(const struct partition *partition)
{
    (void)partition;
    return 0; /* children see no synthetic features yet */
}

static uint64_t get_synthetic_features(const struct partition *partition)
{
    return partition->synthetic_features;
}

/* Any value is stored; what a child is shown is less. */
static enum hv_status set_synthetic_features(struct partition *partition, uint64_t value)
{
    if (partition->state != PARTITION_CREATED)
        return HV_STATUS_INVALID_PARTITION_STATE;
    partition->synthetic_features = value;
    return HV_STATUS_SUCCESS;
}

static uint64_t get_time_freeze(const struct partition *partition)
{
    return partition->frozen_at != 0;
}

static void release_vps(struct partition *partition, uint32_t end)
{
    for (uint32_t i = 0; i < end; i++) {
        struct vp *vp = partition_vp(partition, i);

        if (vp)
            vp_release(vp);
    }
}

/* All or none: none if one runs. */
static bool claim_vps(struct partition *partition)
{
    for (uint32_t i = 0; i < HV_MAXIMUM_VPS; i++) {
        struct vp *vp = partition_vp(partition, i);

        if (vp && !vp_claim(vp)) {
            release_vps(partition, i);
            return false;
        }
    }
    return true;
}

/* Time that passed while it was frozen has not passed for any VP. */
static enum hv_status set_time_freeze(struct partition *partition, uint64_t value)
{
    uint64_t now = arch_tsc(), skipped;

    if (value > 1)
        return HV_STATUS_PROPERTY_VALUE_OUT_OF_RANGE;
    if (value == (partition->frozen_at != 0))
        return HV_STATUS_SUCCESS;
    if (!claim_vps(partition))
        return HV_STATUS_INVALID_VP_STATE;
    if (value) {
        __atomic_store_n(&partition->frozen_at, now, __ATOMIC_RELEASE);
    } else {
        skipped = now - partition->frozen_at;
        for (uint32_t i = 0; i < HV_MAXIMUM_VPS; i++) {
            struct vp *vp = partition_vp(partition, i);

            if (vp)
                vp_skip_time(vp, skipped);
        }
        partition->reference_base += skipped;
        __atomic_store_n(&partition->frozen_at, 0, __ATOMIC_RELEASE);
    }
    release_vps(partition, HV_MAXIMUM_VPS);
    return HV_STATUS_SUCCESS;
}

static uint64_t get_processors_per_socket(const struct partition *partition)
{
    (void)partition;
    return HV_MAXIMUM_VPS; /* topology is what the VMM registers as CPUID results */
}

/* Accessed and dirty bits are always kept: off is only what the VMM said. */
static uint64_t get_access_tracking(const struct partition *partition)
{
    return partition->access_tracking;
}

static enum hv_status set_access_tracking(struct partition *partition, uint64_t value)
{
    if (value > 1)
        return HV_STATUS_PROPERTY_VALUE_OUT_OF_RANGE;
    __atomic_store_n(&partition->access_tracking, value, __ATOMIC_RELAXED);
    return HV_STATUS_SUCCESS;
}

static uint64_t get_address_bits(const struct partition *partition)
{
    unsigned bits = arch_physical_address_bits();

    (void)partition;
    return bits < NESTED_ADDRESS_BITS ? bits : NESTED_ADDRESS_BITS;
}

static uint64_t get_unimplemented_msr_action(const struct partition *partition)
{
    return partition->unimplemented_msr_action;
}

static enum hv_status set_unimplemented_msr_action(struct partition *partition, uint64_t value)
{
    if (value > HV_UNIMPLEMENTED_MSR_ACTION_IGNORE_WRITE_READ_ZERO)
        return HV_STATUS_PROPERTY_VALUE_OUT_OF_RANGE;
    __atomic_store_n(&partition->unimplemented_msr_action, value, __ATOMIC_RELAXED);
    return HV_STATUS_SUCCESS;
}

/* 0 AMD, 1 Intel, 2 Hygon */
static uint64_t get_processor_vendor(const struct partition *partition)
{
    uint32_t result[4];

    (void)partition;
    child_cpuid_policy(0, 0, result);
    switch (result[1]) {
    case 0x756E6547: /* "Genu" */
        return 1;
    case 0x6F677948: /* "Hygo" */
        return 2;
    default:
        return 0;
    }
}

static uint64_t get_processor_features0(const struct partition *partition)
{
    return partition->features[FEATURE_BANK_0];
}

static uint64_t get_processor_features1(const struct partition *partition)
{
    return partition->features[FEATURE_BANK_1];
}

static uint64_t get_xsave_features(const struct partition *partition)
{
    return partition->features[FEATURE_BANK_XSAVE];
}

/* As CPUID.1:EBX[15:8] has it, in units of 8 bytes. */
static uint64_t get_cache_line_size(const struct partition *partition)
{
    uint32_t result[4];

    (void)partition;
    child_cpuid_policy(1, 0, result);
    return result[1] >> 8 & 0xFF;
}

static uint64_t get_compatibility_version(const struct partition *partition)
{
    (void)partition;
    return HV_COMPATIBILITY_VERSION;
}

static uint64_t get_xsave_states(const struct partition *partition)
{
    (void)partition;
    return extended_state_mask();
}

static uint64_t get_xsave_size(const struct partition *partition)
{
    (void)partition;
    return extended_state_size();
}

static uint64_t get_tsc_frequency(const struct partition *partition)
{
    (void)partition;
    return arch_tsc_frequency();
}

static uint64_t get_apic_frequency(const struct partition *partition)
{
    (void)partition;
    return arch_apic_frequency();
}

static uint64_t get_apic_eoi_messages(const struct partition *partition)
{
    return partition->apic_eoi_messages;
}

static enum hv_status set_apic_eoi_messages(struct partition *partition, uint64_t value)
{
    if (value > 1)
        return HV_STATUS_PROPERTY_VALUE_OUT_OF_RANGE;
    __atomic_store_n(&partition->apic_eoi_messages, value, __ATOMIC_RELAXED);
    return HV_STATUS_SUCCESS;
}

static const struct {
    uint32_t code;
    uint64_t (*get)(const struct partition *partition);
    enum hv_status (*set)(struct partition *partition, uint64_t value); /* NULL: read-only */
} properties[] = {
    {HV_PARTITION_PROPERTY_PRIVILEGE_FLAGS,                   get_privilege_flags,          NULL                        },
    {HV_PARTITION_PROPERTY_SYNTHETIC_PROC_FEATURES,           get_synthetic_features,       set_synthetic_features      },
    {HV_PARTITION_PROPERTY_TIME_FREEZE,                       get_time_freeze,              set_time_freeze             },
    {HV_PARTITION_PROPERTY_REFERENCE_TIME,                    partition_reference_time,     set_reference_time          },
    {HV_PARTITION_PROPERTY_PROCESSORS_PER_SOCKET,             get_processors_per_socket,    NULL                        },
    {HV_PARTITION_PROPERTY_GPA_PAGE_ACCESS_TRACKING,          get_access_tracking,          set_access_tracking         },
    {HV_PARTITION_PROPERTY_IMPLEMENTED_PHYSICAL_ADDRESS_BITS, get_address_bits,             NULL                        },
    {HV_PARTITION_PROPERTY_UNIMPLEMENTED_MSR_ACTION,          get_unimplemented_msr_action, set_unimplemented_msr_action},
    {HV_PARTITION_PROPERTY_PROCESSOR_VENDOR,                  get_processor_vendor,         NULL                        },
    {HV_PARTITION_PROPERTY_PROCESSOR_FEATURES,                get_processor_features0,      NULL                        },
    {HV_PARTITION_PROPERTY_PROCESSOR_XSAVE_FEATURES,          get_xsave_features,           NULL                        },
    {HV_PARTITION_PROPERTY_PROCESSOR_CL_FLUSH_SIZE,           get_cache_line_size,          NULL                        },
    {HV_PARTITION_PROPERTY_COMPATIBILITY_VERSION,             get_compatibility_version,    NULL                        },
    {HV_PARTITION_PROPERTY_PHYSICAL_ADDRESS_WIDTH,            get_address_bits,             NULL                        },
    {HV_PARTITION_PROPERTY_XSAVE_STATES,                      get_xsave_states,             NULL                        },
    {HV_PARTITION_PROPERTY_MAX_XSAVE_DATA_SIZE,               get_xsave_size,               NULL                        },
    {HV_PARTITION_PROPERTY_PROCESSOR_CLOCK_FREQUENCY,         get_tsc_frequency,            NULL                        },
    {HV_PARTITION_PROPERTY_PROCESSOR_FEATURES0,               get_processor_features0,      NULL                        },
    {HV_PARTITION_PROPERTY_PROCESSOR_FEATURES1,               get_processor_features1,      NULL                        },
    {LOAM_PARTITION_PROPERTY_APIC_EOI_MESSAGES,               get_apic_eoi_messages,        set_apic_eoi_messages       },
    {LOAM_PARTITION_PROPERTY_APIC_FREQUENCY,                  get_apic_frequency,           NULL                        },
};
#define PROPERTY_COUNT (sizeof(properties) / sizeof(*properties))

static unsigned find_property(uint32_t code)
{
    unsigned i = 0;

    while (i < PROPERTY_COUNT && properties[i].code != code)
        i++;
    return i;
}

enum hv_status hypercall_get_partition_property(struct hypercall *call)
{
    const struct hv_input_get_partition_property *input = call->input;
    unsigned i = find_property(input->property_code);

    if (i == PROPERTY_COUNT)
        return HV_STATUS_UNKNOWN_PROPERTY;
    *(uint64_t *)call->output = properties[i].get(call->partition);
    return HV_STATUS_SUCCESS;
}

enum hv_status hypercall_set_partition_property(struct hypercall *call)
{
    const struct hv_input_set_partition_property *input = call->input;
    unsigned i = find_property(input->property_code);

    if (i == PROPERTY_COUNT)
        return HV_STATUS_UNKNOWN_PROPERTY;
    if (!properties[i].set)
        return HV_STATUS_OPERATION_DENIED;
    return properties[i].set(call->partition, input->property_value);
}
