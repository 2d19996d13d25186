/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The parent's MSRs. Everything is the hardware's but for the table below; an MSR that is not in it exited only
 * because the processor's permission map does not cover it.
 */
#include <string.h>

#include "arch/x86_64/cpu/cpu_features.h"
#include "arch/x86_64/cpu/host_apic.h"
#include "arch/x86_64/cpu/instructions.h"
#include "arch/x86_64/cpu/msr.h"
#include "arch/x86_64/cpu/parent_exit.h"
#include "arch/x86_64/cpu/processor_start.h"
#include "arch/x86_64/mm/guest_walk.h"
#include "kernel/local_apic.h"
#include "kernel/lock.h"
#include "kernel/log.h"
#include "kernel/parent_map.h"
#include "kernel/vp.h"

#define PATCH_MAXIMUM 16384u /* larger than any microcode patch of the vendor so far */

static bool read_efer(struct vp *vp, uint64_t *value)
{
    *value = vendor->get(vp, VP_EFER);
    return true;
}

/* The hardware judges the bits; LMA follows LME and paging by itself, and LME cannot change under paging. */
static bool write_efer(struct vp *vp, uint64_t value)
{
    uint64_t old = vendor->get(vp, VP_EFER), host = rdmsr(MSR_EFER);
    bool valid;

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

/* Loam watches the page at the address that it found at boot. */
static bool write_apic_base(struct vp *vp, uint64_t value)
{
    uint64_t old = rdmsr(MSR_APIC_BASE);

    (void)vp;
    if ((value ^ old) & APIC_BASE_ADDRESS) {
        log_limited("parent: APIC_BASE is %lx; moving it by writing %lx is refused", old, value);
        return false;
    }
    return wrmsr_safe(MSR_APIC_BASE, value);
}

static bool write_icr(struct vp *vp, uint64_t value)
{
    (void)vp;
    if (!host_apic_is_x2apic())
        return false;
    processor_start_command(value);
    return true;
}

/* Memory encryption would take the C-bit out of Loam's physical addresses. */
static bool read_syscfg(struct vp *vp, uint64_t *value)
{
    (void)vp;
    if (!rdmsr_safe(MSR_SYSCFG, value))
        return false;
    *value &= ~(SYSCFG_MEMORY_ENCRYPTION | SYSCFG_SECURE_NESTED_PAGING);
    return true;
}

static bool write_syscfg(struct vp *vp, uint64_t value)
{
    uint64_t old;

    (void)vp;
    if (!rdmsr_safe(MSR_SYSCFG, &old) || (value & (SYSCFG_MEMORY_ENCRYPTION | SYSCFG_SECURE_NESTED_PAGING)))
        return false;
    return wrmsr_safe(MSR_SYSCFG, value | (old & (SYSCFG_MEMORY_ENCRYPTION | SYSCFG_SECURE_NESTED_PAGING)));
}

/* The processor takes a patch from a linear address, which in the guest means another thing: it gets a copy. */
static bool write_patch_loader(struct vp *vp, uint64_t value)
{
    static struct spinlock lock;
    static uint8_t patch[PATCH_MAXIMUM] __attribute__((aligned(16))); /* under lock */
    bool done;

    lock_acquire(&lock);
    memset(patch, 0, sizeof patch);
    done = guest_read(vp, value, patch, sizeof patch, HV_TRANSLATE_VALIDATE_READ) > 0 &&
           wrmsr_safe(MSR_PATCH_LOADER, (uint64_t)patch);
    lock_release(&lock);
    return done;
}

/* The head of an update of Intel's, before the data that the trigger names (SDM vol. 3A, table 10-7). */
struct update_header {
    uint32_t version, revision, date, signature, checksum, loader, flags, data_size, total_size, reserved[3];
};
_Static_assert(sizeof(struct update_header) == 48, "update header");

#define UPDATE_HEADER_VERSION 1u
#define UPDATE_DEFAULT_SIZE 2048u /* where the header says 0 */
#define UPDATE_MAXIMUM (1024u * 1024)

/* Virtual addresses of the guest mean another thing here: the processor gets a copy, whole and with a right checksum. */
static bool write_update_trigger(struct vp *vp, uint64_t value)
{
    static struct spinlock lock;
    static uint32_t update[UPDATE_MAXIMUM / 4] __attribute__((aligned(16))); /* under lock */
    struct update_header *header = (struct update_header *)update;
    uint64_t begin = value - sizeof *header;
    uint32_t size, sum = 0;
    bool done = false;

    lock_acquire(&lock);
    if (guest_read(vp, begin, header, sizeof *header, HV_TRANSLATE_VALIDATE_READ) == sizeof *header &&
        header->version == UPDATE_HEADER_VERSION) {
        size = header->data_size == 0 ? UPDATE_DEFAULT_SIZE : header->total_size;
        done = size > sizeof *header && size <= UPDATE_MAXIMUM && size % 4 == 0 &&
               guest_read(vp, begin, update, size, HV_TRANSLATE_VALIDATE_READ) == size;
        for (uint32_t i = 0; done && i < size / 4; i++)
            sum += update[i];
        done = done && sum == 0 && wrmsr_safe(MSR_UPDATE_TRIGGER, (uint64_t)(header + 1));
    }
    lock_release(&lock);
    return done;
}

/* As on a processor whose firmware disabled VT-x. */
static bool read_feature_control(struct vp *vp, uint64_t *value)
{
    (void)vp;
    *value = FEATURE_CONTROL_LOCKED;
    return true;
}

/* As on a processor whose firmware disabled AMD-V. */
static bool read_vm_cr(struct vp *vp, uint64_t *value)
{
    (void)vp;
    *value = VM_CR_LOCK | VM_CR_SVM_DISABLED;
    return true;
}

static bool deny_read(struct vp *vp, uint64_t *value)
{
    (void)vp;
    (void)value;
    return false;
}

static bool deny_write(struct vp *vp, uint64_t value)
{
    (void)vp;
    (void)value;
    return false;
}

/* Exits only where the parent's map has to repeat what the MTRRs say. */
static bool write_mtrr(uint32_t msr, uint64_t value)
{
    if (!wrmsr_safe(msr, value))
        return false;
    parent_map_load_types();
    return true;
}

static const struct {
    uint32_t msr;
    bool (*read)(struct vp *vp, uint64_t *value); /* NULL: the hardware's */
    bool (*write)(struct vp *vp, uint64_t value);
} policy[] = {
    {MSR_EFER,         read_efer,   write_efer        },
    {MSR_APIC_BASE,    NULL,        write_apic_base   },
    {MSR_X2APIC_ICR,   NULL,        write_icr         },
    {MSR_SYSCFG,       read_syscfg, write_syscfg      },
    {MSR_PATCH_LOADER, NULL,        write_patch_loader},
    {MSR_UPDATE_TRIGGER, NULL, write_update_trigger},
    {MSR_FEATURE_CONTROL, read_feature_control, deny_write},
    {MSR_VM_CR,        read_vm_cr,  deny_write        },
    {MSR_VM_IGNNE,     deny_read,   deny_write        },
    {MSR_SMM_CTL,      NULL,        deny_write        },
    {MSR_VM_HSAVE_PA,  deny_read,   deny_write        },
    {MSR_SVM_KEY,      deny_read,   deny_write        },
};

bool parent_msr_read(struct vp *vp, uint32_t msr, uint64_t *value)
{
    if (msr >= MSR_VMX_FIRST && msr <= MSR_VMX_LAST)
        return false;
    for (unsigned i = 0; i < sizeof policy / sizeof policy[0]; i++)
        if (policy[i].msr == msr && policy[i].read)
            return policy[i].read(vp, value);
    return rdmsr_safe(msr, value);
}

static bool is_mtrr(uint32_t msr)
{
    return (msr >= MSR_MTRR_PHYS_BASE0 && msr <= MSR_MTRR_PHYS_MASK31) || msr == MSR_MTRR_FIX64K ||
           msr == MSR_MTRR_FIX16K_80000 || msr == MSR_MTRR_FIX16K_A0000 || msr == MSR_MTRR_DEF_TYPE ||
           (msr >= MSR_MTRR_FIX4K_C0000 && msr <= MSR_MTRR_FIX4K_F8000);
}

bool parent_msr_write(struct vp *vp, uint32_t msr, uint64_t value)
{
    if (is_mtrr(msr))
        return write_mtrr(msr, value);
    for (unsigned i = 0; i < sizeof policy / sizeof policy[0]; i++)
        if (policy[i].msr == msr && policy[i].write)
            return policy[i].write(vp, value);
    return wrmsr_safe(msr, value);
}
