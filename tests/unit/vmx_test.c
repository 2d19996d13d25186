/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The VT-x backend on a VMCS that is an array: what a child's controls say, and what is made of its exits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "arch/x86_64/cpu/arch_lp.h"
#include "arch/x86_64/cpu/child_policy.h"
#include "arch/x86_64/cpu/cpu_features.h"
#include "arch/x86_64/cpu/fault.h"
#include "arch/x86_64/cpu/instructions.h"
#include "arch/x86_64/cpu/kick.h"
#include "arch/x86_64/cpu/msr.h"
#include "arch/x86_64/cpu/processor_start.h"
#include "arch/x86_64/mm/physical.h"
#include "arch/x86_64/vmx/vmx.h"
#include "arch/x86_64/vmx/vmx_instructions.h"
#include "kernel/log.h"
#include "kernel/shoot_down.h"
#include "tests/unit/fake_guest.h"

#define ALL_ALLOWED (0xFFFFFFFFull << 32)

static uint64_t fields[0x7000];
static struct vp *vp;
static void (*guest)(void);
static int entered; /* enum vmx_enter */
static unsigned flushes, clears, accounted;
static bool flush_wanted;

/* --- the rest of the image, and the processor --- */

int vmx_enter(struct vp *enters, bool launched);
int vmx_enter(struct vp *enters, bool launched)
{
    (void)enters, (void)launched;
    fields[VMCS_EXIT_REASON] = VMX_EXIT_EXTERNAL_INTERRUPT;
    fields[VMCS_VECTORING] = 0;
    if (guest)
        guest();
    if (entered == 0 && !(fields[VMCS_EXIT_REASON] & VMX_EXIT_ENTRY_FAILED)) /* 27.8 */
        fields[VMCS_ENTRY_INTERRUPTION] &= ~(uint64_t)EVENT_VALID;
    return entered;
}

const uint8_t vmx_exit_entry[1];
void vmx_wait(const uint32_t *word, const volatile uint32_t *nmis, uint32_t seen);
void vmx_wait(const uint32_t *word, const volatile uint32_t *nmis, uint32_t seen)
{
    (void)word, (void)nmis, (void)seen;
}

static bool read_any(struct vp *reads, uint32_t msr, uint64_t *value)
{
    (void)reads, (void)msr, (void)value;
    return false;
}

static bool write_any(struct vp *writes, uint32_t msr, uint64_t value)
{
    (void)writes, (void)msr, (void)value;
    return false;
}

const struct parent_msr vmx_parent_msrs[] = {
    {MSR_APIC_BASE,  MSR_APIC_BASE,  NULL,     write_any},
    {0x200,          0x23F,          NULL,     write_any},
    {MSR_X2APIC_ICR, MSR_X2APIC_ICR, NULL,     write_any},
    {MSR_EFER,       MSR_EFER,       read_any, NULL     },
    {0,              0,              NULL,     NULL     },
};

uint64_t physical_of_image(const void *pointer)
{
    return (uintptr_t)pointer;
}

void log_line(const char *format, ...)
{
    (void)format;
}

uint64_t fault_descriptors(void)
{
    return 0;
}

static bool watches;
bool processor_start_watches(void)
{
    return watches;
}

bool kick_account(void)
{
    accounted++;
    return false;
}

bool shoot_down_entry(struct vp *enters)
{
    bool flush = flush_wanted || enters->last_lp != 0;
    enters->last_lp = 0;
    return flush;
}

uint64_t vmread(enum vmcs_field field)
{
    return fields[field];
}

void vmwrite(enum vmcs_field field, uint64_t value)
{
    fields[field] = value;
}

bool vmxon(uint64_t region)
{
    (void)region;
    return true;
}

void vmptrld(uint64_t vmcs)
{
    (void)vmcs;
}

void vmclear(uint64_t vmcs)
{
    (void)vmcs;
    clears++;
}

void invept(uint64_t type, uint64_t ept_pointer)
{
    (void)type, (void)ept_pointer;
    flushes++;
}

static uint64_t control_registers[5];
uint64_t read_cr0(void)
{
    return control_registers[0];
}
void write_cr0(uint64_t value)
{
    control_registers[0] = value;
}
uint64_t read_cr2(void)
{
    return control_registers[2];
}
void write_cr2(uint64_t value)
{
    control_registers[2] = value;
}
uint64_t read_cr3(void)
{
    return control_registers[3];
}
uint64_t read_cr4(void)
{
    return control_registers[4];
}
void write_cr4(uint64_t value)
{
    control_registers[4] = value;
}
static uint8_t debug_port;
uint8_t in8(uint16_t port)
{
    return port == 0xE9 ? debug_port : 0xFF;
}

static const struct vendor *fake_vendor;

static void capabilities(void)
{
    static const uint32_t syscall_msrs[] = {MSR_STAR, MSR_LSTAR, MSR_CSTAR, MSR_SFMASK, MSR_KERNEL_GS_BASE};

    fake_msr_clear();
    fake_msr_set(MSR_FEATURE_CONTROL, FEATURE_CONTROL_LOCKED | FEATURE_CONTROL_VMX_OUTSIDE_SMX);
    fake_msr_set(MSR_VMX_BASIC, VMX_BASIC_TRUE_CONTROLS | 18);
    fake_msr_set(MSR_VMX_MISC, VMX_MISC_WAIT_FOR_SIPI | 5);
    fake_msr_set(MSR_VMX_EPT_VPID, ~0ull);
    fake_msr_set(MSR_VMX_SECONDARY, ALL_ALLOWED);
    for (unsigned i = 0; i < 4; i++)
        fake_msr_set(MSR_VMX_TRUE_PIN + i, ALL_ALLOWED | (i == 0 ? 0x16 : 0));
    fake_msr_set(MSR_VMX_CR0_FIXED0, 0x80000021);
    fake_msr_set(MSR_VMX_CR0_FIXED1, 0xFFFFFFFF);
    fake_msr_set(MSR_VMX_CR4_FIXED0, CR4_VMXE);
    fake_msr_set(MSR_VMX_CR4_FIXED1, 0x3767FF);
    fake_cpuid_set(0x80000008, 0, 0x3027, 0, 0, 0); /* 39 bits of physical address */
    fake_msr_set(MSR_EFER, EFER_LME | EFER_LMA);
    fake_msr_set(MSR_PAT, 0x0007040600070406);
    for (unsigned i = 0; i < sizeof syscall_msrs / sizeof syscall_msrs[0]; i++)
        fake_msr_set(syscall_msrs[i], 0x1000 + i);
}

static int setup(void **state)
{
    (void)state;
    fake_vendor = vendor;
    fake_cpuid_clear();
    fake_cpuid_set(0, 0, 7, 0x756E6547, 0x6C65746E, 0x49656E69);
    fake_cpuid_set(1, 0, 0, 0, 1u << 5, 0x078BFBFF);
    fake_cpuid_set(0x80000000, 0, 0x80000008, 0, 0, 0);
    fake_cpuid_set(0x80000001, 0, 0, 0, 0, 0x20100800);
    capabilities();
    debug_port = 0xFF;
    fake_guest_start(1);
    vp = fake_vp(0);
    child_policy_detect();
    memset(fields, 0, sizeof fields);
    vmx_vendor.initialize();
    free(vp->control); /* the fake vendor's */
    for (unsigned i = 0; i < VMX_PAGES; i++)
        vp->control_page[i] = 0x10000 + i * HV_PAGE_SIZE;
    vp->control = physical_pointer(vp->control_page[VMX_PAGE_STATE]);
    arch_lp(lp_current())->control = 0;
    vmx_vendor.vp_initialize(vp);
    vp->last_lp = ~0u;
    guest = NULL;
    entered = 0;
    flushes = clears = accounted = 0;
    flush_wanted = false;
    vendor = &vmx_vendor;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    vendor = fake_vendor;
    vp->control = NULL;
    fake_guest_stop();
    return 0;
}

/* Each thing that is missing has its name in the message. */
static void test_unsupported(void **state)
{
    (void)state;
    assert_null(vmx_vendor.unsupported());
    fake_msr_set(MSR_VMX_SECONDARY, ALL_ALLOWED & ~((uint64_t)SECONDARY_UNRESTRICTED_GUEST << 32));
    assert_non_null(strstr(vmx_vendor.unsupported(), "unrestricted guest"));
    capabilities();
    fake_msr_set(MSR_VMX_EPT_VPID, ~0ull & ~EPT_VPID_2M);
    assert_non_null(strstr(vmx_vendor.unsupported(), "2 MiB pages"));
    capabilities();
    fake_msr_set(MSR_VMX_BASIC, 18);
    assert_non_null(strstr(vmx_vendor.unsupported(), "true"));
    capabilities();
    fake_msr_set(MSR_FEATURE_CONTROL, FEATURE_CONTROL_LOCKED);
    assert_non_null(strstr(vmx_vendor.unsupported(), "locked by the firmware"));
    fake_msr_set(MSR_FEATURE_CONTROL, 0); /* ours to set */
    assert_null(vmx_vendor.unsupported());
    fake_cpuid_set(1, 0, 0, 0, 0, 0);
    assert_non_null(strstr(vmx_vendor.unsupported(), "no VT-x"));
}

/* What the controls do not let through, no guest is shown. */
static void test_cpuid(void **state)
{
    uint32_t result[4];

    (void)state;
    fake_cpuid_set(7, 0, 1, ~0u, ~0u, ~0u);
    vmx_vendor.cpuid(1, 0, result);
    assert_int_equal(result[2], 0); /* VMX itself */
    vmx_vendor.cpuid(7, 0, result);
    assert_int_equal(result[1], ~(1u << 25)); /* processor trace, which MSR_VMX_MISC does not allow */
    assert_int_equal(result[2], ~0u);
    fake_msr_set(MSR_VMX_SECONDARY, ALL_ALLOWED & ~((uint64_t)(SECONDARY_INVPCID | SECONDARY_RDTSCP) << 32));
    fake_msr_set(MSR_VMX_MISC, VMX_MISC_PROCESSOR_TRACE);
    vmx_vendor.cpuid(7, 0, result);
    assert_int_equal(result[1], ~(1u << 10));
    assert_int_equal(result[2], ~(1u << 22)); /* RDPID goes with RDTSCP */
    fake_cpuid_set(0x80000001, 0, 0, 0, 0, 0x28100800);
    vmx_vendor.cpuid(0x80000001, 0, result);
    assert_int_equal(result[3], 0x20100800);
}

/* A store of another processor ends MWAIT, but not in a guest on Bochs. */
static void test_monitor(void **state)
{
    uint32_t result[4];

    (void)state;
    fake_cpuid_set(1, 0, 0, 0, 1u << 5 | 1u << 3, 0);
    vmx_vendor.cpuid(1, 0, result);
    assert_int_equal(result[2], 1u << 3);
    debug_port = 0xE9;
    vmx_vendor.initialize();
    vmx_vendor.cpuid(1, 0, result);
    assert_int_equal(result[2], 0);
}

/* Everything by which a child could reach the processor's or the parent's state exits; forced bits are kept. */
static void test_controls(void **state)
{
    const uint8_t *bitmap = (const uint8_t *)fields[VMCS_MSR_BITMAP];

    (void)state;
    assert_int_equal(fields[VMCS_PIN_CONTROLS],
                     0x16 | PIN_EXTERNAL_INTERRUPT_EXITING | PIN_NMI_EXITING | PIN_VIRTUAL_NMIS);
    assert_true(fields[VMCS_PROCESSOR_CONTROLS] & PROCESSOR_UNCONDITIONAL_IO);
    assert_true(fields[VMCS_PROCESSOR_CONTROLS] & PROCESSOR_HLT_EXITING);
    assert_true(fields[VMCS_SECONDARY_CONTROLS] & SECONDARY_EPT);
    assert_int_equal(fields[VMCS_EXCEPTION_BITMAP], 1u << 1 | 1u << 6 | 1u << 17 | 1u << 18);
    assert_int_equal(fields[VMCS_LINK_POINTER], ~0ull);
    for (unsigned i = 0; i < 4096; i++)
        if (bitmap[i] != 0xFF) /* 174h to 176h; C0000081h to C0000084h, C0000100h to C0000102h */
            assert_true(i % 2048 == 0x174 / 8 || i % 2048 == 1024 + 0x80 / 8 || i % 2048 == 1024 + 0x100 / 8);
}

static void test_registers(void **state)
{
    const struct hv_x64_segment_register data = {0x1000, 0xFFFF, 0x10, 0x0092}, none = {0, 0, 0, 0};
    struct hv_x64_segment_register got;

    (void)state;
    vmx_vendor.set(vp, VP_CR0, CR0_PE | CR0_ET | CR0_CD);
    assert_int_equal(vmx_vendor.get(vp, VP_CR0), CR0_PE | CR0_ET | CR0_CD); /* as the guest sees it */
    assert_int_equal(fields[VMCS_GUEST_CR0], CR0_PE | CR0_NE | CR0_ET);
    vmx_vendor.set(vp, VP_CR4, CR4_PAE);
    assert_int_equal(vmx_vendor.get(vp, VP_CR4), CR4_PAE);
    assert_int_equal(fields[VMCS_GUEST_CR4], CR4_PAE | CR4_VMXE);
    vmx_vendor.set(vp, VP_EFER, EFER_LME | EFER_LMA);
    assert_true(fields[VMCS_ENTRY_CONTROLS] & ENTRY_LONG_MODE);
    vmx_vendor.set(vp, VP_EFER, EFER_LME);
    assert_false(fields[VMCS_ENTRY_CONTROLS] & ENTRY_LONG_MODE);
    vmx_vendor.set_segment(vp, VP_DS, &data);
    vmx_vendor.get_segment(vp, VP_DS, &got);
    assert_int_equal(got.attributes, 0x0093); /* a segment in use has been accessed */
    vmx_vendor.set_segment(vp, VP_DS, &none);
    assert_true(fields[VMCS_GUEST_ES_ACCESS + 6] & ACCESS_UNUSABLE);
    vmx_vendor.get_segment(vp, VP_DS, &got);
    assert_int_equal(got.attributes & HV_SEGMENT_P, 0);
    vmx_vendor.set(vp, VP_NMI_MASKED, 1);
    vmx_vendor.set(vp, VP_INTERRUPT_SHADOW, 1);
    assert_int_equal(fields[VMCS_GUEST_INTERRUPTIBILITY], BLOCKING_BY_NMI | BLOCKING_BY_STI);
    vmx_vendor.end_interrupt_shadow(vp);
    assert_int_equal(fields[VMCS_GUEST_INTERRUPTIBILITY], BLOCKING_BY_NMI);
}

/* Registers that no entry loads: the parent's are kept while the child's are in the processor. */
static void test_swapped_registers(void **state)
{
    struct vmx_state parent_state = {.swapped_in = true};
    struct vp other = {.control = &parent_state};

    (void)state;
    vmx_vendor.set(vp, VP_LSTAR, 0x5555);
    vmx_vendor.set(vp, VP_CR2, 0x6666);
    write_cr2(0x7777);
    assert_int_equal(fake_msr_get(MSR_LSTAR), 0x1001);
    vmx_vendor.switch_registers(&other, vp);
    assert_int_equal(fake_msr_get(MSR_LSTAR), 0x5555);
    assert_int_equal(read_cr2(), 0x6666);
    fake_msr_set(MSR_KERNEL_GS_BASE, 0x8888); /* by SWAPGS */
    vmx_vendor.switch_registers(vp, &other);
    assert_int_equal(fake_msr_get(MSR_LSTAR), 0x1001);
    assert_int_equal(fake_msr_get(MSR_KERNEL_GS_BASE), 0x1004);
    assert_int_equal(read_cr2(), 0x7777);
    assert_int_equal(vmx_vendor.get(vp, VP_KERNEL_GS_BASE), 0x8888);
}

static void nmi_delivery_faults(void)
{
    fields[VMCS_EXIT_REASON] = VMX_EXIT_EPT_VIOLATION;
    fields[VMCS_EXIT_QUALIFICATION] = EPT_WRITE | EPT_LINEAR_VALID | EPT_FINAL;
    fields[VMCS_VECTORING] = EVENT_VALID | HV_INTERRUPTION_TYPE_NMI << EVENT_TYPE_SHIFT | 2;
    fields[VMCS_GUEST_INTERRUPTIBILITY] |= BLOCKING_BY_NMI;
}

static void software_interrupt_faults(void)
{
    fields[VMCS_EXIT_REASON] = VMX_EXIT_EPT_VIOLATION;
    fields[VMCS_VECTORING] = EVENT_VALID | HV_INTERRUPTION_TYPE_SOFTWARE_INTERRUPT << EVENT_TYPE_SHIFT | 0x80;
}

static void test_events(void **state)
{
    const uint64_t fault = hv_pending_interruption(HV_INTERRUPTION_TYPE_EXCEPTION, 13) |
                           HV_PENDING_INTERRUPTION_DELIVER_ERROR_CODE |
                           0x18ull << HV_PENDING_INTERRUPTION_ERROR_CODE_SHIFT;
    struct vp_exit exit;

    (void)state;
    vmx_vendor.set(vp, VP_CR0, CR0_PE);
    vmx_vendor.inject(vp, fault);
    assert_int_equal(fields[VMCS_ENTRY_INTERRUPTION], EVENT_VALID | EVENT_ERROR_CODE_VALID | 0x30D);
    assert_int_equal(fields[VMCS_ENTRY_ERROR_CODE], 0x18);
    entered = 2; /* an NMI for the host came first */
    vmx_vendor.run(vp, &exit);
    assert_int_equal(exit.reason, LOAM_EXIT_NMI);
    assert_int_equal(vmx_vendor.interrupted_event(vp), fault);
    entered = 0;
    vmx_vendor.run(vp, &exit);
    assert_int_equal(vmx_vendor.interrupted_event(vp), 0);

    vmx_vendor.set(vp, VP_CR0, 0); /* real mode has no error codes */
    vmx_vendor.inject(vp, fault);
    assert_int_equal(fields[VMCS_ENTRY_INTERRUPTION], EVENT_VALID | 0x30D);

    guest = nmi_delivery_faults;
    vmx_vendor.run(vp, &exit);
    assert_int_equal(vmx_vendor.interrupted_event(vp), hv_pending_interruption(HV_INTERRUPTION_TYPE_NMI, 2));
    assert_false(vmx_vendor.get(vp, VP_NMI_MASKED)); /* or it could not be injected again */
    guest = software_interrupt_faults;
    vmx_vendor.run(vp, &exit);
    assert_int_equal(vmx_vendor.interrupted_event(vp), 0); /* RIP is still on it */
}

static void leave_with_nmis_masked(void)
{
    fields[VMCS_GUEST_INTERRUPTIBILITY] |= BLOCKING_BY_NMI;
}

static bool masks_nmis(bool masked_before, uint64_t event)
{
    struct vp_exit exit;

    vmx_vendor.set(vp, VP_NMI_MASKED, masked_before);
    vmx_vendor.inject(vp, event);
    vmx_vendor.run(vp, &exit);
    return vmx_vendor.get(vp, VP_NMI_MASKED);
}

/* Only a delivered NMI can mask others; Bochs shows a VP the masking of the one that ran before it. */
static void test_nmi_masking_of_another_vp(void **state)
{
    (void)state;
    guest = leave_with_nmis_masked;
    assert_true(masks_nmis(false, 0)); /* a processor is believed */
    debug_port = 0xE9;
    vmx_vendor.initialize();
    assert_false(masks_nmis(false, 0));
    assert_false(masks_nmis(false, hv_pending_interruption(HV_INTERRUPTION_TYPE_EXTERNAL, 0x40)));
    assert_true(masks_nmis(false, hv_pending_interruption(HV_INTERRUPTION_TYPE_NMI, 2)));
    assert_true(masks_nmis(true, 0));
}

static void refused(void)
{
    fields[VMCS_EXIT_REASON] = VMX_EXIT_ENTRY_FAILED | VMX_EXIT_INVALID_STATE;
}

static void test_entries(void **state)
{
    struct vp_exit exit;

    (void)state;
    vmx_vendor.run(vp, &exit);
    assert_int_equal(exit.reason, LOAM_EXIT_EXTERNAL_INTERRUPT);
    assert_int_equal(flushes, 1);
    vmx_vendor.run(vp, &exit);
    assert_int_equal(flushes, 1);
    vmx_vendor.set(vp, VP_CR3, 0x1000);
    vmx_vendor.run(vp, &exit);
    assert_int_equal(flushes, 2);
    vp->nmi_pending = true;
    vmx_vendor.interrupt_window(vp, true);
    vmx_vendor.run(vp, &exit);
    assert_true(fields[VMCS_PROCESSOR_CONTROLS] & PROCESSOR_NMI_WINDOW);
    assert_true(fields[VMCS_PROCESSOR_CONTROLS] & PROCESSOR_INTERRUPT_WINDOW);
    vp->nmi_pending = false;
    vmx_vendor.interrupt_window(vp, false);
    guest = refused;
    vmx_vendor.run(vp, &exit);
    assert_false(fields[VMCS_PROCESSOR_CONTROLS] & (PROCESSOR_NMI_WINDOW | PROCESSOR_INTERRUPT_WINDOW));
    assert_int_equal(exit.reason, LOAM_EXIT_INVALID_STATE);
    vmx_vendor.release(vp);
    assert_int_equal(clears, 1);
    vmx_vendor.release(vp); /* it is in no processor's cache any more */
    assert_int_equal(clears, 1);
}

static uint64_t reason, qualification, vectoring;
static void exits(void)
{
    fields[VMCS_VECTORING] = vectoring;
    fields[VMCS_EXIT_REASON] = reason;
    fields[VMCS_EXIT_QUALIFICATION] = qualification;
    fields[VMCS_EXIT_INSTRUCTION_LENGTH] = 2;
}

static struct vp_exit exit_of(enum vmx_exit raw, uint64_t details)
{
    struct vp_exit exit;

    reason = raw;
    qualification = details;
    guest = exits;
    vmx_vendor.run(vp, &exit);
    return exit;
}

static void test_exits(void **state)
{
    struct vp_exit exit;

    (void)state;
    exit = exit_of(VMX_EXIT_IO, 0x1F0u << IO_PORT_SHIFT | IO_IN | IO_STRING | IO_REP | 1);
    assert_int_equal(exit.reason, LOAM_EXIT_IO_PORT);
    assert_int_equal(exit.io.port, 0x1F0);
    assert_int_equal(exit.io.size, 2);
    assert_true(exit.io.in && exit.io.string && exit.io.rep);
    assert_int_equal(exit.instruction_length, 2);
    exit = exit_of(VMX_EXIT_CONTROL_REGISTER, 5u << CONTROL_GPR_SHIFT | 4);
    assert_int_equal(exit.reason, LOAM_EXIT_CONTROL_REGISTER);
    assert_true(exit.control.write && exit.control.number == 4 && exit.control.gpr == 5);
    fields[VMCS_GUEST_PHYSICAL_ADDRESS] = 0xFEE00020;
    exit = exit_of(VMX_EXIT_EPT_VIOLATION, EPT_READ | EPT_LINEAR_VALID);
    assert_true(exit.reason == LOAM_EXIT_NESTED_FAULT && exit.fault.gpa == 0xFEE00020 && exit.fault.table_walk);
    assert_false(exit.fault.mapped || exit.fault.write || exit.fault.execute);
    vmx_vendor.set(vp, VP_CR0, CR0_PE);
    assert_true(exit_of(VMX_EXIT_VMCALL, 0).hypercall_allowed);
    fields[VMCS_GUEST_ES_ACCESS + 2 * VP_SS] = 3 << HV_SEGMENT_DPL_SHIFT;
    assert_false(exit_of(VMX_EXIT_VMCALL, 0).hypercall_allowed);
    assert_int_equal(exit_of(VMX_EXIT_VMXON, 0).reason, LOAM_EXIT_VIRTUALIZATION_INSTRUCTION);
    assert_int_equal(exit_of(VMX_EXIT_SEAMCALL, 0).reason, LOAM_EXIT_VIRTUALIZATION_INSTRUCTION);
    assert_int_equal(exit_of(VMX_EXIT_ENCLS, 0).reason, LOAM_EXIT_VIRTUALIZATION_INSTRUCTION);
    assert_int_equal(exit_of(VMX_EXIT_EPT_MISCONFIGURATION, 0).reason, LOAM_EXIT_OTHER);
    assert_int_equal(exit_of(VMX_EXIT_COUNT, 0).reason, LOAM_EXIT_OTHER);
}

static void test_task_switches(void **state)
{
    struct vp_exit exit;

    (void)state;
    exit = exit_of(VMX_EXIT_TASK_SWITCH, 0x28 | 2u << TASK_SOURCE_SHIFT);
    assert_int_equal(exit.reason, LOAM_EXIT_TASK_SWITCH);
    assert_int_equal(exit.task_switch.selector, 0x28);
    assert_int_equal(exit.task_switch.source, LOAM_TASK_SWITCH_JMP);
    assert_int_equal(exit.instruction_length, 2);
    exit = exit_of(VMX_EXIT_TASK_SWITCH, 0xFFF8 | 1u << TASK_SOURCE_SHIFT);
    assert_int_equal(exit.task_switch.selector, 0xFFF8);
    assert_int_equal(exit.task_switch.source, LOAM_TASK_SWITCH_IRET);
    /* Double fault: there is an error code, and no instruction. */
    vectoring = EVENT_VALID | EVENT_ERROR_CODE_VALID | HV_INTERRUPTION_TYPE_EXCEPTION << EVENT_TYPE_SHIFT | 8;
    fields[VMCS_VECTORING_ERROR] = 0x1234;
    exit = exit_of(VMX_EXIT_TASK_SWITCH, 0x30 | 3u << TASK_SOURCE_SHIFT);
    assert_int_equal(exit.task_switch.source, LOAM_TASK_SWITCH_GATE);
    assert_int_equal(exit.task_switch.event, HV_INTERRUPTION_TYPE_EXCEPTION);
    assert_int_equal(exit.task_switch.vector, 8);
    assert_true(exit.task_switch.has_error_code && exit.task_switch.error_code == 0x1234);
    assert_int_equal(exit.instruction_length, 0);
    assert_false(vmx_vendor.get(vp, VP_NMI_MASKED));
    vectoring = EVENT_VALID | HV_INTERRUPTION_TYPE_SOFTWARE_INTERRUPT << EVENT_TYPE_SHIFT | 0x80;
    exit = exit_of(VMX_EXIT_TASK_SWITCH, 0x30 | 3u << TASK_SOURCE_SHIFT);
    assert_int_equal(exit.task_switch.event, HV_INTERRUPTION_TYPE_SOFTWARE_INTERRUPT);
    assert_int_equal(exit.instruction_length, 2);
    assert_false(exit.task_switch.has_error_code);
    /* The NMI counts as delivered. */
    vectoring = EVENT_VALID | HV_INTERRUPTION_TYPE_NMI << EVENT_TYPE_SHIFT | 2;
    exit_of(VMX_EXIT_TASK_SWITCH, 0x30 | 3u << TASK_SOURCE_SHIFT);
    assert_true(vmx_vendor.get(vp, VP_NMI_MASKED));
    vectoring = 0;
}

/* A state that the processor takes; what of it is spoilt has its name in the answer. */
static void good_state(void)
{
    const struct hv_x64_segment_register code = {0, 0xFFFFFFFF, 0x8, 0xA09B}, data = {0, 0xFFFFFFFF, 0x10, 0xC093},
                                         task = {0x5000, 0x67, 0x18, 0x008B}, none = {0, 0, 0, 0};

    vmx_vendor.set(vp, VP_CR0, CR0_PE | CR0_PG | CR0_ET);
    vmx_vendor.set(vp, VP_CR3, 0x1000);
    vmx_vendor.set(vp, VP_CR4, CR4_PAE);
    vmx_vendor.set(vp, VP_EFER, EFER_LME | EFER_LMA);
    vmx_vendor.set(vp, VP_PAT, 0x0007040600070406);
    vmx_vendor.set(vp, VP_DR7, DR7_INIT);
    for (unsigned i = VP_ES; i <= VP_GS; i++)
        vmx_vendor.set_segment(vp, i, i == VP_CS ? &code : &data);
    vmx_vendor.set_segment(vp, VP_LDTR, &none);
    vmx_vendor.set_segment(vp, VP_TR, &task);
    vmx_vendor.set_segment(vp, VP_GDTR, &none);
    vmx_vendor.set_segment(vp, VP_IDTR, &none);
    vmx_vendor.set(vp, VP_INTERRUPT_SHADOW, 0);
    vmx_vendor.set(vp, VP_NMI_MASKED, 0);
    vmx_vendor.inject(vp, 0);
    fields[VMCS_GUEST_ACTIVITY] = fields[VMCS_GUEST_PENDING_DEBUG] = 0;
    fields[VMCS_LINK_POINTER] = ~0ull;
    fields[VMCS_GUEST_RIP] = 0xFFFFFFFF81000000;
    fields[VMCS_GUEST_RFLAGS] = 0x202;
    fields[VMCS_GUEST_SYSENTER_ESP] = fields[VMCS_GUEST_SYSENTER_EIP] = 0;
}

static void check_machine_on_entry(void)
{
    fields[VMCS_EXIT_REASON] = VMX_EXIT_ENTRY_FAILED | VMX_EXIT_MACHINE_CHECK_ON_ENTRY;
}

static void refuse_entry(void)
{
    fields[VMCS_EXIT_REASON] = VMX_EXIT_ENTRY_FAILED | VMX_EXIT_INVALID_STATE;
}

static void test_refused_states(void **state)
{
    static const struct {
        enum vmcs_field field;
        uint64_t value;
        const char *name;
    } spoilt[] = {
        {VMCS_GUEST_CR0,               CR0_PG | CR0_NE, "CR0"             },
        {VMCS_GUEST_CR4,               CR4_PAE,         "CR4"             },
        {VMCS_GUEST_CR4,               CR4_VMXE,        "IA-32e"          },
        {VMCS_GUEST_CR3,               1ull << 39,      "CR3"             },
        {VMCS_GUEST_DR7,               1ull << 32,      "DR7"             },
        {VMCS_GUEST_PAT,               2,               "PAT"             },
        {VMCS_GUEST_EFER,              EFER_LMA,        "EFER"            },
        {VMCS_GUEST_EFER,              1ull << 40,      "EFER"            },
        {VMCS_GUEST_SYSENTER_EIP,      1ull << 50,      "SYSENTER_EIP"    },
        {VMCS_GUEST_ES_ACCESS + 2 * 1, 0xE09B,          "CS"              },
        {VMCS_GUEST_ES_ACCESS + 2 * 1, 0xA0F3,          "CS"              },
        {VMCS_GUEST_ES_ACCESS + 2 * 2, 0xC091,          "SS"              },
        {VMCS_GUEST_ES_ACCESS + 2 * 3, 0xC092,          "DS"              },
        {VMCS_GUEST_ES_LIMIT + 2 * 0,  0xFFFFF000,      "ES"              },
        {VMCS_GUEST_ES_ACCESS + 2 * 7, ACCESS_UNUSABLE, "TR"              },
        {VMCS_GUEST_ES_ACCESS + 2 * 7, 0x0083,          "TR"              },
        {VMCS_GUEST_ES_BASE + 2 * 4,   1ull << 50,      "FS"              },
        {VMCS_GUEST_ES_BASE + 2 * 3,   1ull << 40,      "DS"              },
        {VMCS_GUEST_ES_LIMIT + 2 * 8,  0x10000,         "GDTR"            },
        {VMCS_GUEST_ES_BASE + 2 * 9,   1ull << 50,      "IDTR"            },
        {VMCS_GUEST_RIP,               1ull << 50,      "RIP"             },
        {VMCS_GUEST_RFLAGS,            0,               "RFLAGS"          },
        {VMCS_GUEST_RFLAGS,            2 | RFLAGS_VM,   "RFLAGS"          },
        {VMCS_GUEST_ACTIVITY,          9,               "activity"        },
        {VMCS_GUEST_INTERRUPTIBILITY,  3,               "interruptibility"},
        {VMCS_LINK_POINTER,            0,               "link pointer"    },
    };

    struct vp_exit exit;

    (void)state;
    good_state();
    assert_null(vmx_refused_state());
    for (unsigned i = 0; i < sizeof spoilt / sizeof spoilt[0]; i++) {
        const char *problem;

        good_state();
        fields[spoilt[i].field] = spoilt[i].value;
        problem = vmx_refused_state();
        if (!problem || !strstr(problem, spoilt[i].name))
            fail_msg("%s: the answer is %s", spoilt[i].name, problem ? problem : "that nothing is wrong");
    }
    good_state();
    fields[VMCS_GUEST_RFLAGS] = 2;
    vmx_vendor.inject(vp, hv_pending_interruption(HV_INTERRUPTION_TYPE_EXTERNAL, 0x40));
    assert_string_equal(vmx_refused_state(), "RFLAGS: an interrupt is injected with IF = 0");
    /* A single step that waits behind an interrupt shadow is pending, and only then. */
    for (unsigned i = 0; i < 4; i++) {
        good_state();
        vmx_vendor.set(vp, VP_INTERRUPT_SHADOW, 1);
        fields[VMCS_GUEST_RFLAGS] |= i & 1 ? RFLAGS_TF : 0;
        fields[VMCS_GUEST_PENDING_DEBUG] = i & 2 ? PENDING_DEBUG_BS : 0;
        assert_int_equal(vmx_refused_state() != NULL, i == 1 || i == 2);
    }
    /* The name goes with the exit. */
    good_state();
    fields[VMCS_GUEST_DR7] = 1ull << 32;
    guest = refuse_entry;
    vmx_vendor.run(vp, &exit);
    assert_int_equal(exit.reason, LOAM_EXIT_INVALID_STATE);
    assert_string_equal(exit.refused, "DR7");
    /* A machine check is none of the state's, and what was to be injected still is. */
    guest = check_machine_on_entry;
    vmx_vendor.inject(vp, hv_pending_interruption(HV_INTERRUPTION_TYPE_EXTERNAL, 0x40));
    vmx_vendor.run(vp, &exit);
    assert_int_equal(exit.reason, LOAM_EXIT_EXCEPTION);
    assert_int_equal(exit.exception.vector, EXCEPTION_MC);
    assert_int_equal(vmx_vendor.interrupted_event(vp), hv_pending_interruption(HV_INTERRUPTION_TYPE_EXTERNAL, 0x40));
}

static void set_mtrrs(uint64_t default_type)
{
    fake_msr_set(MSR_MTRR_CAP, 0x502);
    fake_msr_set(MSR_MTRR_DEF_TYPE, default_type);
    for (unsigned i = 0; i < 4; i++)
        fake_msr_set(MSR_MTRR_PHYS_BASE0 + i, 0);
    fake_msr_set(MSR_MTRR_FIX64K, 0);
    fake_msr_set(MSR_MTRR_FIX16K_80000, 0);
    fake_msr_set(MSR_MTRR_FIX16K_A0000, 0);
    for (uint32_t msr = MSR_MTRR_FIX4K_C0000; msr <= MSR_MTRR_FIX4K_F8000; msr++)
        fake_msr_set(msr, 0);
}

/* The parent's leaves repeat the MTRRs, with IPAT = 0, and follow them whenever they are enabled. */
static void test_memory_types(void **state)
{
    const uint64_t uc = vmx_vendor.nested.leaf(0x200000, HV_MAP_GPA_READABLE, true, MEMORY_UNCACHEABLE);
    uint64_t first, end;

    (void)state;
    assert_int_equal(uc, 0x200081);
    assert_int_equal(vmx_vendor.nested.leaf(0, HV_MAP_GPA_READABLE, false, MEMORY_WRITE_BACK), 0x31);
    set_mtrrs(0x006); /* off */
    assert_true(vmx_vendor.nested.load_types(&first, &end));
    assert_int_equal(vmx_vendor.nested.type(0, 1ull << 39), MEMORY_UNCACHEABLE);
    set_mtrrs(0x806);
    assert_true(vmx_vendor.nested.load_types(&first, &end));
    assert_true(first == 0 && end == ~0ull);
    assert_int_equal(vmx_vendor.nested.type(0, 1ull << 39), MEMORY_WRITE_BACK);
    fake_msr_set(MSR_MTRR_PHYS_BASE0, 0xC0000000);
    fake_msr_set(MSR_MTRR_PHYS_BASE0 + 1, 0x3FC0000800 | 0xC000000000);
    fake_msr_set(MSR_MTRR_DEF_TYPE, 0x006); /* about to change */
    assert_false(vmx_vendor.nested.load_types(&first, &end));
    assert_int_equal(vmx_vendor.nested.type(0, 1ull << 39), MEMORY_WRITE_BACK);
    fake_msr_set(MSR_MTRR_DEF_TYPE, 0x806);
    assert_true(vmx_vendor.nested.load_types(&first, &end));
    assert_true(first == 0xC0000000 && end == 0x100000000);
    assert_int_equal(vmx_vendor.nested.type(0xC0000000, 0x40000000), MEMORY_UNCACHEABLE);
    assert_int_equal(vmx_vendor.nested.type(0x80000000, 0x80000000), MEMORY_MIXED);
    assert_false(vmx_vendor.nested.load_types(&first, &end)); /* another processor's */
}

/* EPT's own 1 GiB pages, whatever the guest's tables can have. */
static void test_has_1g(void **state)
{
    (void)state;
    assert_true(vmx_vendor.nested.has_1g());
    fake_msr_set(MSR_VMX_EPT_VPID, ~EPT_VPID_1G);
    fake_cpuid_set(0x80000001, 0, 0, 0, 0, 1u << 26);
    assert_false(vmx_vendor.nested.has_1g());
}

/* Only a processor that says that it can change the size of pages has large pages that are executable. */
static void test_large_execute(void **state)
{
    (void)state;
    assert_false(vmx_vendor.nested.large_execute());
    fake_cpuid_set(0, 0, 7, 0x756E6547, 0x6C65746E, 0x49656E69);
    fake_cpuid_set(7, 0, 0, 0, 0, 1u << 29);
    fake_msr_set(MSR_ARCH_CAPABILITIES, 0x2B);
    vmx_vendor.initialize();
    assert_false(vmx_vendor.nested.large_execute());
    fake_msr_set(MSR_ARCH_CAPABILITIES, 0x6B);
    vmx_vendor.initialize();
    assert_true(vmx_vendor.nested.large_execute());
}

/* What the table has a function for exits, nothing else. */
static void test_parent_msr_exits(void **state)
{
    const uint8_t *bitmap;

    (void)state;
    vp->is_parent = true;
    vmx_vendor.vp_initialize(vp);
    bitmap = (const uint8_t *)fields[VMCS_MSR_BITMAP];
    for (uint32_t msr = 0; msr < 0x2000; msr++) {
        assert_int_equal(bitmap[msr / 8] >> msr % 8 & 1, 0);
        assert_int_equal(bitmap[1024 + msr / 8] >> msr % 8 & 1, msr == 0x80);
        assert_int_equal(bitmap[2048 + msr / 8] >> msr % 8 & 1,
                         (msr >= 0x200 && msr <= 0x23F) || msr == MSR_APIC_BASE || msr == MSR_X2APIC_ICR);
        assert_int_equal(bitmap[3072 + msr / 8] >> msr % 8 & 1, 0);
    }
}

/* An INIT ends any run, and a child is left for it: the dispatcher looks at parent_init. */
static void test_init(void **state)
{
    (void)state;
    assert_false(lp_current()->parent_init);
    assert_int_equal(exit_of(VMX_EXIT_INIT, 0).reason, LOAM_EXIT_NMI);
    assert_true(lp_current()->parent_init);
    lp_current()->parent_init = false;
}

static unsigned waits;
static void sipi_at_last(void)
{
    assert_int_equal(fields[VMCS_GUEST_ACTIVITY], ACTIVITY_WAIT_FOR_SIPI);
    assert_int_equal(fields[VMCS_GUEST_INTERRUPTIBILITY], BLOCKING_BY_NMI); /* else the entry fails */
    assert_int_equal(fields[VMCS_ENTRY_INTERRUPTION], 0);
    entered = 0;
    switch (waits++) {
    case 0:
        entered = 2; /* a kick before it slept, and nothing to tell of a SIPI but what is long past */
        fields[VMCS_EXIT_REASON] = VMX_EXIT_SIPI;
        return;
    case 1:
        fields[VMCS_EXIT_REASON] = VMX_EXIT_NMI_WINDOW;
        return;
    default:
        fields[VMCS_EXIT_REASON] = VMX_EXIT_SIPI;
        fields[VMCS_EXIT_QUALIFICATION] = 0x9A;
        fields[VMCS_GUEST_ACTIVITY] = ACTIVITY_WAIT_FOR_SIPI;
        return;
    }
}

static void test_wait_for_sipi(void **state)
{
    (void)state;
    vp->is_parent = true;
    vmx_vendor.vp_initialize(vp);
    fields[VMCS_GUEST_INTERRUPTIBILITY] = BLOCKING_BY_STI | BLOCKING_BY_NMI;
    fields[VMCS_ENTRY_INTERRUPTION] = EVENT_VALID | 0x20;
    guest = sipi_at_last;
    waits = 0;
    assert_int_equal(vmx_vendor.wait_for_sipi(vp), 0x9A);
    assert_int_equal(waits, 3);
    assert_int_equal(accounted, 3); /* or the kick would keep it from sleeping for ever */
    fields[VMCS_GUEST_PENDING_DEBUG] = PENDING_DEBUG_BS;
    vmx_vendor.set(vp, VP_INTERRUPT_SHADOW, 0); /* as all registers */
    assert_int_equal(fields[VMCS_GUEST_ACTIVITY], ACTIVITY_ACTIVE);
    assert_int_equal(fields[VMCS_GUEST_PENDING_DEBUG], 0);
    vp->is_parent = false;
}

static void test_has_init_exits(void **state)
{
    (void)state;
    assert_true(vmx_vendor.has_init_exits());
    debug_port = 0xE9; /* Bochs */
    vmx_vendor.initialize();
    assert_false(vmx_vendor.has_init_exits());
    debug_port = 0xFF;
    fake_msr_set(MSR_VMX_MISC, 5);
    vmx_vendor.initialize();
    assert_false(vmx_vendor.has_init_exits());
}

static bool icr_exits(void)
{
    const uint8_t *writes = (const uint8_t *)fields[VMCS_MSR_BITMAP] + 2048;

    return writes[MSR_X2APIC_ICR / 8] >> MSR_X2APIC_ICR % 8 & 1;
}

/* Other MSRs exit as before when the parent's x2APIC is its own. */
static void test_parent_commands(void **state)
{
    const uint8_t *bitmap;
    struct vp_exit exit;

    (void)state;
    vp->is_parent = true;
    vmx_vendor.vp_initialize(vp);
    watches = true;
    vmx_vendor.run(vp, &exit);
    assert_true(icr_exits());
    watches = false;
    vmx_vendor.run(vp, &exit);
    assert_false(icr_exits());
    bitmap = (const uint8_t *)fields[VMCS_MSR_BITMAP];
    assert_true(bitmap[2048 + MSR_APIC_BASE / 8] >> MSR_APIC_BASE % 8 & 1);
    vp->is_parent = false;
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_unsupported),
        TEST(test_cpuid),
        TEST(test_monitor),
        TEST(test_controls),
        TEST(test_registers),
        TEST(test_swapped_registers),
        TEST(test_events),
        TEST(test_nmi_masking_of_another_vp),
        TEST(test_entries),
        TEST(test_exits),
        TEST(test_task_switches),
        TEST(test_refused_states),
        TEST(test_memory_types),
        TEST(test_parent_msr_exits),
        TEST(test_init),
        TEST(test_wait_for_sipi),
        TEST(test_has_init_exits),
        TEST(test_parent_commands),
        TEST(test_large_execute),
        TEST(test_has_1g),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
