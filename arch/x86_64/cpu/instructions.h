/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Instructions that C has no words for. Host tests (LOAM_HOST_TEST) supply functions of the same names
 * instead.
 */
#ifndef ARCH_CPU_INSTRUCTIONS_H
#define ARCH_CPU_INSTRUCTIONS_H

#include "hv/types.h"

#ifdef LOAM_HOST_TEST

void cpuid(uint32_t leaf, uint32_t subleaf, uint32_t result[4]);
uint64_t rdtsc(void);
uint64_t rdmsr(uint32_t msr);
void wrmsr(uint32_t msr, uint64_t value);
bool rdmsr_safe(uint32_t msr, uint64_t *value);
bool wrmsr_safe(uint32_t msr, uint64_t value);
uint64_t xgetbv(uint32_t number);
void xsetbv(uint32_t number, uint64_t value);
uint64_t read_debug_register(unsigned number);
void write_debug_register(unsigned number, uint64_t value);
void verw(const uint16_t *selector);
uint64_t read_cr0(void);
void write_cr0(uint64_t value);
uint64_t read_cr2(void);
void write_cr2(uint64_t value);
uint64_t read_cr3(void);
uint64_t read_cr4(void);
void write_cr4(uint64_t value);
uint8_t in8(uint16_t port);
void cpu_halt(void);

#else

/* EAX, EBX, ECX, EDX */
static inline void cpuid(uint32_t leaf, uint32_t subleaf, uint32_t result[4])
{
    __asm__ volatile("cpuid"
                     : "=a"(result[0]), "=b"(result[1]), "=c"(result[2]), "=d"(result[3])
                     : "a"(leaf), "c"(subleaf));
}

static inline uint64_t rdtsc(void)
{
    uint32_t low, high;
    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
    return (uint64_t)high << 32 | low;
}

static inline uint64_t rdmsr(uint32_t msr)
{
    uint32_t low, high;
    __asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr));
    return (uint64_t)high << 32 | low;
}

static inline void wrmsr(uint32_t msr, uint64_t value)
{
    __asm__ volatile("wrmsr" : : "c"(msr), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)) : "memory");
}

/*
 * An instruction that may fault has an entry in the section .fixup_table: its address and the address to go
 * on at, 8 bytes each. The fault handler searches the table for the faulting RIP; registers stay as they are.
 */
#define FIXUP(from, to)                                                                                                \
    ".pushsection .fixup_table, \"a\"\n"                                                                               \
    ".balign 8\n"                                                                                                      \
    ".quad " from ", " to "\n"                                                                                         \
    ".popsection\n"

struct fixup {
    uint64_t from;
    uint64_t to;
};

/* False: the instruction raised #GP. */
static inline bool rdmsr_safe(uint32_t msr, uint64_t *value)
{
    uint32_t low = 0, high = 0, done = 0;
    __asm__ volatile("1: rdmsr\n"
                     "movl $1, %2\n"
                     "2:\n" FIXUP("1b", "2b")
                     : "+a"(low), "+d"(high), "+r"(done)
                     : "c"(msr));
    *value = (uint64_t)high << 32 | low;
    return done != 0;
}

static inline bool wrmsr_safe(uint32_t msr, uint64_t value)
{
    uint32_t done = 0;
    __asm__ volatile("1: wrmsr\n"
                     "movl $1, %0\n"
                     "2:\n" FIXUP("1b", "2b")
                     : "+r"(done)
                     : "c"(msr), "a"((uint32_t)value), "d"((uint32_t)(value >> 32))
                     : "memory");
    return done != 0;
}

/* False: the instruction raised #GP. */
static inline bool xsetbv_safe(uint32_t number, uint64_t value)
{
    uint32_t done = 0;
    __asm__ volatile("1: xsetbv\n"
                     "movl $1, %0\n"
                     "2:\n" FIXUP("1b", "2b")
                     : "+r"(done)
                     : "c"(number), "a"((uint32_t)value), "d"((uint32_t)(value >> 32))
                     : "memory");
    return done != 0;
}

static inline void wbinvd(void)
{
    __asm__ volatile("wbinvd" : : : "memory");
}

static inline uint64_t xgetbv(uint32_t number)
{
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(number));
    return (uint64_t)high << 32 | low;
}

static inline void xsetbv(uint32_t number, uint64_t value)
{
    __asm__ volatile("xsetbv" : : "c"(number), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)) : "memory");
}

/* DR0-DR3, DR6, DR7 */
static inline uint64_t read_debug_register(unsigned number)
{
    uint64_t value = 0;
    switch (number) {
    case 0:
        __asm__ volatile("mov %%dr0, %0" : "=r"(value));
        break;
    case 1:
        __asm__ volatile("mov %%dr1, %0" : "=r"(value));
        break;
    case 2:
        __asm__ volatile("mov %%dr2, %0" : "=r"(value));
        break;
    case 3:
        __asm__ volatile("mov %%dr3, %0" : "=r"(value));
        break;
    case 6:
        __asm__ volatile("mov %%dr6, %0" : "=r"(value));
        break;
    case 7:
        __asm__ volatile("mov %%dr7, %0" : "=r"(value));
        break;
    }
    return value;
}

static inline void write_debug_register(unsigned number, uint64_t value)
{
    switch (number) {
    case 0:
        __asm__ volatile("mov %0, %%dr0" : : "r"(value));
        break;
    case 1:
        __asm__ volatile("mov %0, %%dr1" : : "r"(value));
        break;
    case 2:
        __asm__ volatile("mov %0, %%dr2" : : "r"(value));
        break;
    case 3:
        __asm__ volatile("mov %0, %%dr3" : : "r"(value));
        break;
    case 6:
        __asm__ volatile("mov %0, %%dr6" : : "r"(value));
        break;
    case 7:
        __asm__ volatile("mov %0, %%dr7" : : "r"(value));
        break;
    }
}

/*
 * Overwrites the processor's internal buffers where microcode gave VERW that effect: only its form with an
 * operand in memory does, and only with the selector of a valid, writable data segment.
 */
static inline void verw(const uint16_t *selector)
{
    __asm__ volatile("verw %0" : : "m"(*selector) : "cc");
}

static inline uint8_t in8(uint16_t port)
{
    uint8_t value;
    __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

static inline void out8(uint16_t port, uint8_t value)
{
    __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port) : "memory");
}

static inline uint64_t read_cr0(void)
{
    uint64_t value;
    __asm__ volatile("mov %%cr0, %0" : "=r"(value));
    return value;
}

static inline uint64_t read_cr3(void)
{
    uint64_t value;
    __asm__ volatile("mov %%cr3, %0" : "=r"(value));
    return value;
}

static inline uint64_t read_cr4(void)
{
    uint64_t value;
    __asm__ volatile("mov %%cr4, %0" : "=r"(value));
    return value;
}

static inline void write_cr2(uint64_t value)
{
    __asm__ volatile("mov %0, %%cr2" : : "r"(value));
}

static inline void write_cr0(uint64_t value)
{
    __asm__ volatile("mov %0, %%cr0" : : "r"(value) : "memory");
}

static inline uint64_t read_cr2(void)
{
    uint64_t value;
    __asm__ volatile("mov %%cr2, %0" : "=r"(value));
    return value;
}

static inline void write_cr4(uint64_t value)
{
    __asm__ volatile("mov %0, %%cr4" : : "r"(value) : "memory");
}

static inline void cpu_pause(void)
{
    __asm__ volatile("pause" : : : "memory");
}

static inline void lfence(void)
{
    __asm__ volatile("lfence" : : : "memory");
}

static inline void cpu_halt(void)
{
    __asm__ volatile("hlt" : : : "memory");
}

#endif

/* Unprivileged: the same in tests. XSAVE areas are 64-byte aligned, FXSAVE areas 16-byte aligned. */
static inline void xsave64(void *area, uint64_t components)
{
    __asm__ volatile("xsave64 (%0)"
                     :
                     : "r"(area), "a"((uint32_t)components), "d"((uint32_t)(components >> 32))
                     : "memory");
}

static inline void xrstor64(const void *area, uint64_t components)
{
    __asm__ volatile("xrstor64 (%0)"
                     :
                     : "r"(area), "a"((uint32_t)components), "d"((uint32_t)(components >> 32))
                     : "memory");
}

/*
 * Older AMD processors restore the x87 instruction and data pointers only with a pending exception, and so
 * leave what the previous owner had (APM vol. 5, FXRSTOR): loading an integer sets them to something that
 * tells nothing.
 */
static inline void clear_x87_pointers(void)
{
    static const int32_t zero;
    __asm__ volatile("fnclex\n"
                     "emms\n"
                     "fildl %0"
                     :
                     : "m"(zero));
}

static inline void fxsave64(void *area)
{
    __asm__ volatile("fxsave64 (%0)" : : "r"(area) : "memory");
}

static inline void fxrstor64(const void *area)
{
    __asm__ volatile("fxrstor64 (%0)" : : "r"(area) : "memory");
}

#endif
