/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the parent may not do to MSRs by itself on Intel's processors. */
#include "arch/x86_64/cpu/instructions.h"
#include "arch/x86_64/cpu/msr.h"
#include "arch/x86_64/cpu/parent_exit.h"
#include "arch/x86_64/mm/guest_walk.h"
#include "arch/x86_64/vmx/vmx.h"
#include "kernel/lock.h"
#include "kernel/parent_map.h"
#include "kernel/vp.h"

/* The head of an update of Intel's, before the data that the trigger names (SDM vol. 3A, table 10-7). */
struct update_header {
    uint32_t version, revision, date, signature, checksum, loader, flags, data_size, total_size, reserved[3];
};
_Static_assert(sizeof(struct update_header) == 48, "update header");

#define UPDATE_HEADER_VERSION 1u
#define UPDATE_DEFAULT_SIZE   2048u /* where the header says 0 */
#define UPDATE_MAXIMUM        (1024u * 1024)

/* Virtual addresses of the guest mean another thing here: the processor gets a copy, whole and with a right checksum.
 */
static bool write_update_trigger(struct vp *vp, uint32_t msr, uint64_t value)
{
    static struct spinlock lock;
    static uint32_t update[UPDATE_MAXIMUM / 4] __attribute__((aligned(16))); /* under lock */
    struct update_header *header = (struct update_header *)update;
    uint64_t begin = value - sizeof *header;
    uint32_t size, sum = 0;
    bool done = false;

    (void)msr;
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
static bool read_feature_control(struct vp *vp, uint32_t msr, uint64_t *value)
{
    (void)vp, (void)msr;
    *value = FEATURE_CONTROL_LOCKED;
    return true;
}

/* The parent's map repeats what the MTRRs say. */
static bool write_mtrr(struct vp *vp, uint32_t msr, uint64_t value)
{
    (void)vp;
    if (!wrmsr_safe(msr, value))
        return false;
    parent_map_load_types();
    return true;
}

const struct parent_msr vmx_parent_msrs[] = {
    {MSR_APIC_BASE,         MSR_APIC_BASE,         NULL,                 parent_write_apic_base},
    {MSR_X2APIC_ICR,        MSR_X2APIC_ICR,        NULL,                 parent_write_icr      },
    {MSR_FEATURE_CONTROL,   MSR_FEATURE_CONTROL,   read_feature_control, parent_deny_write     },
    {MSR_UPDATE_TRIGGER,    MSR_UPDATE_TRIGGER,    NULL,                 write_update_trigger  },
    {MSR_MTRR_PHYS_BASE0,   MSR_MTRR_PHYS_MASK31,  NULL,                 write_mtrr            },
    {MSR_MTRR_FIX64K,       MSR_MTRR_FIX64K,       NULL,                 write_mtrr            },
    {MSR_MTRR_FIX16K_80000, MSR_MTRR_FIX16K_A0000, NULL,                 write_mtrr            },
    {MSR_MTRR_FIX4K_C0000,  MSR_MTRR_FIX4K_F8000,  NULL,                 write_mtrr            },
    {MSR_MTRR_DEF_TYPE,     MSR_MTRR_DEF_TYPE,     NULL,                 write_mtrr            },
    {MSR_VMX_FIRST,         MSR_VMX_LAST,          parent_deny_read,     parent_deny_write     },
    {0,                     0,                     NULL,                 NULL                  },
};
