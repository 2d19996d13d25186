/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdarg.h>

#include "arch/x86_64/boot/boot_information.h"
#include "arch/x86_64/cpu/arch_lp.h"
#include "arch/x86_64/cpu/cpu_features.h"
#include "arch/x86_64/cpu/fault.h"
#include "arch/x86_64/cpu/instructions.h"
#include "arch/x86_64/cpu/kick.h"
#include "arch/x86_64/cpu/machine_reset.h"
#include "arch/x86_64/cpu/msr.h"
#include "kernel/arch.h"
#include "kernel/log.h"

#define BACKTRACE_LINES  16u
#define EXCEPTION_COUNT  32u
#define ENTRY_STRIDE     16u
#define INTERRUPT_STRIDE 8u
#define GATE_INTERRUPT   0x8E00u

_Static_assert(offsetof(struct arch_lp, self) == 0, "vectors.asm");
_Static_assert(offsetof(struct arch_lp, nmis) == 8, "vectors.asm");
_Static_assert(offsetof(struct arch_lp, nmis_accounted) == 12, "vmx/enter.asm");

struct gate {
    uint16_t offset_low;
    uint16_t selector;
    uint16_t flags; /* IST in bits 2:0 */
    uint16_t offset_middle;
    uint32_t offset_high;
    uint32_t reserved;
};

struct table_pointer {
    uint16_t limit;
    uint64_t base;
} HV_PACKED;

/* Addresses of functions, sorted, with their names: made by tools/symbol-table from the linked image. */
struct symbol {
    uint32_t offset; /* from LOAM_IMAGE_BASE */
    uint32_t name;   /* offset in symbol_names */
};
extern const struct symbol symbols[];
extern const uint32_t symbol_count;
extern const char symbol_names[];

extern const uint8_t text_end[];
extern const struct fixup fixup_table[], fixup_table_end[];
extern const uint8_t exception_entries[], nmi_entry[], interrupt_entries[];
void load_descriptors(const struct table_pointer *gdt, const struct table_pointer *idt);
void fault_handler(struct fault_frame *frame);

static struct gate idt[256] __attribute__((aligned(16)));
static uint32_t seconds_to_reset;
static uint32_t panicking; /* atomic: 1 + index of the processor that panics */

static void set_gate(unsigned vector, uint64_t address, unsigned ist)
{
    idt[vector] = (struct gate){(uint16_t)address,
                                SELECTOR_CODE,
                                (uint16_t)(GATE_INTERRUPT | ist),
                                (uint16_t)(address >> 16),
                                (uint32_t)(address >> 32),
                                0};
}

void fault_initialize(uint32_t panic_seconds)
{
    seconds_to_reset = panic_seconds;
    for (unsigned vector = 0; vector < 256; vector++)
        set_gate(vector,
                 vector < EXCEPTION_COUNT ? (uint64_t)exception_entries + vector * ENTRY_STRIDE
                                          : (uint64_t)interrupt_entries + (vector - EXCEPTION_COUNT) * INTERRUPT_STRIDE,
                 vector == EXCEPTION_DF || vector == EXCEPTION_MC ? IST_FAULT : 0);
    set_gate(EXCEPTION_NMI, (uint64_t)nmi_entry, 0);
}

void fault_load_descriptors(struct arch_lp *lp)
{
    uint64_t task = (uint64_t)&lp->task;
    struct table_pointer gdt_pointer = {sizeof lp->gdt - 1, (uint64_t)lp->gdt},
                         idt_pointer = {sizeof idt - 1, (uint64_t)idt};

    lp->self = &lp->lp;
    lp->gdt[SELECTOR_CODE / 8] = 0x00AF9B000000FFFFull;
    lp->gdt[SELECTOR_DATA / 8] = 0x00CF93000000FFFFull;
    lp->gdt[SELECTOR_TASK / 8] =
        (sizeof lp->task - 1) | (task & 0xFFFFFF) << 16 | 0x0000890000000000ull | (task >> 24 & 0xFF) << 56;
    lp->gdt[SELECTOR_TASK / 8 + 1] = task >> 32;
    lp->task.ist[IST_FAULT - 1] = LOAM_STACKS + lp->lp.index * LOAM_STACK_STRIDE + LOAM_FAULT_STACK_TOP;
    lp->task.io_map = sizeof lp->task;
    load_descriptors(&gdt_pointer, &idt_pointer);
    wrmsr(MSR_FS_BASE, 0);
    wrmsr(MSR_GS_BASE, (uint64_t)lp);
}

uint64_t fault_descriptors(void)
{
    return (uint64_t)idt;
}

const char *symbol_find(uint64_t address, uint64_t *offset)
{
    uint32_t low = 0, high = symbol_count;

    if (address < LOAM_IMAGE_BASE || address >= (uint64_t)text_end)
        return NULL;
    while (low < high) {
        uint32_t middle = (low + high) / 2;

        if (symbols[middle].offset <= address - LOAM_IMAGE_BASE)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == 0)
        return NULL;
    *offset = address - LOAM_IMAGE_BASE - symbols[low - 1].offset;
    return symbol_names + symbols[low - 1].name;
}

/* Everything on the stack that lies in a function: there are no frame pointers to follow. */
static void log_backtrace(uint64_t rsp)
{
    uint64_t top = (rsp & ~(LOAM_STACK_STRIDE - 1)) +
                   ((rsp & (LOAM_STACK_STRIDE - 1)) < LOAM_STACK_TOP ? LOAM_STACK_TOP : LOAM_FAULT_STACK_TOP);
    unsigned lines = 0;

    if (rsp < LOAM_STACKS || rsp >= LOAM_STACKS + LOAM_MAXIMUM_PROCESSORS * LOAM_STACK_STRIDE)
        return;
    for (rsp &= ~7ull; rsp < top && lines < BACKTRACE_LINES; rsp += 8) {
        uint64_t offset, address = *(const uint64_t *)rsp;
        const char *name = symbol_find(address, &offset);

        if (name && offset > 0) {
            log_line("  %p %s+0x%lx", (void *)address, name, offset);
            lines++;
        }
    }
}

/* The first processor that panics tells; the others stop. */
static void panic_begin(void)
{
    uint32_t expected = 0, self = lp_current()->index + 1;

    if (!__atomic_compare_exchange_n(&panicking, &expected, self, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST) &&
        expected != self)
        for (;;)
            cpu_halt();
    kick_stop_others();
    log_panicking();
}

static void panic_end(void) __attribute__((noreturn));
static void panic_end(void)
{
    uint64_t end = rdtsc() + arch_tsc_frequency() * seconds_to_reset;

    if (seconds_to_reset == 0)
        log_line("stopped for good: 'panic' is 0 in loam.conf");
    else
        log_line("the machine will be reset in %u seconds", seconds_to_reset);
    while (seconds_to_reset == 0 || rdtsc() < end)
        cpu_pause();
    machine_reset();
}

void panic(const char *format, ...)
{
    char text[200];
    va_list arguments;

    va_start(arguments, format);
    format_text_list(text, sizeof text, format, arguments);
    va_end(arguments);
    panic_begin();
    log_line("panic on processor %u: %s", lp_current()->index, text);
    log_backtrace((uint64_t)__builtin_frame_address(0));
    panic_end();
}

static bool fix_up(struct fault_frame *frame)
{
    for (const struct fixup *fixup = fixup_table; fixup < fixup_table_end; fixup++)
        if (fixup->from == frame->rip) {
            frame->rip = fixup->to;
            return true;
        }
    return false;
}

/*
 * AMD-V holds machine checks back in host mode; on VT-x they come, and those of one processor are broadcast to all. If
 * what it interrupted can go on, it is the parent's, which the processor must not enter before it looks.
 */
static bool leave_to_parent(void)
{
    struct lp *lp = lp_current();

    if (!(rdmsr(MSR_MCG_STATUS) & MCG_STATUS_RIPV))
        return false;
    lp->parent_machine_check = true;
    lp_kick(lp->index);
    return true;
}

void fault_handler(struct fault_frame *frame)
{
    uint64_t offset = 0;
    const char *name;

    if (frame->vector == EXCEPTION_GP && fix_up(frame))
        return;
    if (frame->vector == EXCEPTION_MC && leave_to_parent())
        return;
    panic_begin();
    name = symbol_find(frame->rip, &offset);
    log_line("panic on processor %u: exception %lu, error code 0x%lx, at %s+0x%lx", lp_current()->index, frame->vector,
             frame->error_code, name ? name : "?", offset);
    log_line("  rip %016lx rsp %016lx rflags %08lx cr2 %016lx", frame->rip, frame->rsp, frame->rflags, read_cr2());
    log_line("  rax %016lx rbx %016lx rcx %016lx rdx %016lx", frame->rax, frame->rbx, frame->rcx, frame->rdx);
    log_line("  rsi %016lx rdi %016lx rbp %016lx r8  %016lx", frame->rsi, frame->rdi, frame->rbp, frame->r8);
    log_line("  r9  %016lx r10 %016lx r11 %016lx r12 %016lx", frame->r9, frame->r10, frame->r11, frame->r12);
    log_line("  r13 %016lx r14 %016lx r15 %016lx", frame->r13, frame->r14, frame->r15);
    log_backtrace(frame->rsp);
    panic_end();
}
