/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/worker/partition.h"

#include <string.h>

#include "hv/loam.h"
#include "partitions/root/worker/cpuid_topology.h"

/* Registers in one call; 127 would fit (TLFS). */
#define REGISTERS_PER_CALL 64u

static unsigned call(const struct partition *partition, struct mshv_root_hvcall *request)
{
    int error = partition->hypervisor->operations->call(partition->hypervisor, request);

    if (request->status != HV_STATUS_SUCCESS)
        return request->status;
    return error ? PARTITION_NO_ANSWER : HV_STATUS_SUCCESS;
}

static unsigned simple_call(const struct partition *partition, uint16_t code, const void *input,
                            uint16_t input_size, void *output, uint16_t output_size)
{
    struct mshv_root_hvcall request = {
        .code = code,
        .in_sz = input_size,
        .out_sz = output_size,
        .in_ptr = (uintptr_t)input,
        .out_ptr = (uintptr_t)output,
    };

    return call(partition, &request);
}

unsigned partition_set_property(const struct partition *partition, uint32_t code, uint64_t value)
{
    struct hv_input_set_partition_property input = {.property_code = code, .property_value = value};

    return simple_call(partition, HVCALL_SET_PARTITION_PROPERTY, &input, sizeof input, NULL, 0);
}

unsigned partition_get_property(const struct partition *partition, uint32_t code, uint64_t *value)
{
    struct hv_input_get_partition_property input = {.property_code = code};

    return simple_call(partition, HVCALL_GET_PARTITION_PROPERTY, &input, sizeof input, value, sizeof *value);
}

static unsigned set_early_properties(const struct partition *partition)
{
    static const struct {
        uint32_t code;
        uint64_t value;
    } properties[] = {
        {HV_PARTITION_PROPERTY_SYNTHETIC_PROC_FEATURES,  0                                },
        {LOAM_PARTITION_PROPERTY_APIC_EOI_MESSAGES,      1                                },
        {HV_PARTITION_PROPERTY_UNIMPLEMENTED_MSR_ACTION, HV_UNIMPLEMENTED_MSR_ACTION_FAULT},
        /* All VPs are created, and their state is saved, at one moment of guest time: their TSCs agree. */
        {HV_PARTITION_PROPERTY_TIME_FREEZE,              1                                },
    };

    for (unsigned i = 0; i < sizeof properties / sizeof properties[0]; i++) {
        unsigned status = partition_set_property(partition, properties[i].code, properties[i].value);

        if (status != HV_STATUS_SUCCESS)
            return status;
    }
    return HV_STATUS_SUCCESS;
}

int partition_create(struct partition *partition, struct hypervisor *hypervisor, const char **step)
{
    int error;

    partition->hypervisor = hypervisor;
    *step = "create a partition";
    error = hypervisor->operations->create_partition(hypervisor, MSHV_PT_LAPIC | MSHV_PT_X2APIC |
                                                                     MSHV_PT_GPA_SUPER_PAGES);
    if (error)
        return error;
    *step = "set the partition's properties";
    error = (int)set_early_properties(partition);
    if (error)
        return error;
    *step = "initialize the partition";
    return hypervisor->operations->initialize_partition(hypervisor);
}

static unsigned get_some_registers(const struct partition *partition, uint32_t vp, const uint32_t *names,
                                   union hv_register_value *values, unsigned count)
{
    struct {
        struct hv_input_get_vp_registers header;
        uint32_t names[REGISTERS_PER_CALL];
    } input = {.header.vp_index = vp};
    struct mshv_root_hvcall request = {
        .code = HVCALL_GET_VP_REGISTERS,
        .reps = (uint16_t)count,
        .in_sz = (uint16_t)(sizeof input.header + count * sizeof *names),
        .out_sz = (uint16_t)(count * sizeof *values),
        .in_ptr = (uintptr_t)&input,
        .out_ptr = (uintptr_t)values,
    };
    unsigned status;

    memcpy(input.names, names, count * sizeof *names);
    status = call(partition, &request);
    if (status == HV_STATUS_SUCCESS && request.reps != count)
        return PARTITION_NO_ANSWER;
    return status;
}

unsigned partition_get_registers(const struct partition *partition, uint32_t vp, const uint32_t *names,
                                 union hv_register_value *values, unsigned count)
{
    for (unsigned done = 0; done < count; done += REGISTERS_PER_CALL) {
        unsigned some = count - done < REGISTERS_PER_CALL ? count - done : REGISTERS_PER_CALL;
        unsigned status = get_some_registers(partition, vp, names + done, values + done, some);

        if (status != HV_STATUS_SUCCESS)
            return status;
    }
    return HV_STATUS_SUCCESS;
}

static unsigned set_some_registers(const struct partition *partition, uint32_t vp,
                                   const struct hv_register_assoc *registers, unsigned count)
{
    struct {
        struct hv_input_set_vp_registers header;
        struct hv_register_assoc elements[REGISTERS_PER_CALL];
    } input = {.header.vp_index = vp};
    struct mshv_root_hvcall request = {
        .code = HVCALL_SET_VP_REGISTERS,
        .reps = (uint16_t)count,
        .in_sz = (uint16_t)(sizeof input.header + count * sizeof *registers),
        .in_ptr = (uintptr_t)&input,
    };
    unsigned status;

    memcpy(input.elements, registers, count * sizeof *registers);
    status = call(partition, &request);
    if (status == HV_STATUS_SUCCESS && request.reps != count)
        return PARTITION_NO_ANSWER;
    return status;
}

unsigned partition_set_registers(const struct partition *partition, uint32_t vp,
                                 const struct hv_register_assoc *registers, unsigned count)
{
    for (unsigned done = 0; done < count; done += REGISTERS_PER_CALL) {
        unsigned some = count - done < REGISTERS_PER_CALL ? count - done : REGISTERS_PER_CALL;
        unsigned status = set_some_registers(partition, vp, registers + done, some);

        if (status != HV_STATUS_SUCCESS)
            return status;
    }
    return HV_STATUS_SUCCESS;
}

unsigned partition_translate(const struct partition *partition, uint32_t vp, uint64_t flags, uint64_t linear,
                             struct hv_output_translate_virtual_address *output)
{
    struct hv_input_translate_virtual_address input = {
        .vp_index = vp, .control_flags = flags, .gva_page = linear >> HV_PAGE_SHIFT};

    return simple_call(partition, HVCALL_TRANSLATE_VIRTUAL_ADDRESS, &input, sizeof input, output,
                       sizeof *output);
}

unsigned partition_assert_interrupt(const struct partition *partition, enum hv_interrupt_type type,
                                    uint32_t flags, uint64_t destination, uint8_t vector)
{
    struct hv_input_assert_virtual_interrupt input = {
        .interrupt_type = type, .interrupt_flags = flags, .destination = destination, .vector = vector};

    return simple_call(partition, HVCALL_ASSERT_VIRTUAL_INTERRUPT, &input, sizeof input, NULL, 0);
}

unsigned partition_register_cpuid(const struct partition *partition, uint32_t vp,
                                  const struct cpuid_leaf *leaf)
{
    struct hv_input_register_intercept_result input = {
        .vp_index = vp,
        .intercept_type = HV_INTERCEPT_TYPE_X64_CPUID,
        .eax = leaf->leaf,
        .ecx = leaf->subleaf,
        .subleaf_specific = leaf->subleaf_specific,
        .always_override = 1,
    };

    for (unsigned i = 0; i < 4; i++) {
        input.result[i].value = leaf->value[i];
        input.result[i].mask = leaf->mask[i];
    }
    return simple_call(partition, HVCALL_REGISTER_INTERCEPT_RESULT, &input, sizeof input, NULL, 0);
}
