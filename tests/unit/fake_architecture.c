/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The architecture of the fake machine: CPUID, MSRs, extended state, instructions, as simple as they can be.
 */
#include <string.h>

#include "hv/loam.h"
#include "kernel/interrupt.h"
#include "kernel/log.h"
#include "kernel/nested_table.h"
#include "kernel/partition.h"
#include "kernel/shoot_down.h"
#include "tests/unit/fake_machine.h"

#define MSR_APIC_BASE    0x1Bu
#define MSR_SPEC_CTRL    0x48u
#define MSR_TSC_DEADLINE 0x6E0u
#define MSR_GUEST_OS_ID  0x40000000u
#define XSTATE_LEGACY    3u
#define XSAVE_SIZE       576u
#define MXCSR_OFFSET     24u
#define MXCSR_MASK       0xFFFFu

void child_cpuid_policy(uint32_t leaf, uint32_t subleaf, uint32_t result[4])
{
    result[0] = leaf;
    result[1] = subleaf;
    result[2] = result[3] = ~0u;
}

void child_cpuid_default(const struct vp *vp, uint32_t leaf, uint32_t subleaf, uint32_t result[4])
{
    child_cpuid_policy(leaf, subleaf, result);
    if (leaf == 1)
        result[1] |= vp->apic.id << 24;
}

bool child_cpuid_live(const struct vp *vp, uint32_t leaf, uint32_t subleaf, uint32_t result[4])
{
    if (leaf == 1)
        result[2] = (result[2] & ~(1u << 27)) | (vendor->get(vp, VP_CR4) & FAKE_CR4_OSXSAVE ? 1u << 27 : 0);
    if (leaf == 0xD && subleaf == 0)
        result[1] = (uint32_t)vp->xcr0;
    return leaf == 1 || leaf == 0xD;
}

void child_msr_reset(struct vp *vp)
{
    vendor->set(vp, VP_PAT, 0x0007040600070406);
}

bool child_msr_read(struct vp *vp, uint32_t msr, uint64_t *value)
{
    *value = 0;
    if (msr == MSR_APIC_BASE)
        *value = vp->apic.base;
    else if (msr == MSR_GUEST_OS_ID)
        *value = vp->guest_os_id;
    else if (msr >= APIC_X2APIC_MSR_FIRST && msr <= APIC_X2APIC_MSR_LAST)
        return local_apic_read_msr(&vp->apic, msr, arch_tsc(), value);
    else
        return vp->partition->unimplemented_msr_action == HV_UNIMPLEMENTED_MSR_ACTION_IGNORE_WRITE_READ_ZERO;
    return true;
}

bool child_msr_write(struct vp *vp, uint32_t msr, uint64_t value)
{
    struct local_apic_effect effect = {0};

    if (msr == MSR_GUEST_OS_ID) {
        vp->guest_os_id = value;
    } else if (msr == MSR_SPEC_CTRL) {
        vp->spec_ctrl = value;
        return value < 8;
    } else if (msr == MSR_APIC_BASE) {
        return local_apic_set_base(&vp->apic, value, FAKE_ADDRESS_BITS);
    } else if (msr == MSR_TSC_DEADLINE) {
        local_apic_set_tsc_deadline(&vp->apic, value);
    } else if (msr >= APIC_X2APIC_MSR_FIRST && msr <= APIC_X2APIC_MSR_LAST) {
        if (!local_apic_write_msr(&vp->apic, msr, value, arch_tsc(), &effect))
            return false;
        if (effect.send)
            interrupt_deliver(vp->partition, &effect.request, vp, &vp->wake);
    } else {
        return vp->partition->unimplemented_msr_action == HV_UNIMPLEMENTED_MSR_ACTION_IGNORE_WRITE_READ_ZERO;
    }
    return true;
}

uint64_t child_cr4_bits(void)
{
    return FAKE_CR4_BITS;
}

bool child_cr4_write(struct vp *vp, uint64_t value)
{
    if (value & ~FAKE_CR4_BITS)
        return false;
    vendor->set(vp, VP_CR4, value);
    return true;
}

bool guest_cr0_write(struct vp *vp, uint64_t value)
{
    if (value >> 32 != 0)
        return false;
    vendor->set(vp, VP_CR0, value);
    return true;
}

void extended_state_enter(struct vp *child)
{
    (void)child;
    fake_extended_state_entered++;
}

void extended_state_leave(struct vp *child)
{
    (void)child;
    fake_extended_state_entered--;
}

void extended_state_reset(struct vp *child)
{
    memset(child->extended_state, 0, HV_PAGE_SIZE);
    child->xcr0 = 1;
}

bool extended_state_set_xcr0(struct vp *child, uint64_t value)
{
    if (!(value & 1) || (value & ~(uint64_t)XSTATE_LEGACY))
        return false;
    child->xcr0 = value;
    return true;
}

uint64_t extended_state_get_debug_register(const struct vp *child, unsigned number)
{
    return child->debug_registers[number];
}

void extended_state_set_debug_register(struct vp *child, unsigned number, uint64_t value)
{
    child->debug_registers[number] = value;
}

uint64_t extended_state_mask(void)
{
    return XSTATE_LEGACY;
}

size_t extended_state_size(void)
{
    return XSAVE_SIZE;
}

enum hv_status extended_state_get(const struct vp *child, uint64_t states, void *image, size_t size)
{
    if ((states & ~(uint64_t)XSTATE_LEGACY) || size < XSAVE_SIZE)
        return HV_STATUS_INVALID_PARAMETER;
    memcpy(image, child->extended_state, XSAVE_SIZE);
    return HV_STATUS_SUCCESS;
}

enum hv_status extended_state_set(struct vp *child, uint64_t states, const void *image, size_t size)
{
    uint32_t mxcsr;

    if ((states & ~(uint64_t)XSTATE_LEGACY) || size < XSAVE_SIZE)
        return HV_STATUS_INVALID_PARAMETER;
    memcpy(&mxcsr, (const uint8_t *)image + MXCSR_OFFSET, sizeof(mxcsr));
    if (mxcsr & ~MXCSR_MASK)
        return HV_STATUS_INVALID_REGISTER_VALUE;
    memcpy(child->extended_state, image, XSAVE_SIZE);
    return HV_STATUS_SUCCESS;
}

void *extended_state_legacy(struct vp *child)
{
    if (fake_extended_state_entered)
        panic("extended state is in the processor");
    return child->extended_state;
}

/* Guest virtual addresses are guest physical ones. */
void guest_translate(struct vp *vp, uint64_t gva, uint64_t access,
                     struct hv_output_translate_virtual_address *output)
{
    struct nested_translation translation;

    memset(output, 0, sizeof(*output));
    output->gpa_page = gva >> HV_PAGE_SHIFT;
    if (!nested_lookup(&vp->partition->map, gva, &translation))
        output->result_code = HV_TRANSLATE_GVA_GPA_UNMAPPED;
    else if (!translation.access)
        output->result_code = HV_TRANSLATE_GVA_GPA_NO_READ_ACCESS;
    else if ((access & HV_TRANSLATE_VALIDATE_WRITE) && !(translation.access & HV_MAP_GPA_WRITABLE))
        output->result_code = HV_TRANSLATE_GVA_GPA_NO_WRITE_ACCESS;
}

unsigned guest_fetch_instruction(struct vp *vp, uint8_t bytes[15])
{
    struct nested_translation translation;
    unsigned count = 0;

    struct vp *before = guest_memory_begin(vp);
    while (count < 15 && nested_lookup(&vp->partition->map, vp->rip + count, &translation) &&
           translation.access)
        bytes[count++] = *(const uint8_t *)physical_pointer(translation.spa);
    guest_memory_end(before);
    return count;
}

bool guest_instruction_no_access(struct vp *vp, uint64_t *gpa)
{
    struct nested_translation translation;

    struct vp *before = guest_memory_begin(vp);
    nested_lookup(&vp->partition->map, vp->rip, &translation);
    guest_memory_end(before);
    if (translation.no_access)
        *gpa = vp->rip & ~(uint64_t)(HV_PAGE_SIZE - 1);
    return translation.no_access;
}

unsigned guest_privilege_level(const struct vp *vp)
{
    struct hv_x64_segment_register ss;

    vendor->get_segment(vp, VP_SS, &ss);
    return ss.attributes >> HV_SEGMENT_DPL_SHIFT & 3;
}

unsigned guest_instruction_length(struct vp *vp, const struct vp_exit *exit)
{
    (void)vp;
    return exit->instruction_length ? exit->instruction_length : FAKE_INSTRUCTION_LENGTH;
}

void guest_instruction_done(struct vp *vp, unsigned length)
{
    vp->rip += length;
    vendor->set(vp, VP_INTERRUPT_SHADOW, 0);
}

/* Stores and loads RAX. */
enum apic_page_result apic_page_access(struct vp *vp, const struct vp_exit *exit)
{
    struct local_apic_effect effect = {0};
    uint32_t offset = (uint32_t)exit->fault.gpa & (HV_PAGE_SIZE - 1);

    if (exit->fault.execute || offset % 4)
        return APIC_PAGE_UNKNOWN;
    if (exit->fault.write)
        local_apic_write(&vp->apic, offset, (uint32_t)vp->gpr[GPR_RAX], arch_tsc(), &effect);
    else
        vp->gpr[GPR_RAX] = local_apic_read(&vp->apic, offset, arch_tsc());
    if (effect.send)
        interrupt_deliver(vp->partition, &effect.request, vp, &vp->wake);
    guest_instruction_done(vp, FAKE_INSTRUCTION_LENGTH);
    return exit->fault.write ? APIC_PAGE_WRITTEN : APIC_PAGE_READ;
}

bool kick_take_nmi(void)
{
    if (!fake_nmi_is_kick)
        lp_current()->parent_nmi = true;
    return !fake_nmi_is_kick;
}

void log_read(uint64_t position, uint32_t size, struct loam_output_read_log *output)
{
    output->position = position;
    output->end = position + size;
    output->size = size;
    memset(output->text, 'x', size);
}
