/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Architectural bits that several files need (AMD64 APM vol. 2, chapters 2, 3 and 8). */
#ifndef ARCH_CPU_CPU_FEATURES_H
#define ARCH_CPU_CPU_FEATURES_H

#define CR0_PE (1ull << 0)
#define CR0_MP (1ull << 1)
#define CR0_NE (1ull << 5)
#define CR0_WP (1ull << 16)
#define CR0_AM (1ull << 18)
#define CR0_CD (1ull << 30)
#define CR0_NW (1ull << 29)
#define CR0_ET (1ull << 4)
#define CR0_PG (1ull << 31)

#define CR4_PSE        (1ull << 4)
#define CR4_PAE        (1ull << 5)
#define CR4_MCE        (1ull << 6)
#define CR4_OSFXSR     (1ull << 9)
#define CR4_OSXMMEXCPT (1ull << 10)
#define CR4_VMXE       (1ull << 13)
#define CR4_LA57       (1ull << 12)
#define CR4_PCIDE      (1ull << 17)
#define CR4_OSXSAVE    (1ull << 18)
#define CR4_SMEP       (1ull << 20)
#define CR4_SMAP       (1ull << 21)
#define CR4_PKE        (1ull << 22)
#define CR4_CET        (1ull << 23)

#define EFER_SCE            (1ull << 0)
#define EFER_LME            (1ull << 8)
#define EFER_LMA            (1ull << 10)
#define EFER_NXE            (1ull << 11)
#define EFER_SVME           (1ull << 12)
#define EFER_FFXSR          (1ull << 14)
#define EFER_AUTOMATIC_IBRS (1ull << 21)

#define RFLAGS_CF (1ull << 0)
#define RFLAGS_PF (1ull << 2)
#define RFLAGS_AF (1ull << 4)
#define RFLAGS_ZF (1ull << 6)
#define RFLAGS_SF (1ull << 7)
#define RFLAGS_TF (1ull << 8)
#define RFLAGS_IF (1ull << 9)
#define RFLAGS_OF (1ull << 11)
#define RFLAGS_RF (1ull << 16)
#define RFLAGS_VM (1ull << 17)
#define RFLAGS_AC (1ull << 18)

#define DR6_INIT        0xFFFF0FF0ull
#define DR6_BS          (1ull << 14)
#define DR6_BREAKPOINTS 0xFull
#define DR6_STATUS      0xE00Full /* breakpoints, BD, BS, BT */
#define DR7_GD          (1ull << 13)
#define DR7_INIT        0x400ull
#define DR7_ENABLES     0xFFull

enum exception {
    EXCEPTION_DB = 1,
    EXCEPTION_NMI = 2,
    EXCEPTION_BP = 3,
    EXCEPTION_OF = 4,
    EXCEPTION_UD = 6,
    EXCEPTION_DF = 8,
    EXCEPTION_GP = 13,
    EXCEPTION_PF = 14,
    EXCEPTION_AC = 17,
    EXCEPTION_MC = 18,
};

#endif
