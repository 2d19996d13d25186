/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The AMD-V backend: what a child's control block intercepts, and what is made of its exits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "arch/x86_64/cpu/arch_lp.h"
#include "arch/x86_64/cpu/child_policy.h"
#include "arch/x86_64/cpu/cpu_features.h"
#include "arch/x86_64/cpu/msr.h"
#include "arch/x86_64/mm/physical.h"
#include "arch/x86_64/svm/svm.h"
#include "kernel/shoot_down.h"
#include "tests/unit/fake_guest.h"

static struct vp *vp;
static struct vmcb *vmcb;
static void (*guest)(void); /* what happens between VMRUN and #VMEXIT */
static bool flush_wanted;

/* --- the rest of the image --- */

void svm_enter(struct vp *entered, uint64_t control_block, uint64_t host_vmcb);
void svm_enter(struct vp *entered, uint64_t control_block, uint64_t host_vmcb)
{
    (void)entered, (void)control_block, (void)host_vmcb;
    vmcb->exit_code = SVM_EXIT_INTR;
    if (guest)
        guest();
}

void svm_wait(const uint32_t *word, const volatile uint32_t *nmis, uint32_t seen);
void svm_wait(const uint32_t *word, const volatile uint32_t *nmis, uint32_t seen)
{
    (void)word, (void)nmis, (void)seen;
}

const struct parent_msr svm_parent_msrs[] = {
    {0, 0, NULL, NULL}
};

uint64_t physical_of_image(const void *pointer)
{
    return (uintptr_t)pointer;
}

bool shoot_down_entry(struct vp *entered)
{
    bool flush = flush_wanted || entered->last_lp != 0;
    entered->last_lp = 0;
    return flush;
}

/* A processor with shadow stacks and last branch virtualization, or with neither. */
static void start(bool modern)
{
    fake_cpuid_clear();
    fake_msr_clear();
    fake_cpuid_set(0, 0, 7, 0x68747541, 0x444D4163, 0x69746E65);
    fake_cpuid_set(1, 0, 0, 0, 0, 0x078BFBFF);
    fake_cpuid_set(7, 0, 0, 0, modern ? 1u << 7 : 0, 0);
    fake_cpuid_set(0x80000000, 0, 0x80000021, 0, 0, 0);
    fake_cpuid_set(0x80000001, 0, 0, 0, 0, 0x20100800);
    fake_cpuid_set(0x80000008, 0, 48, modern ? 1u << 3 : 0, 0, 0);
    fake_cpuid_set(0x8000000A, 0, 1, 16, 0, modern ? 1 | 1u << 1 : 1);
    fake_guest_start(1);
    vp = fake_vp(0);
    child_policy_detect();
    svm_vendor.initialize();
    free(vp->control); /* the fake vendor's */
    vmcb = vp->control = aligned_alloc(HV_PAGE_SIZE, sizeof(*vmcb));
    svm_vendor.vp_initialize(vp);
    vp->last_lp = ~0u;
    guest = NULL;
    flush_wanted = false;
    vendor = &svm_vendor;
}

/* After start(): the processor is QEMU's TCG. */
static void become_tcg(void)
{
    fake_cpuid_set(0x40000000, 0, 0x40000001, 0x54474354, 0x43544743, 0x47435447);
    svm_vendor.initialize();
}

static const struct vendor *fake_vendor;

static int setup(void **state)
{
    (void)state;
    fake_vendor = vendor;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    vendor = fake_vendor;
    fake_guest_stop();
    return 0;
}

static bool msr_exits(uint32_t msr, bool write)
{
    const uint8_t *map = (const uint8_t *)vmcb->msr_permission_map;
    uint32_t position = msr < 0x2000       ? msr
                        : msr < 0xC0010000 ? 0x2000 + (msr & 0x1FFF)
                                           : 0x4000 + (msr & 0x1FFF);
    return map[position / 4] >> (position % 4 * 2 + write) & 1;
}

/* Everything by which a child could reach the processor's or the parent's state (APM vol. 2, appendix B.1).
 */
static void test_required_intercepts(void **state)
{
    static const uint32_t direct[] = {0x174,      0x175,      0x176,      0xC0000081, 0xC0000082,
                                      0xC0000083, 0xC0000084, 0xC0000100, 0xC0000101, 0xC0000102};
    (void)state;
    for (unsigned modern = 0; modern < 2; modern++) {
        start(modern);
        assert_int_equal(vmcb->intercept_exceptions, 1u << 1 | 1u << 6 | 1u << 17 | 1u << 18); /* #DB #UD #AC #MC */
        /* INTR NMI INIT, RDPMC, CPUID, INVD, HLT, INVLPGA, IOIO, MSR, shutdown */
        assert_int_equal(vmcb->intercepts3, 0x9D448000 | 0xB);
        /* VMRUN to SKINIT, WBINVD, MONITOR, MWAIT, XSETBV, RDPRU */
        assert_int_equal(vmcb->intercepts4, 0x7F | 1u << 9 | 1u << 10 | 1u << 11 | 1u << 13 | 1u << 14);
        assert_int_equal(vmcb->intercepts5, modern ? 1u << 0 | 1u << 1 | 1u << 4 : 0); /* INVLPGB TLBSYNC */
        assert_int_equal(vmcb->intercept_cr_write, modern ? 1u << 4 : 0);
        assert_int_equal(vmcb->last_branch_control, modern);
        assert_int_equal(vmcb->virtual_interrupt, 1u << 24);
        assert_int_equal(vmcb->nested_control, 1);
        for (uint32_t port = 0; port < 12288; port++)
            assert_int_equal(((const uint8_t *)vmcb->io_permission_map)[port], 0xFF);
        for (unsigned range = 0; range < 3; range++)
            for (uint32_t i = 0; i < 0x2000; i++) {
                uint32_t msr = (const uint32_t[]){0, 0xC0000000, 0xC0010000}[range] + i;
                bool passes = false;
                for (unsigned j = 0; j < sizeof(direct) / sizeof(direct[0]); j++)
                    passes |= direct[j] == msr;
                assert_int_equal(msr_exits(msr, false), !passes);
                assert_int_equal(msr_exits(msr, true), !passes);
            }
        fake_guest_stop();
        vendor = fake_vendor;
    }
    start(true);
}

/* CR8 is watched as it may unmask something, CR4 all the time. */
static void test_control_register_writes(void **state)
{
    struct vp_exit exit;
    (void)state;
    start(true);
    svm_vendor.interrupt_window(vp, false);
    assert_int_equal(vmcb->intercept_cr_write, 1u << 4);
    local_apic_set_cr8(&vp->apic, 5);
    svm_vendor.interrupt_window(vp, false);
    assert_int_equal(vmcb->intercept_cr_write, 1u << 4 | 1u << 8);
    svm_vendor.run(vp, &exit);
    assert_int_equal(local_apic_cr8(&vp->apic), 5);
    local_apic_set_cr8(&vp->apic, 0);
    svm_vendor.interrupt_window(vp, false);
    assert_int_equal(vmcb->intercept_cr_write, 1u << 4);
}

static uint32_t raw_code;

static void leave(void)
{
    vmcb->exit_code = raw_code;
}

static const struct vp_exit *exit_of(uint32_t code)
{
    static struct vp_exit exit;
    raw_code = code;
    guest = leave;
    memset(&exit, 0, sizeof(exit));
    svm_vendor.run(vp, &exit);
    return &exit;
}

static void test_exits(void **state)
{
    static const struct {
        uint32_t code;
        enum loam_exit_reason reason;
    } exits[] = {
        {0x60,       LOAM_EXIT_EXTERNAL_INTERRUPT        },
        {0x61,       LOAM_EXIT_NMI                       },
        {0x64,       LOAM_EXIT_INTERRUPT_WINDOW          },
        {0x6F,       LOAM_EXIT_VIRTUALIZATION_INSTRUCTION}, /* RDPMC */
        {0x72,       LOAM_EXIT_CPUID                     },
        {0x76,       LOAM_EXIT_CACHE                     },
        {0x78,       LOAM_EXIT_HLT                       },
        {0x7F,       LOAM_EXIT_TRIPLE_FAULT              },
        {0x80,       LOAM_EXIT_VIRTUALIZATION_INSTRUCTION}, /* VMRUN */
        {0x81,       LOAM_EXIT_HYPERCALL                 },
        {0x86,       LOAM_EXIT_VIRTUALIZATION_INSTRUCTION}, /* SKINIT */
        {0x89,       LOAM_EXIT_CACHE                     },
        {0x8A,       LOAM_EXIT_VIRTUALIZATION_INSTRUCTION}, /* MONITOR, MONITORX */
        {0x8B,       LOAM_EXIT_VIRTUALIZATION_INSTRUCTION}, /* MWAIT, MWAITX */
        {0x8D,       LOAM_EXIT_XSETBV                    },
        {0x8E,       LOAM_EXIT_VIRTUALIZATION_INSTRUCTION}, /* RDPRU */
        {0xA0,       LOAM_EXIT_VIRTUALIZATION_INSTRUCTION}, /* INVLPGB */
        {0xA4,       LOAM_EXIT_VIRTUALIZATION_INSTRUCTION}, /* TLBSYNC */
        {0x62,       LOAM_EXIT_OTHER                     },
        {0xA7,       LOAM_EXIT_OTHER                     },
        {0x3FF,      LOAM_EXIT_OTHER                     },
        {0x400,      LOAM_EXIT_NESTED_FAULT              },
        {0xFFFFFFFF, LOAM_EXIT_INVALID_STATE             },
    };
    (void)state;
    start(false);
    for (unsigned i = 0; i < sizeof(exits) / sizeof(exits[0]); i++)
        assert_int_equal(exit_of(exits[i].code)->reason, exits[i].reason);
    const struct vp_exit *exit = exit_of(0x40 + EXCEPTION_MC);
    assert_int_equal(exit->reason, LOAM_EXIT_EXCEPTION);
    assert_int_equal(exit->exception.vector, EXCEPTION_MC);
    assert_false(exit->exception.has_error_code);
    exit = exit_of(0x40 + EXCEPTION_AC);
    assert_int_equal(exit->exception.vector, EXCEPTION_AC);
    assert_true(exit->exception.has_error_code);
}

/* MOV to CR4 on a processor without decode assists: the instruction says which register. */
static void test_cr4_operand(void **state)
{
    (void)state;
    start(true);
    struct hv_x64_segment_register code = {.limit = 0xFFFFFFFF,
                                           .attributes = HV_SEGMENT_P | 0x1B | HV_SEGMENT_L};
    svm_vendor.set_segment(vp, VP_CS, &code);
    vmcb->efer |= EFER_LMA;
    vp->rip = 0x8000;
    memcpy(fake_gpa(0x8000), "\x41\x0F\x22\xE2", 4); /* mov cr4, r10 */
    const struct vp_exit *exit = exit_of(0x14);
    assert_int_equal(exit->reason, LOAM_EXIT_CONTROL_REGISTER);
    assert_int_equal(exit->control.number, 4);
    assert_true(exit->control.write);
    assert_int_equal(exit->control.gpr, 10);
}

/* Translations made with the old control registers must not be used with new ones that we set. */
static void test_setting_control_registers_drops_translations(void **state)
{
    static const enum vp_register names[] = {VP_CR0, VP_CR3, VP_CR4, VP_EFER};
    struct vp_exit exit;
    (void)state;
    start(false);
    svm_vendor.run(vp, &exit);
    uint32_t asid = vmcb->asid;
    svm_vendor.run(vp, &exit);
    assert_int_equal(vmcb->asid, asid);
    svm_vendor.set(vp, VP_CR2, 0x1000);
    svm_vendor.run(vp, &exit);
    assert_int_equal(vmcb->asid, asid);
    for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        svm_vendor.set(vp, names[i], 0x10);
        svm_vendor.run(vp, &exit);
        assert_int_not_equal(vmcb->asid, asid);
        asid = vmcb->asid;
        svm_vendor.run(vp, &exit);
        assert_int_equal(vmcb->asid, asid);
    }
}

/* What is given together is what get and get_segment give one by one. */
static void test_registers_together(void **state)
{
    static const enum vp_register names[] = {VP_CR0, VP_CR3, VP_CR4, VP_EFER, VP_DR7};
    struct hv_x64_segment_register segment;
    struct hv_vp_register_page page;
    struct vp_code code;

    (void)state;
    start(true);
    for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        svm_vendor.set(vp, names[i], 0x1100 + i);
    for (unsigned i = VP_ES; i <= VP_GS; i++)
        svm_vendor.set_segment(vp, i,
                               &(struct hv_x64_segment_register){0x10000 * (i + 1), 0xFFFF + i,
                                                                 (uint16_t)(8 * i),
                                                                 (uint16_t)(0xA093 + (i << 5))});
    svm_vendor.set(vp, VP_INTERRUPT_SHADOW, 1);
    svm_vendor.set(vp, VP_NMI_MASKED, 1);
    memset(&page, 0xEE, sizeof(page));
    svm_vendor.get_special(vp, &page);
    svm_vendor.get_code(vp, &code);
    for (unsigned i = VP_ES; i <= VP_GS; i++) {
        svm_vendor.get_segment(vp, i, &segment);
        assert_int_equal(segment.base, 0x10000 * (i + 1));
        assert_int_equal(segment.limit, 0xFFFF + i);
        assert_int_equal(segment.selector, 8 * i);
        assert_int_equal(segment.attributes, (0xA093 + (i << 5)) & 0xF0FF);
        assert_memory_equal(&page.segment[i], &segment, sizeof(segment));
    }
    assert_memory_equal(&code.cs, &page.segment[VP_CS], sizeof(code.cs));
    assert_int_equal(page.cr0, 0x1100);
    assert_int_equal(page.cr3, 0x1101);
    assert_int_equal(page.cr4, 0x1102);
    assert_int_equal(page.efer, svm_vendor.get(vp, VP_EFER));
    assert_int_equal(page.dr7, 0x1104);
    assert_int_equal(page.interrupt_state, HV_INTERRUPT_STATE_SHADOW | HV_INTERRUPT_STATE_NMI_MASKED);
    assert_true(code.cr0 == page.cr0 && code.cr3 == page.cr3 && code.cr4 == page.cr4 &&
                code.efer == page.efer);
    svm_vendor.end_interrupt_shadow(vp);
    svm_vendor.set(vp, VP_NMI_MASKED, 0);
    svm_vendor.get_special(vp, &page);
    assert_int_equal(page.interrupt_state, 0);
}

/* One of the facts that a message tells about the processor after another. */
static void test_execution(void **state)
{
    static const struct {
        enum vp_register name;
        uint64_t value;
        uint16_t bits;
    } facts[] = {
        {VP_CR0,              CR0_PE,   HV_EXECUTION_CR0_PE          },
        {VP_CR0,              CR0_AM,   HV_EXECUTION_CR0_AM          },
        {VP_EFER,             EFER_LMA, HV_EXECUTION_EFER_LMA        },
        {VP_DR7,              0x40,     HV_EXECUTION_DEBUG_ACTIVE    },
        {VP_INTERRUPT_SHADOW, 1,        HV_EXECUTION_INTERRUPT_SHADOW},
    };
    const struct hv_x64_segment_register cs = {0x1000, 0xFFFF, 8, 0xA09B};
    struct hv_x64_segment_register got;

    (void)state;
    start(true);
    svm_vendor.set_segment(vp, VP_CS, &cs);
    for (unsigned i = 0; i < sizeof(facts) / sizeof(facts[0]); i++) {
        svm_vendor.set(vp, VP_CR0, 0);
        svm_vendor.set(vp, VP_EFER, 0);
        svm_vendor.set(vp, VP_DR7, 0x400);
        svm_vendor.set(vp, VP_INTERRUPT_SHADOW, 0);
        assert_int_equal(svm_vendor.get_execution(vp, &got), 0);
        svm_vendor.set(vp, facts[i].name, facts[i].value);
        vmcb->cpl = (uint8_t)(i % 4);
        assert_int_equal(svm_vendor.get_execution(vp, &got), facts[i].bits | i % 4);
        assert_memory_equal(&got, &cs, sizeof(cs));
        vmcb->cpl = 0;
    }
}

/* Each of the registers that say where code is and what it means. */
static void test_code_changes(void **state)
{
    static const enum vp_register names[] = {VP_CR0, VP_CR3, VP_CR4, VP_EFER};
    struct hv_x64_segment_register cs = {0x1000, 0xFFFF, 8, 0xA09B};
    struct vp_code code;

    (void)state;
    start(true);
    svm_vendor.set_segment(vp, VP_CS, &cs);
    svm_vendor.get_code(vp, &code);
    assert_true(svm_vendor.code_is(vp, &code));
    for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        uint64_t value = svm_vendor.get(vp, names[i]);

        svm_vendor.set(vp, names[i], value ^ 0x100);
        assert_false(svm_vendor.code_is(vp, &code));
        svm_vendor.set(vp, names[i], value);
        assert_true(svm_vendor.code_is(vp, &code));
    }
    for (unsigned i = 0; i < 3; i++) {
        struct hv_x64_segment_register other = cs;

        other.base += i == 0;
        other.limit -= i == 1;
        other.attributes ^= i == 2 ? HV_SEGMENT_L : 0;
        svm_vendor.set_segment(vp, VP_CS, &other);
        assert_false(svm_vendor.code_is(vp, &code));
    }
    svm_vendor.set_segment(vp, VP_CS, &cs);
    assert_true(svm_vendor.code_is(vp, &code));
}

static void makes_hypercall(void)
{
    vmcb->exit_code = SVM_EXIT_VMMCALL;
}

/* Hypercalls are for CPL 0 in protected mode. */
static void test_hypercall(void **state)
{
    struct vp_exit exit;

    (void)state;
    start(true);
    guest = makes_hypercall;
    for (unsigned cpl = 0; cpl < 4; cpl++) {
        for (unsigned protected = 0; protected < 2; protected ++) {
            vmcb->cpl = (uint8_t)cpl;
            vmcb->cr0 = protected ? CR0_PE : 0;
            svm_vendor.run(vp, &exit);
            assert_int_equal(exit.reason, LOAM_EXIT_HYPERCALL);
            assert_int_equal(exit.hypercall_allowed, cpl == 0 && protected);
        }
    }
}

static bool trap_seen;

static void meets_iret(void)
{
    vmcb->exit_code = SVM_EXIT_IRET;
}

static void is_interrupted(void)
{
    trap_seen = (vmcb->rflags & RFLAGS_TF) != 0;
}

static void executes_iret(void)
{
    trap_seen = (vmcb->rflags & RFLAGS_TF) != 0;
    vmcb->rflags = 0x202; /* from the handler's frame */
    vmcb->exit_code = SVM_EXIT_EXCEPTION + EXCEPTION_DB;
}

static void run_until(void (*what)(void), struct vp_exit *exit)
{
    guest = what;
    svm_vendor.run(vp, exit);
}

/* The IRET of an NMI's handler is stepped over with a TF that is never the guest's, whatever exits between. */
static void test_iret_of_an_nmi(void **state)
{
    struct vp_exit exit;

    (void)state;
    start(true);
    vp->rflags = 0x2;
    svm_vendor.set(vp, VP_NMI_MASKED, 1);
    run_until(meets_iret, &exit);
    assert_int_equal(exit.reason, LOAM_EXIT_INTERRUPT_WINDOW);
    assert_true(svm_vendor.get(vp, VP_NMI_MASKED));
    run_until(is_interrupted, &exit);
    assert_true(trap_seen);
    assert_int_equal(vp->rflags, 0x2);
    run_until(executes_iret, &exit);
    assert_true(trap_seen);
    assert_int_equal(exit.reason, LOAM_EXIT_INTERRUPT_WINDOW);
    assert_int_equal(vp->rflags, 0x202);
    assert_false(svm_vendor.get(vp, VP_NMI_MASKED));
    run_until(is_interrupted, &exit);
    assert_false(trap_seen);
}

/* External interrupts take another way on TCG, and come back when their delivery did not happen or was interrupted. */
static void test_injected_interrupts(void **state)
{
    const uint64_t external = hv_pending_interruption(HV_INTERRUPTION_TYPE_EXTERNAL, 0x51);

    (void)state;
    start(true);
    svm_vendor.inject(vp, external);
    assert_int_equal(vmcb->event_injection, 0x80000051);
    assert_int_equal(vmcb->virtual_interrupt & V_IRQ, 0);
    vmcb->exit_interrupt_info = vmcb->event_injection;
    assert_int_equal(svm_vendor.interrupted_event(vp), external);
    vmcb->exit_interrupt_info = 0x80000451; /* the guest's own INT executes again */
    assert_int_equal(svm_vendor.interrupted_event(vp), 0);
}

static void test_injected_interrupts_on_tcg(void **state)
{
    const uint64_t external = hv_pending_interruption(HV_INTERRUPTION_TYPE_EXTERNAL, 0x51);

    (void)state;
    start(true);
    become_tcg();

    vp->rflags = 0x202;
    svm_vendor.inject(vp, external);
    assert_int_equal(vmcb->event_injection, 0);
    assert_int_equal(vmcb->virtual_interrupt >> 32 & 0xFF, 0x51);
    assert_int_equal(vmcb->virtual_interrupt & (V_IRQ | V_IGNORE_TPR), V_IRQ | V_IGNORE_TPR);
    assert_int_equal(svm_vendor.interrupted_event(vp), external); /* not delivered */
    assert_int_equal(vmcb->virtual_interrupt & V_IRQ, 0);
    assert_int_equal(svm_vendor.interrupted_event(vp), 0);

    svm_vendor.inject(vp, external);
    vmcb->exit_interrupt_info = 0x80000351; /* what the emulator says when a nested fault interrupts the delivery */
    assert_int_equal(svm_vendor.interrupted_event(vp), external);
    vmcb->exit_interrupt_info = 0;

    svm_vendor.inject(vp, hv_pending_interruption(HV_INTERRUPTION_TYPE_EXCEPTION, 13));
    assert_int_equal(vmcb->event_injection, 0x8000030D);
    vp->rflags = 0x2; /* the parent set it: it has to be delivered all the same */
    svm_vendor.inject(vp, external);
    assert_int_equal(vmcb->event_injection, 0x80000051);
    vp->rflags = 0x202;
    vp->apic.extint_pending = true;
    svm_vendor.interrupt_window(vp, true);
    svm_vendor.inject(vp, external);
    assert_int_equal(vmcb->event_injection, 0x80000051);
    assert_int_equal(svm_vendor.interrupted_event(vp), 0); /* V_IRQ is the window's */
    svm_vendor.interrupt_window(vp, false);
    svm_vendor.inject(vp, 0);
    assert_int_equal(vmcb->event_injection, 0);
    assert_int_equal(vmcb->virtual_interrupt & V_IRQ, 0);
}

/* Between STI and HLT: with an interrupt shadow that the processor forgets, the HLT is not left to it. */
static void test_halt_in_the_shadow(void **state)
{
    const struct hv_x64_segment_register code = {.limit = 0xFFFF, .attributes = 0x9B};
    struct vp_exit exit;

    (void)state;
    for (unsigned tcg = 0; tcg < 2; tcg++) {
        start(true);
        if (tcg)
            become_tcg();
        svm_vendor.set_segment(vp, VP_CS, &code);
        vp->rip = 0x1000;
        fake_gpa(0x1000)[0] = 0xF4;
        vmcb->interrupt_state = INTERRUPT_SHADOW;
        svm_vendor.run(vp, &exit);
        assert_int_equal(exit.reason, tcg ? LOAM_EXIT_HLT : LOAM_EXIT_EXTERNAL_INTERRUPT);
        vmcb->interrupt_state = INTERRUPT_SHADOW;
        svm_vendor.inject(vp, hv_pending_interruption(HV_INTERRUPTION_TYPE_NMI, 2)); /* goes first */
        svm_vendor.run(vp, &exit);
        assert_int_equal(exit.reason, LOAM_EXIT_EXTERNAL_INTERRUPT);
        vmcb->interrupt_state = INTERRUPT_SHADOW;
        fake_gpa(0x1000)[0] = 0x90;
        svm_vendor.run(vp, &exit);
        assert_int_equal(exit.reason, LOAM_EXIT_EXTERNAL_INTERRUPT);
        fake_guest_stop();
        vendor = fake_vendor;
    }
    start(true);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_required_intercepts),
        TEST(test_control_register_writes),
        TEST(test_exits),
        TEST(test_cr4_operand),
        TEST(test_setting_control_registers_drops_translations),
        TEST(test_registers_together),
        TEST(test_execution),
        TEST(test_code_changes),
        TEST(test_hypercall),
        TEST(test_injected_interrupts),
        TEST(test_injected_interrupts_on_tcg),
        TEST(test_iret_of_an_nmi),
        TEST(test_halt_in_the_shadow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
