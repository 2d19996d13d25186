/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * MSRs of children: the table at the end names every one that exists for them; the rest is #GP (or what the
 * partition chose for unknown MSRs). Nothing here reads or writes an MSR of the machine on a child's behalf,
 * except those that extended_state.c switches, IBPB, and identities read at boot.
 */
#include "arch/x86_64/cpu/child_policy.h"
#include "arch/x86_64/cpu/cpu_features.h"
#include "arch/x86_64/cpu/extended_state.h"
#include "arch/x86_64/cpu/instructions.h"
#include "arch/x86_64/cpu/msr.h"
#include "arch/x86_64/cpu/speculation.h"
#include "kernel/arch.h"
#include "kernel/interrupt.h"
#include "kernel/lock.h"
#include "kernel/partition.h"
#include "kernel/vp.h"

#define MTRR_CAPABILITIES  0x508ull /* eight variable ranges, fixed ranges, write-combining */
#define MTRR_DEF_TYPE_BITS 0xCFFull
#define MTRR_MASK_VALID    0x800ull
#define PAT_RESET          0x0007040600070406ull

#define MISC_ENABLE_FAST_STRINGS     0x1ull
#define MISC_ENABLE_BTS_UNAVAILABLE  0x800ull
#define MISC_ENABLE_PEBS_UNAVAILABLE 0x1000ull
#define MISC_ENABLE_RESET            (MISC_ENABLE_FAST_STRINGS | MISC_ENABLE_BTS_UNAVAILABLE | MISC_ENABLE_PEBS_UNAVAILABLE)

#define DEBUG_CTL_BITS 0x3ull /* LBR, BTF */

/* What a child may know of ARCH_CAPABILITIES: the *_NO bits and RSBA, no control that it has no MSR for. */
#define ARCH_CAPABILITIES_PASS 0x400000001D1AE17Full

/*
 * TscFreqSel (the TSC runs at the nominal frequency), INVDWBINVD, SmmLock. Linux warns if the first is
 * clear.
 */
#define HWCR_VALUE               ((1ull << 24) | (1ull << 4) | (1ull << 0))
#define HWCR_MC_STATUS_WRITE     (1ull << 18) /* there is no bank that it could apply to */
#define DE_CFG_LFENCE_SERIALIZES 0x2ull
#define NB_CFG_CF8_EXTENDED      (1ull << 46) /* Linux tries to set it, and lives without */
#define OSVW_ERRATA              4            /* errata 0-3 are known to need no work-around in a guest */

/* An RDMSR or WRMSR on its way. `value` is what is written, or where a read leaves its result. */
struct msr_access {
    struct vp *vp;
    const struct msr_policy *policy;
    uint32_t msr;
    uint64_t value;
};

struct msr_policy {
    uint32_t first, last;
    uint32_t vendors; /* enum processor_vendor bits */
    /* False, or no function: #GP. */
    bool (*read)(struct msr_access *access);
    bool (*write)(struct msr_access *access);
    uint64_t argument; /* the constant, or the enum vp_register */
};
#define ANY ((uint32_t)PROCESSOR_AMD | PROCESSOR_INTEL)

static struct {
    uint64_t efer_bits;
    uint64_t patch_level;
    uint64_t arch_capabilities;
    unsigned linear_bits;
    bool has_arch_capabilities, has_tsc_adjust, has_tsc_aux, has_xsaves, has_osvw;
} host;

const uint32_t child_direct_msrs[CHILD_DIRECT_MSRS] = {
    MSR_FS_BASE, MSR_GS_BASE, MSR_KERNEL_GS_BASE, MSR_STAR,         MSR_LSTAR,
    MSR_CSTAR,   MSR_SFMASK,  MSR_SYSENTER_CS,    MSR_SYSENTER_ESP, MSR_SYSENTER_EIP,
};

void child_msr_detect(void)
{
    host.linear_bits = child_cpuid_has(7, 0, CPUID_ECX, 16) ? 57 : 48;
    host.has_arch_capabilities = child_cpuid_has(7, 0, CPUID_EDX, 29);
    host.has_tsc_adjust = child_cpuid_has(7, 0, CPUID_EBX, 1);
    host.has_tsc_aux = child_cpuid_has(0x80000001, 0, CPUID_EDX, 27) || child_cpuid_has(7, 0, CPUID_ECX, 22);
    host.has_xsaves = child_cpuid_has(0xD, 1, CPUID_EAX, 3);
    host.has_osvw = child_cpuid_has(0x80000001, 0, CPUID_ECX, 9);
    host.efer_bits = EFER_SCE | EFER_LME | EFER_LMA;
    if (child_cpuid_has(0x80000001, 0, CPUID_EDX, 20))
        host.efer_bits |= EFER_NXE;
    if (child_cpuid_has(0x80000001, 0, CPUID_EDX, 25))
        host.efer_bits |= EFER_FFXSR;
    if (child_cpuid_has(0x80000021, 0, CPUID_EAX, 8))
        host.efer_bits |= EFER_AUTOMATIC_IBRS;
    host.arch_capabilities = host.has_arch_capabilities ? rdmsr(MSR_ARCH_CAPABILITIES) & ARCH_CAPABILITIES_PASS : 0;
    if (!rdmsr_safe(MSR_PATCH_LEVEL, &host.patch_level))
        host.patch_level = 0;
}

static bool canonical(uint64_t address)
{
    unsigned shift = 64 - host.linear_bits;
    return (uint64_t)((int64_t)(address << shift) >> shift) == address;
}

/* --- constants --- */

static bool read_constant(struct msr_access *access)
{
    access->value = access->policy->argument;
    return true;
}

/* What cannot be changed can be written with what it is. */
static bool write_constant(struct msr_access *access)
{
    return access->value == access->policy->argument;
}

static bool read_host(struct msr_access *access)
{
    access->value = access->msr == MSR_PATCH_LEVEL ? host.patch_level : host.arch_capabilities;
    return access->msr == MSR_PATCH_LEVEL || host.has_arch_capabilities;
}

/*
 * Intel: software writes 0 before CPUID brings the level forth (SDM vol. 3A 10.11.7.1); it stands there
 * already.
 */
static bool write_patch_level(struct msr_access *access)
{
    return access->value == 0 && child_processor_vendor() == PROCESSOR_INTEL;
}

/* --- registers of the control block --- */

static bool read_vendor(struct msr_access *access)
{
    access->value = vendor->get(access->vp, (enum vp_register)access->policy->argument);
    return true;
}

static bool write_vendor(struct msr_access *access)
{
    vendor->set(access->vp, (enum vp_register)access->policy->argument, access->value);
    return true;
}

static bool write_address(struct msr_access *access)
{
    return canonical(access->value) && write_vendor(access);
}

static bool write_32(struct msr_access *access)
{
    return access->value >> 32 == 0 && write_vendor(access);
}

static bool write_debug_ctl(struct msr_access *access)
{
    return (access->value & ~DEBUG_CTL_BITS) == 0 && write_vendor(access);
}

static bool write_efer(struct msr_access *access)
{
    uint64_t old = vendor->get(access->vp, VP_EFER);
    if ((access->value & ~host.efer_bits) != 0)
        return false;
    if (((access->value ^ old) & EFER_LME) != 0 && (vendor->get(access->vp, VP_CR0) & CR0_PG) != 0)
        return false;
    /* LMA is the processor's to change. */
    access->value = (access->value & ~EFER_LMA) | (old & EFER_LMA);
    return write_vendor(access);
}

static bool memory_type_valid(uint8_t type, bool pat)
{
    return type <= 1 || (type >= 4 && type <= 6) || (pat && type == 7);
}

static bool memory_types_valid(uint64_t types, bool pat)
{
    for (unsigned i = 0; i < 8; i++)
        if (!memory_type_valid((uint8_t)(types >> (8 * i)), pat))
            return false;
    return true;
}

static bool write_pat(struct msr_access *access)
{
    return memory_types_valid(access->value, true) && write_vendor(access);
}

static enum vp_segment base_segment(uint32_t msr)
{
    return msr == MSR_FS_BASE ? VP_FS : VP_GS;
}

static bool read_segment_base(struct msr_access *access)
{
    struct hv_x64_segment_register segment;
    vendor->get_segment(access->vp, base_segment(access->msr), &segment);
    access->value = segment.base;
    return true;
}

static bool write_segment_base(struct msr_access *access)
{
    struct hv_x64_segment_register segment;
    if (!canonical(access->value))
        return false;
    vendor->get_segment(access->vp, base_segment(access->msr), &segment);
    segment.base = access->value;
    vendor->set_segment(access->vp, base_segment(access->msr), &segment);
    return true;
}

/* --- time --- */

static bool read_tsc(struct msr_access *access)
{
    access->value = arch_tsc() + vendor->get(access->vp, VP_TSC_OFFSET);
    return true;
}

/* A write of the TSC shows in TSC_ADJUST too (SDM vol. 3B 18.17.3). */
static bool write_tsc(struct msr_access *access)
{
    uint64_t old = vendor->get(access->vp, VP_TSC_OFFSET);
    uint64_t offset = access->value - arch_tsc();
    access->vp->tsc_adjust += offset - old;
    vp_set_tsc_offset(access->vp, offset);
    return true;
}

static bool read_tsc_adjust(struct msr_access *access)
{
    access->value = access->vp->tsc_adjust;
    return host.has_tsc_adjust;
}

static bool write_tsc_adjust(struct msr_access *access)
{
    if (!host.has_tsc_adjust)
        return false;
    vp_set_tsc_offset(access->vp, vendor->get(access->vp, VP_TSC_OFFSET) + access->value - access->vp->tsc_adjust);
    access->vp->tsc_adjust = access->value;
    return true;
}

static bool read_tsc_aux(struct msr_access *access)
{
    access->value = access->vp->tsc_aux;
    return host.has_tsc_aux;
}

static bool write_tsc_aux(struct msr_access *access)
{
    if (!host.has_tsc_aux || access->value >> 32 != 0)
        return false;
    extended_state_set_tsc_aux(access->vp, access->value);
    return true;
}

/* --- local APIC --- */

static bool read_apic_base(struct msr_access *access)
{
    access->value = access->vp->apic.base;
    return true;
}

static bool write_apic_base(struct msr_access *access)
{
    lock_acquire(&access->vp->interrupt_lock);
    bool done = local_apic_set_base(&access->vp->apic, access->value, arch_physical_address_bits());
    lock_release(&access->vp->interrupt_lock);
    return done;
}

static bool read_tsc_deadline(struct msr_access *access)
{
    if (!access->vp->apic.tsc_deadline_allowed)
        return false;
    lock_acquire(&access->vp->interrupt_lock);
    access->value = local_apic_tsc_deadline(&access->vp->apic, arch_tsc());
    lock_release(&access->vp->interrupt_lock);
    return true;
}

static bool write_tsc_deadline(struct msr_access *access)
{
    if (!access->vp->apic.tsc_deadline_allowed)
        return false;
    lock_acquire(&access->vp->interrupt_lock);
    local_apic_set_tsc_deadline(&access->vp->apic, access->value);
    lock_release(&access->vp->interrupt_lock);
    return true;
}

static bool read_x2apic(struct msr_access *access)
{
    lock_acquire(&access->vp->interrupt_lock);
    bool done = local_apic_read_msr(&access->vp->apic, access->msr, arch_tsc(), &access->value);
    lock_release(&access->vp->interrupt_lock);
    return done;
}

static bool write_x2apic(struct msr_access *access)
{
    struct local_apic_effect effect;
    lock_acquire(&access->vp->interrupt_lock);
    bool done = local_apic_write_msr(&access->vp->apic, access->msr, access->value, arch_tsc(), &effect);
    lock_release(&access->vp->interrupt_lock);
    if (done && effect.send)
        interrupt_deliver(access->vp->partition, &effect.request, access->vp, &access->vp->wake);
    return done;
}

/* --- memory types: stored, without effect, since the nested map has the last word --- */

static uint64_t *variable_mtrr(struct vp *vp, uint32_t msr)
{
    unsigned index = msr - MSR_MTRR_PHYS_BASE0;
    return (index & 1) != 0 ? &vp->mtrr_phys_mask[index / 2] : &vp->mtrr_phys_base[index / 2];
}

static bool read_variable_mtrr(struct msr_access *access)
{
    access->value = *variable_mtrr(access->vp, access->msr);
    return true;
}

static bool write_variable_mtrr(struct msr_access *access)
{
    uint64_t address = ((1ull << arch_physical_address_bits()) - 1) & ~0xFFFull;
    bool is_mask = ((access->msr - MSR_MTRR_PHYS_BASE0) & 1) != 0;
    if ((access->value & ~(address | (is_mask ? MTRR_MASK_VALID : 0xFF))) != 0)
        return false;
    if (!is_mask && !memory_type_valid((uint8_t)access->value, false))
        return false;
    *variable_mtrr(access->vp, access->msr) = access->value;
    return true;
}

/* In the order of the MSRs' numbers, which is that of the addresses too. */
static uint64_t *fixed_mtrr(struct vp *vp, uint32_t msr)
{
    if (msr == MSR_MTRR_FIX64K)
        return &vp->mtrr_fixed[0];
    if (msr <= MSR_MTRR_FIX16K_A0000)
        return &vp->mtrr_fixed[1 + msr - MSR_MTRR_FIX16K_80000];
    return &vp->mtrr_fixed[3 + msr - MSR_MTRR_FIX4K_C0000];
}

static bool read_fixed_mtrr(struct msr_access *access)
{
    access->value = *fixed_mtrr(access->vp, access->msr);
    return true;
}

static bool write_fixed_mtrr(struct msr_access *access)
{
    if (!memory_types_valid(access->value, false))
        return false;
    *fixed_mtrr(access->vp, access->msr) = access->value;
    return true;
}

static bool read_mtrr_def_type(struct msr_access *access)
{
    access->value = access->vp->mtrr_def_type;
    return true;
}

static bool write_mtrr_def_type(struct msr_access *access)
{
    if ((access->value & ~MTRR_DEF_TYPE_BITS) != 0 || !memory_type_valid((uint8_t)access->value, false))
        return false;
    access->vp->mtrr_def_type = access->value;
    return true;
}

/* --- features --- */

static bool read_misc_enable(struct msr_access *access)
{
    access->value = access->vp->misc_enable;
    return true;
}

static bool write_misc_enable(struct msr_access *access)
{
    if ((access->value ^ MISC_ENABLE_RESET) & ~MISC_ENABLE_FAST_STRINGS)
        return false;
    access->vp->misc_enable = access->value;
    return true;
}

static bool read_spec_ctrl(struct msr_access *access)
{
    access->value = access->vp->spec_ctrl;
    return speculation_spec_ctrl_mask() != 0;
}

static bool write_spec_ctrl(struct msr_access *access)
{
    uint64_t mask = speculation_spec_ctrl_mask();
    if (mask == 0 || (access->value & ~mask) != 0)
        return false;
    extended_state_set_spec_ctrl(access->vp, access->value);
    return true;
}

static bool write_pred_cmd(struct msr_access *access)
{
    uint64_t mask = speculation_pred_cmd_mask();
    if (mask == 0 || (access->value & ~mask) != 0)
        return false;
    if (access->value != 0)
        wrmsr(access->msr, access->value);
    return true;
}

static bool read_xss(struct msr_access *access)
{
    access->value = access->vp->xss;
    return host.has_xsaves;
}

static bool write_xss(struct msr_access *access)
{
    return host.has_xsaves && access->value == 0;
}

static bool write_hwcr(struct msr_access *access)
{
    return ((access->value ^ access->policy->argument) & ~HWCR_MC_STATUS_WRITE) == 0;
}

static bool write_nb_cfg(struct msr_access *access)
{
    return (access->value & ~NB_CFG_CF8_EXTENDED) == 0;
}

static bool read_osvw(struct msr_access *access)
{
    return host.has_osvw && read_constant(access);
}

/* --- hypervisor --- */

static bool read_guest_os_id(struct msr_access *access)
{
    access->value = access->msr == MSR_HV_GUEST_OS_ID ? access->vp->guest_os_id : access->vp->hypercall_msr;
    return true;
}

/* No hypercall page yet: HYPERCALL can hold a page number, but its enable bit is refused. */
static bool write_guest_os_id(struct msr_access *access)
{
    if (access->msr == MSR_HV_GUEST_OS_ID) {
        access->vp->guest_os_id = access->value;
        return true;
    }
    if ((access->value & 0xFFF) != 0)
        return false;
    access->vp->hypercall_msr = access->value;
    return true;
}

/* Sorted by number. */
static const struct msr_policy policies[] = {
    {MSR_TSC,               MSR_TSC,               ANY,             read_tsc,           write_tsc,           0                       },
    {MSR_PLATFORM_ID,       MSR_PLATFORM_ID,       PROCESSOR_INTEL, read_constant,      NULL,                0                       },
    {MSR_APIC_BASE,         MSR_APIC_BASE,         ANY,             read_apic_base,     write_apic_base,     0                       },
    {MSR_FEATURE_CONTROL,   MSR_FEATURE_CONTROL,   PROCESSOR_INTEL, read_constant,      NULL,                FEATURE_CONTROL_LOCKED  },
    {MSR_TSC_ADJUST,        MSR_TSC_ADJUST,        ANY,             read_tsc_adjust,    write_tsc_adjust,    0                       },
    {MSR_SPEC_CTRL,         MSR_SPEC_CTRL,         ANY,             read_spec_ctrl,     write_spec_ctrl,     0                       },
    {MSR_PRED_CMD,          MSR_PRED_CMD,          ANY,             NULL,               write_pred_cmd,      0                       },
    {MSR_PATCH_LEVEL,       MSR_PATCH_LEVEL,       ANY,             read_host,          write_patch_level,   0                       },
    {MSR_PLATFORM_INFO,     MSR_PLATFORM_INFO,     PROCESSOR_INTEL, read_constant,      NULL,                0                       },
    {MSR_MTRR_CAP,          MSR_MTRR_CAP,          ANY,             read_constant,      NULL,                MTRR_CAPABILITIES       },
    {MSR_ARCH_CAPABILITIES, MSR_ARCH_CAPABILITIES, PROCESSOR_INTEL, read_host,          NULL,                0                       },
    {MSR_SYSENTER_CS,       MSR_SYSENTER_CS,       ANY,             read_vendor,        write_vendor,        VP_SYSENTER_CS          },
    {MSR_SYSENTER_ESP,      MSR_SYSENTER_ESP,      ANY,             read_vendor,        write_address,       VP_SYSENTER_ESP         },
    {MSR_SYSENTER_EIP,      MSR_SYSENTER_EIP,      ANY,             read_vendor,        write_address,       VP_SYSENTER_EIP         },
    {MSR_MCG_CAP,           MSR_MCG_CAP,           ANY,             read_constant,      NULL,                0                       }, /* no banks */
    {MSR_MCG_STATUS,        MSR_MCG_STATUS,        ANY,             read_constant,      write_constant,      0                       },
    {MSR_PERF_STATUS,       MSR_PERF_STATUS,       PROCESSOR_INTEL, read_constant,      NULL,                0                       },
    {MSR_MISC_ENABLE,       MSR_MISC_ENABLE,       PROCESSOR_INTEL, read_misc_enable,   write_misc_enable,   0                       },
    {MSR_DEBUG_CTL,         MSR_DEBUG_CTL,         ANY,             read_vendor,        write_debug_ctl,     VP_DEBUG_CTL            },
    {MSR_MTRR_PHYS_BASE0,   MSR_MTRR_PHYS_MASK7,   ANY,             read_variable_mtrr, write_variable_mtrr, 0                       },
    {MSR_MTRR_FIX64K,       MSR_MTRR_FIX64K,       ANY,             read_fixed_mtrr,    write_fixed_mtrr,    0                       },
    {MSR_MTRR_FIX16K_80000, MSR_MTRR_FIX16K_A0000, ANY,             read_fixed_mtrr,    write_fixed_mtrr,    0                       },
    {MSR_MTRR_FIX4K_C0000,  MSR_MTRR_FIX4K_F8000,  ANY,             read_fixed_mtrr,    write_fixed_mtrr,    0                       },
    {MSR_PAT,               MSR_PAT,               ANY,             read_vendor,        write_pat,           VP_PAT                  },
    {MSR_MTRR_DEF_TYPE,     MSR_MTRR_DEF_TYPE,     ANY,             read_mtrr_def_type, write_mtrr_def_type, 0                       },
    {MSR_TSC_DEADLINE,      MSR_TSC_DEADLINE,      ANY,             read_tsc_deadline,  write_tsc_deadline,  0                       },
    {MSR_X2APIC_FIRST,      MSR_X2APIC_LAST,       ANY,             read_x2apic,        write_x2apic,        0                       },
    {MSR_XSS,               MSR_XSS,               ANY,             read_xss,           write_xss,           0                       },
    {MSR_HV_GUEST_OS_ID,    MSR_HV_HYPERCALL,      ANY,             read_guest_os_id,   write_guest_os_id,   0                       },
    {MSR_EFER,              MSR_EFER,              ANY,             read_vendor,        write_efer,          VP_EFER                 },
    {MSR_STAR,              MSR_STAR,              ANY,             read_vendor,        write_vendor,        VP_STAR                 },
    {MSR_LSTAR,             MSR_LSTAR,             ANY,             read_vendor,        write_address,       VP_LSTAR                },
    {MSR_CSTAR,             MSR_CSTAR,             ANY,             read_vendor,        write_address,       VP_CSTAR                },
    {MSR_SFMASK,            MSR_SFMASK,            ANY,             read_vendor,        write_32,            VP_SFMASK               },
    {MSR_FS_BASE,           MSR_GS_BASE,           ANY,             read_segment_base,  write_segment_base,  0                       },
    {MSR_KERNEL_GS_BASE,    MSR_KERNEL_GS_BASE,    ANY,             read_vendor,        write_address,       VP_KERNEL_GS_BASE       },
    {MSR_TSC_AUX,           MSR_TSC_AUX,           ANY,             read_tsc_aux,       write_tsc_aux,       0                       },
    {MSR_SYSCFG,            MSR_SYSCFG,            PROCESSOR_AMD,   read_constant,      write_constant,      0                       },
    {MSR_HWCR,              MSR_HWCR,              PROCESSOR_AMD,   read_constant,      write_hwcr,          HWCR_VALUE              },
    {MSR_NB_CFG,            MSR_NB_CFG,            PROCESSOR_AMD,   read_constant,      write_nb_cfg,        0                       },
    {MSR_INT_PENDING,       MSR_INT_PENDING,       PROCESSOR_AMD,   read_constant,      write_constant,      0                       },
    {MSR_MMIO_CONF_BASE,    MSR_MMIO_CONF_BASE,    PROCESSOR_AMD,   read_constant,      write_constant,      0                       },
    {MSR_OSVW_ID_LENGTH,    MSR_OSVW_ID_LENGTH,    PROCESSOR_AMD,   read_osvw,          NULL,                OSVW_ERRATA             },
    {MSR_OSVW_STATUS,       MSR_OSVW_STATUS,       PROCESSOR_AMD,   read_osvw,          NULL,                0                       },
    {MSR_DE_CFG,            MSR_DE_CFG,            PROCESSOR_AMD,   read_constant,      write_constant,      DE_CFG_LFENCE_SERIALIZES},
};
#define POLICY_COUNT (sizeof(policies) / sizeof(policies[0]))

/* NULL: there is no such MSR. */
static const struct msr_policy *find(uint32_t msr)
{
    size_t low = 0, high = POLICY_COUNT;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (policies[middle].last < msr)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == POLICY_COUNT || policies[low].first > msr || (policies[low].vendors & child_processor_vendor()) == 0)
        return NULL;
    return &policies[low];
}

static bool ignores_unknown(const struct vp *vp)
{
    return vp->partition->unimplemented_msr_action == HV_UNIMPLEMENTED_MSR_ACTION_IGNORE_WRITE_READ_ZERO;
}

bool child_msr_read(struct vp *vp, uint32_t msr, uint64_t *value)
{
    struct msr_access access = {.vp = vp, .policy = find(msr), .msr = msr};
    *value = 0;
    if (access.policy == NULL)
        return ignores_unknown(vp);
    if (access.policy->read == NULL || !access.policy->read(&access))
        return false;
    *value = access.value;
    return true;
}

bool child_msr_write(struct vp *vp, uint32_t msr, uint64_t value)
{
    struct msr_access access = {.vp = vp, .policy = find(msr), .msr = msr, .value = value};
    if (access.policy == NULL)
        return ignores_unknown(vp);
    return access.policy->write != NULL && access.policy->write(&access);
}

void child_msr_reset(struct vp *vp)
{
    vp->tsc_aux = 0;
    vp->xss = 0;
    vp->spec_ctrl = 0;
    vp->tsc_adjust = 0;
    vp->misc_enable = MISC_ENABLE_RESET;
    vp->mtrr_def_type = 0;
    for (unsigned i = 0; i < 8; i++)
        vp->mtrr_phys_base[i] = vp->mtrr_phys_mask[i] = 0;
    for (unsigned i = 0; i < 11; i++)
        vp->mtrr_fixed[i] = 0;
    vendor->set(vp, VP_PAT, PAT_RESET);
}
