/* SPDX-License-Identifier: GPL-2.0-or-later */
/* VMX instructions (SDM vol. 3C, chapter 31). Host tests supply functions of the same names instead. */
#ifndef ARCH_VMX_VMX_INSTRUCTIONS_H
#define ARCH_VMX_VMX_INSTRUCTIONS_H

#include "arch/x86_64/vmx/vmcs.h"

#define INVEPT_SINGLE 1ull
#define INVEPT_ALL    2ull

#ifdef LOAM_HOST_TEST

uint64_t vmread(enum vmcs_field field);
void vmwrite(enum vmcs_field field, uint64_t value);
bool vmxon(uint64_t region);
void vmptrld(uint64_t vmcs);
void vmclear(uint64_t vmcs);
void invept(uint64_t type, uint64_t ept_pointer);

#else

static inline uint64_t vmread(enum vmcs_field field)
{
    uint64_t value;

    __asm__ volatile("vmread %1, %0" : "=r"(value) : "r"((uint64_t)field) : "cc");
    return value;
}

static inline void vmwrite(enum vmcs_field field, uint64_t value)
{
    __asm__ volatile("vmwrite %1, %0" : : "r"((uint64_t)field), "r"(value) : "cc");
}

/* False: the processor refused. */
static inline bool vmxon(uint64_t region)
{
    bool failed;

    __asm__ volatile("vmxon %1" : "=@ccbe"(failed) : "m"(region) : "memory");
    return !failed;
}

static inline void vmptrld(uint64_t vmcs)
{
    __asm__ volatile("vmptrld %0" : : "m"(vmcs) : "cc", "memory");
}

static inline void vmclear(uint64_t vmcs)
{
    __asm__ volatile("vmclear %0" : : "m"(vmcs) : "cc", "memory");
}

static inline void invept(uint64_t type, uint64_t ept_pointer)
{
    const struct {
        uint64_t ept_pointer, reserved;
    } descriptor = {ept_pointer, 0};

    __asm__ volatile("invept %0, %1" : : "m"(descriptor), "r"(type) : "cc", "memory");
}

#endif
#endif
