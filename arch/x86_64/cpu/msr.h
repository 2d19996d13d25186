/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Numbers of model-specific registers (AMD64 APM vol. 2, appendix A; PPR for the AMD-specific ones). */
#ifndef ARCH_CPU_MSR_H
#define ARCH_CPU_MSR_H

#define MSR_APIC_BASE      0x0000001Bu
#define MSR_SYSENTER_CS    0x00000174u
#define MSR_SYSENTER_ESP   0x00000175u
#define MSR_SYSENTER_EIP   0x00000176u
#define MSR_PAT            0x00000277u
#define MSR_X2APIC_FIRST   0x00000800u
#define MSR_X2APIC_ICR     0x00000830u
#define MSR_EFER           0xC0000080u
#define MSR_STAR           0xC0000081u
#define MSR_LSTAR          0xC0000082u
#define MSR_CSTAR          0xC0000083u
#define MSR_SFMASK         0xC0000084u
#define MSR_FS_BASE        0xC0000100u
#define MSR_GS_BASE        0xC0000101u
#define MSR_KERNEL_GS_BASE 0xC0000102u
#define MSR_SYSCFG         0xC0010010u
#define MSR_PATCH_LOADER   0xC0010020u
#define MSR_VM_CR          0xC0010114u
#define MSR_VM_IGNNE       0xC0010115u
#define MSR_SMM_CTL        0xC0010116u
#define MSR_VM_HSAVE_PA    0xC0010117u
#define MSR_SVM_KEY        0xC0010118u

/* What a child's policy names besides (SDM vol. 4; PPRs). */
#define MSR_TSC                         0x00000010u
#define MSR_PLATFORM_ID                 0x00000017u
#define MSR_FEATURE_CONTROL             0x0000003Au
#define FEATURE_CONTROL_LOCKED          (1ull << 0)
#define FEATURE_CONTROL_VMX_OUTSIDE_SMX (1ull << 2)
#define MSR_UPDATE_TRIGGER              0x00000079u
#define MSR_TSC_ADJUST                  0x0000003Bu
#define MSR_SPEC_CTRL                   0x00000048u
#define MSR_PRED_CMD                    0x00000049u
#define MSR_PATCH_LEVEL                 0x0000008Bu
#define MSR_PLATFORM_INFO               0x000000CEu
#define MSR_MTRR_CAP                    0x000000FEu
#define MSR_ARCH_CAPABILITIES           0x0000010Au
#define MSR_FLUSH_CMD                   0x0000010Bu
#define MSR_MCG_CAP                     0x00000179u
#define MSR_MCG_STATUS                  0x0000017Au
#define MCG_STATUS_RIPV                 (1ull << 0) /* what was interrupted can go on */
#define MSR_PERF_STATUS                 0x00000198u
#define MSR_MISC_ENABLE                 0x000001A0u
#define MSR_VMX_FIRST                   0x00000480u
#define MSR_VMX_LAST                    0x00000493u
#define MSR_DEBUG_CTL                   0x000001D9u
#define MSR_MTRR_PHYS_BASE0             0x00000200u
#define MSR_MTRR_PHYS_MASK7             0x0000020Fu
#define MSR_MTRR_PHYS_MASK31            0x0000023Fu
#define MSR_MTRR_FIX64K                 0x00000250u
#define MSR_MTRR_FIX16K_80000           0x00000258u
#define MSR_MTRR_FIX16K_A0000           0x00000259u
#define MSR_MTRR_FIX4K_C0000            0x00000268u
#define MSR_MTRR_FIX4K_F8000            0x0000026Fu
#define MSR_MTRR_DEF_TYPE               0x000002FFu
#define MSR_TSC_DEADLINE                0x000006E0u
#define MSR_X2APIC_LAST                 0x000008FFu
#define MSR_XSS                         0x00000DA0u
#define MSR_HV_GUEST_OS_ID              0x40000000u
#define MSR_HV_HYPERCALL                0x40000001u
#define MSR_TSC_AUX                     0xC0000103u
#define MSR_HWCR                        0xC0010015u
#define MSR_NB_CFG                      0xC001001Fu
#define MSR_INT_PENDING                 0xC0010055u
#define MSR_MMIO_CONF_BASE              0xC0010058u
#define MSR_OSVW_ID_LENGTH              0xC0010140u
#define MSR_OSVW_STATUS                 0xC0010141u
#define MSR_DE_CFG                      0xC0011029u

#define VM_CR_LOCK                  (1ull << 3)
#define VM_CR_SVM_DISABLED          (1ull << 4)
#define SYSCFG_MEMORY_ENCRYPTION    (1ull << 23)
#define SYSCFG_SECURE_NESTED_PAGING (3ull << 24)

#endif
