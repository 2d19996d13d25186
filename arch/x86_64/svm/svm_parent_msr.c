/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the parent may not do to MSRs by itself on AMD's processors. */
#include <string.h>

#include "arch/x86_64/cpu/cpu_features.h"
#include "arch/x86_64/cpu/instructions.h"
#include "arch/x86_64/cpu/msr.h"
#include "arch/x86_64/cpu/parent_exit.h"
#include "arch/x86_64/mm/guest_walk.h"
#include "arch/x86_64/svm/svm.h"
#include "kernel/lock.h"
#include "kernel/vp.h"

#define PATCH_MAXIMUM 16384u /* larger than any microcode patch of the vendor so far */

static bool read_efer(struct vp *vp, uint32_t msr, uint64_t *value)
{
    (void)msr;
    *value = vendor->get(vp, VP_EFER);
    return true;
}

/* The hardware judges the bits; LMA follows LME and paging by itself, and LME cannot change under paging. */
static bool write_efer(struct vp *vp, uint32_t msr, uint64_t value)
{
    uint64_t old = vendor->get(vp, VP_EFER), host = rdmsr(MSR_EFER);
    bool valid;

    (void)msr;
    if (value & EFER_SVME)
        return false;
    if ((vendor->get(vp, VP_CR0) & CR0_PG) && ((value ^ old) & EFER_LME))
        return false;
    valid = wrmsr_safe(MSR_EFER, (value & ~EFER_LMA) | EFER_LME | EFER_NXE | EFER_SVME | (host & EFER_LMA));
    wrmsr(MSR_EFER, host);
    if (valid)
        vendor->set(vp, VP_EFER, (value & ~EFER_LMA) | (old & EFER_LMA));
    return valid;
}

/* Memory encryption would take the C-bit out of Loam's physical addresses. */
static bool read_syscfg(struct vp *vp, uint32_t msr, uint64_t *value)
{
    (void)vp, (void)msr;
    if (!rdmsr_safe(MSR_SYSCFG, value))
        return false;
    *value &= ~(SYSCFG_MEMORY_ENCRYPTION | SYSCFG_SECURE_NESTED_PAGING);
    return true;
}

static bool write_syscfg(struct vp *vp, uint32_t msr, uint64_t value)
{
    uint64_t old;

    (void)vp, (void)msr;
    if (!rdmsr_safe(MSR_SYSCFG, &old) || (value & (SYSCFG_MEMORY_ENCRYPTION | SYSCFG_SECURE_NESTED_PAGING)))
        return false;
    return wrmsr_safe(MSR_SYSCFG, value | (old & (SYSCFG_MEMORY_ENCRYPTION | SYSCFG_SECURE_NESTED_PAGING)));
}

/* The processor takes a patch from a linear address, which in the guest means another thing: it gets a copy. */
static bool write_patch_loader(struct vp *vp, uint32_t msr, uint64_t value)
{
    static struct spinlock lock;
    static uint8_t patch[PATCH_MAXIMUM] __attribute__((aligned(16))); /* under lock */
    bool done;

    (void)msr;
    lock_acquire(&lock);
    memset(patch, 0, sizeof patch);
    done = guest_read(vp, value, patch, sizeof patch, HV_TRANSLATE_VALIDATE_READ) > 0 &&
           wrmsr_safe(MSR_PATCH_LOADER, (uint64_t)patch);
    lock_release(&lock);
    return done;
}

/* As on a processor whose firmware disabled AMD-V. */
static bool read_vm_cr(struct vp *vp, uint32_t msr, uint64_t *value)
{
    (void)vp, (void)msr;
    *value = VM_CR_LOCK | VM_CR_SVM_DISABLED;
    return true;
}

const struct parent_msr svm_parent_msrs[] = {
    {MSR_APIC_BASE,    MSR_APIC_BASE,    NULL,             parent_write_apic_base},
    {MSR_X2APIC_ICR,   MSR_X2APIC_ICR,   NULL,             parent_write_icr      },
    {MSR_EFER,         MSR_EFER,         read_efer,        write_efer            },
    {MSR_SYSCFG,       MSR_SYSCFG,       read_syscfg,      write_syscfg          },
    {MSR_PATCH_LOADER, MSR_PATCH_LOADER, NULL,             write_patch_loader    },
    {MSR_VM_CR,        MSR_VM_CR,        read_vm_cr,       parent_deny_write     },
    {MSR_VM_IGNNE,     MSR_VM_IGNNE,     parent_deny_read, parent_deny_write     },
    {MSR_SMM_CTL,      MSR_SMM_CTL,      NULL,             parent_deny_write     },
    {MSR_VM_HSAVE_PA,  MSR_VM_HSAVE_PA,  parent_deny_read, parent_deny_write     },
    {MSR_SVM_KEY,      MSR_SVM_KEY,      parent_deny_read, parent_deny_write     },
    {0,                0,                NULL,             NULL                  },
};
