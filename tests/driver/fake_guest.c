// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The fake hypervisor's processor: real mode, the instructions that the test guests use, an x2APIC with a
 * one-shot timer, and interrupts through the vector table at address 0.
 */
#include <linux/bitops.h>
#include <linux/mm.h>
#include <linux/string.h>
#include <asm/tsc.h>

#include "fake_hypervisor.h"

#define QUANTUM 50 /* instructions; then somebody else may have the fake's lock */

#define RAX 0
#define RCX 1
#define RDX 2
#define RSP 4

#define RFLAGS_CF 0x1ull
#define RFLAGS_IF 0x200ull

#define MSR_X2APIC_EOI           0x80B
#define MSR_X2APIC_ICR           0x830
#define MSR_X2APIC_LVT_TIMER     0x832
#define MSR_X2APIC_INITIAL_COUNT 0x838

enum step { STEP_NEXT, STEP_INTERCEPT, STEP_NEW_DEADLINE };

struct processor {
    struct fake_partition *partition;
    struct fake_vp *vp;
    u32 index;
    struct loam_vp_set *wake;
};

void fake_guest_load_page(struct fake_vp *vp)
{
    struct hv_vp_register_page *page = vp->register_page;

    if (!page || !page->isvalid)
        return;
    if (page->dirty & HV_REGISTER_PAGE_DIRTY_GP)
        memcpy(vp->gpr, page->gp_registers, sizeof(vp->gpr));
    if (page->dirty & HV_REGISTER_PAGE_DIRTY_IP)
        vp->rip = page->rip;
    if (page->dirty & HV_REGISTER_PAGE_DIRTY_FLAGS)
        vp->rflags = page->rflags;
    if (page->dirty & HV_REGISTER_PAGE_DIRTY_SEGMENT)
        memcpy(vp->segment, page->segment, sizeof(page->segment));
    page->dirty = 0;
}

void fake_guest_store_page(struct fake_vp *vp)
{
    struct hv_vp_register_page *page = vp->register_page;

    if (!page)
        return;
    page->version = HV_VP_REGISTER_PAGE_VERSION;
    memcpy(page->gp_registers, vp->gpr, sizeof(vp->gpr));
    page->rip = vp->rip;
    page->rflags = vp->rflags;
    memcpy(page->segment, vp->segment, sizeof(page->segment));
    page->dirty = 0;
    page->isvalid = 1;
}

/* NULL: the parent's memory is not mapped there with these permissions. */
static u8 *guest_byte(struct fake_partition *partition, u64 gpa, u32 permission, bool *mapped)
{
    void *entry = xa_load(&partition->gpa, gpa >> HV_PAGE_SHIFT);
    unsigned long value = entry ? xa_to_value(entry) : 0;

    *mapped = entry;
    if (!entry || (value & permission) != permission)
        return NULL;
    if (permission)
        xa_set_mark(&partition->gpa, gpa >> HV_PAGE_SHIFT, FAKE_ACCESSED);
    if (permission & HV_MAP_GPA_WRITABLE)
        xa_set_mark(&partition->gpa, gpa >> HV_PAGE_SHIFT, FAKE_DIRTY);
    return (u8 *)page_address(pfn_to_page(value >> 4)) + (gpa & (HV_PAGE_SIZE - 1));
}

static u64 linear_ip(const struct fake_vp *vp)
{
    return vp->segment[1].base + (vp->rip & 0xFFFF);
}

static unsigned int fetch(struct processor *processor, u8 *bytes, unsigned int size)
{
    unsigned int i;
    bool mapped;

    memset(bytes, 0, size);
    for (i = 0; i < size; i++) {
        u8 *byte =
            guest_byte(processor->partition, linear_ip(processor->vp) + i, HV_MAP_GPA_READABLE, &mapped);

        if (!byte)
            break;
        bytes[i] = *byte;
    }
    return i;
}

static struct hv_x64_intercept_message_header *begin_message(struct processor *processor, u32 type, u8 size,
                                                             u8 length, u8 access)
{
    struct fake_vp *vp = processor->vp;
    struct hv_message *message = vp->message;
    struct hv_x64_intercept_message_header *header = (void *)message->payload;

    memset(message, 0, sizeof(*message));
    message->header.message_type = type;
    message->header.payload_size = size;
    message->header.sender = processor->partition->id;
    *header = (struct hv_x64_intercept_message_header){
        .vp_index = processor->index,
        .instruction_length_cr8 = length,
        .intercept_access_type = access,
        .cs = vp->segment[1],
        .rip = vp->rip,
        .rflags = vp->rflags,
    };
    return header;
}

static enum step io_intercept(struct processor *processor, u16 port, u8 length, bool write)
{
    struct hv_x64_io_port_intercept_message *message =
        (void *)begin_message(processor, HVMSG_X64_IO_PORT_INTERCEPT, sizeof(*message), length, write);

    message->port_number = port;
    message->access_info = 1;
    message->rax = processor->vp->gpr[RAX];
    message->rcx = processor->vp->gpr[RCX];
    message->instruction_byte_count = fetch(processor, message->instruction_bytes, length);
    return STEP_INTERCEPT;
}

static enum step memory_intercept(struct processor *processor, u64 gpa, bool mapped, u8 access)
{
    struct hv_x64_memory_intercept_message *message = (void *)begin_message(
        processor, mapped ? HVMSG_GPA_INTERCEPT : HVMSG_UNMAPPED_GPA, sizeof(*message), 0, access);

    message->guest_physical_address = gpa;
    message->guest_virtual_address = gpa;
    message->memory_access_info = HV_MEMORY_ACCESS_GVA_VALID | HV_MEMORY_ACCESS_GVA_GPA_VALID;
    message->instruction_byte_count =
        fetch(processor, message->instruction_bytes, sizeof(message->instruction_bytes));
    return STEP_INTERCEPT;
}

static void startup(struct fake_vp *vp, u8 vector)
{
    vp->waits_for_startup = false;
    vp->halted = false;
    vp->segment[1] = (struct hv_x64_segment_register){.base = (u64)vector << 12, .selector = vector << 8};
    vp->rip = 0;
}

static bool deliverable(const struct fake_vp *vp)
{
    return vp->rflags & RFLAGS_IF && (vp->irr[0] | vp->irr[1] | vp->irr[2] | vp->irr[3]);
}

static bool runnable(const struct fake_vp *vp)
{
    return !vp->waits_for_startup && (!vp->halted || deliverable(vp));
}

/* After anything that may have made a VP runnable. */
static void report_wake(struct fake_partition *partition, u32 index, struct loam_vp_set *wake)
{
    struct fake_vp *vp = partition->vps[index];

    if (!vp->blocked || !runnable(vp))
        return;
    vp->blocked = false;
    wake->bank[index / 64] |= 1ull << index % 64;
}

void fake_guest_interrupt(struct fake_partition *partition, u32 index, u8 vector, struct loam_vp_set *wake)
{
    partition->vps[index]->irr[vector / 64] |= 1ull << vector % 64;
    report_wake(partition, index, wake);
}

static void write_icr(struct processor *processor, u64 value)
{
    u32 destination = value >> 32, kind = value >> 8 & 7;

    if (destination >= FAKE_VPS || !processor->partition->vps[destination])
        return;
    if (kind == HV_X64_INTERRUPT_TYPE_FIXED) {
        fake_guest_interrupt(processor->partition, destination, value, processor->wake);
    } else if (kind == HV_X64_INTERRUPT_TYPE_SIPI &&
               processor->partition->vps[destination]->waits_for_startup) {
        startup(processor->partition->vps[destination], value);
        report_wake(processor->partition, destination, processor->wake);
    }
}

static enum step write_msr(struct processor *processor)
{
    struct fake_vp *vp = processor->vp;
    u64 value = (u32)vp->gpr[RAX] | vp->gpr[RDX] << 32;

    switch ((u32)vp->gpr[RCX]) {
    case MSR_X2APIC_ICR:
        write_icr(processor, value);
        break;
    case MSR_X2APIC_LVT_TIMER:
        vp->timer_vector = value;
        break;
    case MSR_X2APIC_INITIAL_COUNT:
        vp->deadline = value ? FAKE_TSC() + (u32)value : LOAM_NO_DEADLINE;
        if (vp->deadline < vp->told_deadline)
            return STEP_NEW_DEADLINE;
        break;
    default:
        break;
    }
    return STEP_NEXT;
}

static void push(struct processor *processor, u16 value)
{
    bool mapped;
    u8 *byte;

    processor->vp->gpr[RSP] = (processor->vp->gpr[RSP] - 2) & 0xFFFF;
    byte = guest_byte(processor->partition, processor->vp->gpr[RSP], HV_MAP_GPA_WRITABLE, &mapped);
    if (byte)
        memcpy(byte, &value, sizeof(value));
}

static u16 read_word(struct processor *processor, u64 gpa)
{
    bool mapped;
    u8 *byte = guest_byte(processor->partition, gpa, HV_MAP_GPA_READABLE, &mapped);
    u16 value = 0;

    if (byte)
        memcpy(&value, byte, sizeof(value));
    return value;
}

static u16 pop(struct processor *processor)
{
    u16 value = read_word(processor, processor->vp->gpr[RSP]);

    processor->vp->gpr[RSP] = (processor->vp->gpr[RSP] + 2) & 0xFFFF;
    return value;
}

static void set_code_segment(struct fake_vp *vp, u16 selector)
{
    vp->segment[1].selector = selector;
    vp->segment[1].base = (u64)selector << 4;
}

static void deliver_interrupt(struct processor *processor)
{
    struct fake_vp *vp = processor->vp;
    int bank = 3, vector;

    while (!vp->irr[bank])
        bank--;
    vector = bank * 64 + __fls(vp->irr[bank]);
    vp->irr[bank] &= ~(1ull << vector % 64);
    vp->halted = false;
    push(processor, vp->rflags);
    push(processor, vp->segment[1].selector);
    push(processor, vp->rip);
    vp->rflags &= ~RFLAGS_IF;
    vp->rip = read_word(processor, vector * 4);
    set_code_segment(vp, read_word(processor, vector * 4 + 2));
}

static u32 immediate(const u8 *bytes, unsigned int size)
{
    u32 value = 0;

    memcpy(&value, bytes, size);
    return value;
}

static enum step access_memory(struct processor *processor, u16 gpa, bool write)
{
    struct fake_vp *vp = processor->vp;
    bool mapped;
    u8 *byte =
        guest_byte(processor->partition, gpa, write ? HV_MAP_GPA_WRITABLE : HV_MAP_GPA_READABLE, &mapped);

    if (!byte)
        return memory_intercept(processor, gpa, mapped, write);
    if (write)
        *byte = vp->gpr[RAX];
    else
        vp->gpr[RAX] = (vp->gpr[RAX] & ~0xFFull) | *byte;
    vp->rip += 3;
    return STEP_NEXT;
}

/* Instructions behind an operand size prefix, and the two-byte ones. */
static enum step step_extended(struct processor *processor, const u8 *code)
{
    struct fake_vp *vp = processor->vp;
    u64 sum;

    if (code[0] == 0x0F && code[1] == 0x30) { /* wrmsr */
        vp->rip += 2;
        return write_msr(processor);
    }
    if (code[0] == 0x66 && code[1] >= 0xB8 && code[1] <= 0xBF) { /* mov r32, imm32 */
        vp->gpr[code[1] - 0xB8] = immediate(code + 2, 4);
        vp->rip += 6;
        return STEP_NEXT;
    }
    if (code[0] == 0x66 && code[1] == 0x05) { /* add eax, imm32 */
        sum = (u64)(u32)vp->gpr[RAX] + immediate(code + 2, 4);
        vp->gpr[RAX] = (u32)sum;
        vp->rflags = (vp->rflags & ~RFLAGS_CF) | sum >> 32;
        vp->rip += 6;
        return STEP_NEXT;
    }
    begin_message(processor, HVMSG_UNRECOVERABLE_EXCEPTION, sizeof(struct hv_x64_intercept_message_header), 0,
                  0);
    return STEP_INTERCEPT;
}

static enum step step(struct processor *processor)
{
    struct fake_vp *vp = processor->vp;
    u8 code[8];

    if (!fetch(processor, code, sizeof(code))) {
        bool mapped;

        guest_byte(processor->partition, linear_ip(vp), 0, &mapped);
        return memory_intercept(processor, linear_ip(vp), mapped, HV_INTERCEPT_ACCESS_EXECUTE);
    }
    switch (code[0]) {
    case 0x90: /* nop */
        vp->rip += 1;
        return STEP_NEXT;
    case 0xFA: /* cli */
    case 0xFB: /* sti */
        vp->shadow = code[0] == 0xFB;
        vp->rflags = vp->shadow ? vp->rflags | RFLAGS_IF : vp->rflags & ~RFLAGS_IF;
        vp->rip += 1;
        return STEP_NEXT;
    case 0xF4: /* hlt */
        vp->halted = true;
        vp->rip += 1;
        return STEP_NEXT;
    case 0xCF: /* iret */
        vp->rip = pop(processor);
        set_code_segment(vp, pop(processor));
        vp->rflags = pop(processor);
        return STEP_NEXT;
    case 0xEB: /* jmp rel8 */
        vp->rip = (vp->rip + 2 + (s8)code[1]) & 0xFFFF;
        return STEP_NEXT;
    case 0xB0: /* mov al, imm8 */
        vp->gpr[RAX] = (vp->gpr[RAX] & ~0xFFull) | code[1];
        vp->rip += 2;
        return STEP_NEXT;
    case 0xE4: /* in al, imm8 */
    case 0xE6: /* out imm8, al */
        return io_intercept(processor, code[1], 2, code[0] == 0xE6);
    case 0xA0: /* mov al, [moffs16] */
    case 0xA2: /* mov [moffs16], al */
        return access_memory(processor, immediate(code + 1, 2), code[0] == 0xA2);
    default:
        return step_extended(processor, code);
    }
}

static void report(struct fake_vp *vp, struct loam_output_dispatch_vp *output, u32 state, u32 event)
{
    vp->blocked = state == HV_VP_DISPATCH_STATE_BLOCKED;
    vp->told_deadline = vp->deadline;
    output->dispatch = (struct hv_output_dispatch_vp){.dispatch_state = state, .dispatch_event = event};
    output->deadline = vp->deadline;
}

bool fake_guest_run(struct fake_partition *partition, u32 index, struct loam_output_dispatch_vp *output)
{
    struct fake_vp *vp = partition->vps[index];
    struct processor processor = {.partition = partition, .vp = vp, .index = index, .wake = &output->wake};
    unsigned int i;

    for (i = 0; i < QUANTUM; i++) {
        if (!runnable(vp)) {
            report(vp, output, HV_VP_DISPATCH_STATE_BLOCKED, HV_VP_DISPATCH_EVENT_NONE);
            return false;
        }
        if (deliverable(vp) && !vp->shadow)
            deliver_interrupt(&processor);
        vp->shadow = false;
        switch (step(&processor)) {
        case STEP_NEXT:
            break;
        case STEP_INTERCEPT:
            vp->intercept_suspended = true;
            fake_guest_store_page(vp);
            report(vp, output, HV_VP_DISPATCH_STATE_READY, HV_VP_DISPATCH_EVENT_INTERCEPT);
            return false;
        case STEP_NEW_DEADLINE:
            report(vp, output, HV_VP_DISPATCH_STATE_READY, HV_VP_DISPATCH_EVENT_NONE);
            return false;
        }
    }
    report(vp, output, HV_VP_DISPATCH_STATE_READY, HV_VP_DISPATCH_EVENT_NONE);
    return true;
}

void fake_guest_enter(struct fake_vp *vp)
{
    fake_guest_load_page(vp);
    if (vp->register_page)
        vp->register_page->isvalid = 0;
    if (vp->deadline <= FAKE_TSC()) {
        vp->deadline = LOAM_NO_DEADLINE;
        vp->irr[vp->timer_vector / 64] |= 1ull << vp->timer_vector % 64;
    }
}
