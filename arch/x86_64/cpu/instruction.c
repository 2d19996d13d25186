/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "arch/x86_64/cpu/instruction.h"
#include "arch/x86_64/cpu/cpu_features.h"
#include "arch/x86_64/mm/guest_walk.h"
#include "kernel/arch.h"
#include "kernel/vp.h"

#define FETCHED LOAM_EXIT_REASON_COUNT /* kept for its bytes alone, INSTRUCTION_MAXIMUM of them */

/* --- where the instruction is --- */

static enum code_mode code_mode(const struct vp_code *code)
{
    if ((code->cs.attributes & HV_SEGMENT_L) != 0 && (code->efer & EFER_LMA) != 0)
        return CODE_64;
    return (code->cs.attributes & HV_SEGMENT_DB) != 0 ? CODE_32 : CODE_16;
}

/* Where the processor reads the instruction at CS:RIP, and how. */
struct place {
    enum code_mode mode;
    uint64_t linear;
    unsigned length; /* INSTRUCTION_MAXIMUM, or what is left of the segment */
};

static inline struct place find_place(const struct vp_code *code, uint64_t rip)
{
    struct place place = {.mode = code_mode(code), .linear = rip, .length = INSTRUCTION_MAXIMUM};
    if (place.mode != CODE_64) {
        uint32_t offset = (uint32_t)rip;
        place.linear = (uint32_t)(code->cs.base + offset);
        if (offset > code->cs.limit)
            place.length = 0;
        else if (code->cs.limit - offset < INSTRUCTION_MAXIMUM - 1)
            place.length = code->cs.limit - offset + 1;
    }
    return place;
}

/* Guests leave from a few places again and again; much of the work is to find out what they do there. */
static struct guest_code *kept_code(struct vp *vp)
{
    return &vp->kept_code[(vp->rip ^ vp->rip >> 4) % GUEST_CODE_KEPT];
}

/* NULL: what is asked about the instruction at RIP is not kept. */
static inline const struct guest_code *find_kept(struct vp *vp, uint32_t kind)
{
    const struct guest_code *kept = kept_code(vp);
    return kept->rip == vp->rip && kept->kind == kind && guest_code_is(vp, kept) ? kept : NULL;
}

static void keep(struct vp *vp, uint32_t kind, uint64_t result)
{
    struct guest_code *kept = kept_code(vp);
    kept->kind = kept->at != NULL ? kind : 0;
    kept->result = result;
}

static unsigned fetch(struct vp *vp, uint8_t bytes[GUEST_CODE_BYTES], enum code_mode *mode)
{
    struct vp_code code;
    vendor->get_code(vp, &code);
    struct place place = find_place(&code, vp->rip);
    *mode = place.mode;
    if (place.length == 0)
        return 0;
    return (unsigned)guest_read_code(vp, &code, place.linear, bytes, place.length, kept_code(vp));
}

bool guest_instruction_no_access(struct vp *vp, uint64_t *gpa)
{
    struct hv_output_translate_virtual_address found;
    uint64_t linear = vp->rip;
    struct vp_code code;
    vendor->get_code(vp, &code);
    if (code_mode(&code) != CODE_64)
        linear = (uint32_t)(code.cs.base + linear);
    guest_translate(vp, linear, HV_TRANSLATE_PRIVILEGE_EXEMPT, &found);
    if (found.result_code != HV_TRANSLATE_GVA_GPA_NO_READ_ACCESS)
        return false;
    *gpa = found.gpa_page << HV_PAGE_SHIFT;
    return true;
}

unsigned guest_fetch_instruction(struct vp *vp, uint8_t bytes[INSTRUCTION_MAXIMUM])
{
    const struct guest_code *kept = find_kept(vp, FETCHED);
    uint8_t code[GUEST_CODE_BYTES] = {0};
    enum code_mode mode;
    unsigned count;
    if (kept != NULL) {
        memcpy(bytes, kept->bytes, INSTRUCTION_MAXIMUM);
        return INSTRUCTION_MAXIMUM;
    }
    count = fetch(vp, code, &mode);
    memcpy(bytes, code, count);
    if (count == INSTRUCTION_MAXIMUM)
        keep(vp, FETCHED, 0);
    return count;
}

/* Outside 64-bit mode the instruction pointer has 32 bits; a single step traps after the instruction. */
static void __attribute__((noinline)) finish_special_instruction(struct vp *vp)
{
    struct vp_code code;
    vendor->get_code(vp, &code);
    if (code_mode(&code) != CODE_64)
        vp->rip = (uint32_t)vp->rip;
    if ((vp->rflags & RFLAGS_TF) == 0 || vp->pending_interruption != 0)
        return;
    vendor->set(vp, VP_DR6, vendor->get(vp, VP_DR6) | DR6_BS);
    vp->pending_interruption = hv_pending_interruption(HV_INTERRUPTION_TYPE_EXCEPTION, EXCEPTION_DB);
}

void guest_instruction_done(struct vp *vp, unsigned length)
{
    uint64_t before = vp->rip;
    vp->rip = before + length;
    vp->rflags &= ~RFLAGS_RF;
    if ((vp->rip ^ before) >> 32 != 0 || (vp->rflags & RFLAGS_TF) != 0)
        finish_special_instruction(vp);
    vendor->end_interrupt_shadow(vp);
}

/* --- prefixes --- */

struct prefixes {
    unsigned count;
    uint8_t rex; /* 0 if there is none right before the opcode, where alone it counts */
    bool operand_size;
    bool address_size;
};

static void read_prefixes(const uint8_t *bytes, unsigned count, enum code_mode mode, struct prefixes *prefixes)
{
    *prefixes = (struct prefixes){0};
    for (unsigned i = 0; i < count; i++) {
        switch (bytes[i]) {
        case 0x66:
            prefixes->operand_size = true;
            prefixes->rex = 0;
            break;
        case 0x67:
            prefixes->address_size = true;
            prefixes->rex = 0;
            break;
        case 0x26: /* segments, LOCK, REP */
        case 0x2E:
        case 0x36:
        case 0x3E:
        case 0x64:
        case 0x65:
        case 0xF0:
        case 0xF2:
        case 0xF3:
            prefixes->rex = 0;
            break;
        default:
            if (mode != CODE_64 || (bytes[i] & 0xF0) != 0x40) {
                prefixes->count = i;
                return;
            }
            prefixes->rex = bytes[i];
        }
    }
    prefixes->count = count;
}

/* --- lengths of intercepted instructions --- */

static const struct intercepted {
    uint8_t reason; /* enum loam_exit_reason */
    uint8_t bytes;  /* of the opcode */
    uint8_t opcode[3];
    uint8_t mask;    /* which bits of the opcode's last byte count */
    uint8_t operand; /* bytes that follow the opcode */
} intercepted_instructions[] = {
    {LOAM_EXIT_CPUID,            2, {0x0F, 0xA2},       0xFF, 0},
    {LOAM_EXIT_MSR_READ,         2, {0x0F, 0x32},       0xFF, 0},
    {LOAM_EXIT_MSR_WRITE,        2, {0x0F, 0x30},       0xFF, 0},
    {LOAM_EXIT_HLT,              1, {0xF4},             0xFF, 0},
    {LOAM_EXIT_HYPERCALL,        3, {0x0F, 0x01, 0xD9}, 0xFF, 0}, /* VMMCALL */
    {LOAM_EXIT_HYPERCALL,        3, {0x0F, 0x01, 0xC1}, 0xFF, 0}, /* VMCALL */
    {LOAM_EXIT_IO_PORT,          1, {0xE4},             0xFC, 1}, /* IN and OUT, immediate port */
    {LOAM_EXIT_IO_PORT,          1, {0xEC},             0xFC, 0}, /* IN and OUT, DX */
    {LOAM_EXIT_IO_PORT,          1, {0x6C},             0xFC, 0}, /* INS and OUTS */
    {LOAM_EXIT_XSETBV,           3, {0x0F, 0x01, 0xD1}, 0xFF, 0},
    {LOAM_EXIT_CACHE,            2, {0x0F, 0x08},       0xFE, 0}, /* INVD, WBINVD, WBNOINVD */
    {LOAM_EXIT_PAUSE,            1, {0x90},             0xFF, 0},
    {LOAM_EXIT_CONTROL_REGISTER, 2, {0x0F, 0x20},       0xFD, 1}, /* MOV CRn: ModRM is one byte, any mod */
    {LOAM_EXIT_OTHER,            2, {0x0F, 0x31},       0xFF, 0}, /* RDTSC */
    {LOAM_EXIT_OTHER,            3, {0x0F, 0x01, 0xF9}, 0xFF, 0}, /* RDTSCP */
};

unsigned instruction_length(const uint8_t *bytes, unsigned count, enum code_mode mode, enum loam_exit_reason reason)
{
    struct prefixes prefixes;
    read_prefixes(bytes, count, mode, &prefixes);
    for (unsigned i = 0; i < sizeof(intercepted_instructions) / sizeof(intercepted_instructions[0]); i++) {
        const struct intercepted *known = &intercepted_instructions[i];
        const uint8_t *opcode = bytes + prefixes.count;
        unsigned last = known->bytes - 1u, length = prefixes.count + known->bytes + known->operand;
        if (known->reason == reason && length <= count && memcmp(opcode, known->opcode, last) == 0 &&
            (opcode[last] & known->mask) == known->opcode[last])
            return length;
    }
    return 0;
}

static unsigned __attribute__((noinline)) find_length(struct vp *vp, enum loam_exit_reason reason)
{
    uint8_t bytes[GUEST_CODE_BYTES] = {0};
    enum code_mode mode;
    unsigned count = fetch(vp, bytes, &mode), length = instruction_length(bytes, count, mode, reason);
    if (length != 0)
        keep(vp, reason, length);
    return length;
}

unsigned guest_instruction_length(struct vp *vp, const struct vp_exit *exit)
{
    const struct guest_code *kept;
    if (exit->instruction_length != 0)
        return exit->instruction_length;
    kept = find_kept(vp, exit->reason);
    return kept != NULL ? (unsigned)kept->result : find_length(vp, exit->reason);
}

/* --- accesses to memory --- */

enum immediate { IMMEDIATE_NONE, IMMEDIATE_8, IMMEDIATE_32, OFFSET /* no ModRM: EAX and an address */ };

/* By opcode, and for opcodes that are groups by ModRM.reg. */
#define WHATEVER_REG(operation)                                                                                        \
    {                                                                                                                  \
        operation, operation, operation, operation, operation, operation, operation, operation                         \
    }
static const struct memory_form {
    uint8_t immediate;     /* enum immediate */
    uint8_t operations[8]; /* enum memory_operation */
} memory_forms[256] = {
    [0x09] = {IMMEDIATE_NONE, WHATEVER_REG(MEMORY_OR)                                  },
    [0x0B] = {IMMEDIATE_NONE, WHATEVER_REG(MEMORY_LOAD_OR)                             },
    [0x21] = {IMMEDIATE_NONE, WHATEVER_REG(MEMORY_AND)                                 },
    [0x23] = {IMMEDIATE_NONE, WHATEVER_REG(MEMORY_LOAD_AND)                            },
    [0x39] = {IMMEDIATE_NONE, WHATEVER_REG(MEMORY_COMPARE)                             },
    [0x3B] = {IMMEDIATE_NONE, WHATEVER_REG(MEMORY_LOAD_COMPARE)                        },
    [0x81] = {IMMEDIATE_32,   {[1] = MEMORY_OR, [4] = MEMORY_AND, [7] = MEMORY_COMPARE}},
    [0x83] = {IMMEDIATE_8,    {[1] = MEMORY_OR, [4] = MEMORY_AND, [7] = MEMORY_COMPARE}},
    [0x85] = {IMMEDIATE_NONE, WHATEVER_REG(MEMORY_TEST)                                },
    [0x87] = {IMMEDIATE_NONE, WHATEVER_REG(MEMORY_EXCHANGE)                            },
    [0x89] = {IMMEDIATE_NONE, WHATEVER_REG(MEMORY_STORE)                               },
    [0x8B] = {IMMEDIATE_NONE, WHATEVER_REG(MEMORY_LOAD)                                },
    [0xA1] = {OFFSET,         WHATEVER_REG(MEMORY_LOAD)                                },
    [0xA3] = {OFFSET,         WHATEVER_REG(MEMORY_STORE)                               },
    [0xC7] = {IMMEDIATE_32,   {[0] = MEMORY_STORE}                                     },
    [0xF7] = {IMMEDIATE_32,   {[0] = MEMORY_TEST, [1] = MEMORY_TEST}                   }, /* 1: an alias */
};

static unsigned address_bytes(enum code_mode mode, bool override)
{
    if (mode == CODE_64)
        return override ? 4 : 8;
    return (mode == CODE_32) != override ? 4 : 2;
}

/*
 * Bytes of ModRM, SIB and displacement; 0: the operand is no memory. `sib` is read only if ModRM asks for
 * one.
 */
static unsigned operand_bytes(uint8_t modrm, uint8_t sib, unsigned address)
{
    unsigned mod = modrm >> 6, rm = modrm & 7;
    if (mod == 3)
        return 0;
    if (address == 2) {
        if (mod == 0)
            return rm == 6 ? 3 : 1;
        return 1 + mod;
    }
    unsigned bytes = rm == 4 ? 2 : 1;
    if (mod == 1)
        return bytes + 1;
    if (mod == 2 || rm == 5 || (rm == 4 && (sib & 7) == 5))
        return bytes + 4;
    return bytes;
}

static uint32_t read_immediate(const uint8_t *bytes, enum immediate immediate)
{
    uint32_t value = 0;
    if (immediate == IMMEDIATE_8)
        return (uint32_t)(int32_t)(int8_t)bytes[0];
    if (immediate == IMMEDIATE_32)
        memcpy(&value, bytes, sizeof(value));
    return value;
}

bool memory_instruction_decode(const uint8_t *bytes, unsigned count, enum code_mode mode,
                               struct memory_instruction *instruction)
{
    static const uint8_t immediate_bytes[] = {
        [IMMEDIATE_NONE] = 0, [IMMEDIATE_8] = 1, [IMMEDIATE_32] = 4, [OFFSET] = 0};
    struct prefixes prefixes;
    read_prefixes(bytes, count, mode, &prefixes);
    if (prefixes.count >= count)
        return false;
    const uint8_t *opcode = bytes + prefixes.count;
    unsigned rest = count - prefixes.count;
    /* Looked at before the length is known: zeros stand for bytes that are missing. */
    uint8_t modrm = rest > 1 ? opcode[1] : 0, sib = rest > 2 ? opcode[2] : 0;

    bool operand_16 = (mode == CODE_16) != prefixes.operand_size;
    const struct memory_form *form = &memory_forms[opcode[0]];
    uint8_t operation = form->operations[modrm >> 3 & 7];
    if (operation == MEMORY_NONE || operand_16 || (prefixes.rex & 0x08) != 0)
        return false;
    unsigned address = address_bytes(mode, prefixes.address_size);
    unsigned operand = form->immediate == OFFSET ? address : operand_bytes(modrm, sib, address);
    unsigned length = prefixes.count + 1 + operand + immediate_bytes[form->immediate];
    if (operand == 0 || length > count || length > INSTRUCTION_MAXIMUM)
        return false;
    bool has_immediate = immediate_bytes[form->immediate] != 0;
    uint8_t reg = form->immediate == OFFSET ? 0 : (modrm >> 3 & 7) | (prefixes.rex & 0x04) << 1;
    *instruction = (struct memory_instruction){
        .operation = operation,
        .length = (uint8_t)length,
        .has_immediate = has_immediate,
        .gpr = has_immediate ? 0 : reg,
        .immediate = has_immediate ? read_immediate(opcode + 1 + operand, form->immediate) : 0,
    };
    return true;
}

_Static_assert(sizeof(struct memory_instruction) == sizeof(((struct guest_code *)0)->result), "fits");

static bool __attribute__((noinline))
find_memory_instruction(struct vp *vp, const struct vp_exit *exit, struct memory_instruction *instruction)
{
    uint8_t bytes[GUEST_CODE_BYTES] = {0};
    struct vp_code code;
    enum code_mode mode;
    uint64_t result;
    vendor->get_code(vp, &code);
    if (exit->fault.bytes_count != 0 &&
        memory_instruction_decode(exit->fault.bytes, exit->fault.bytes_count, code_mode(&code), instruction))
        return true;
    unsigned count = fetch(vp, bytes, &mode);
    if (!memory_instruction_decode(bytes, count, mode, instruction))
        return false;
    memcpy(&result, instruction, sizeof(result));
    keep(vp, exit->reason, result);
    return true;
}

bool guest_decode_memory_instruction(struct vp *vp, const struct vp_exit *exit, struct memory_instruction *instruction)
{
    const struct guest_code *kept = exit->fault.bytes_count == 0 ? find_kept(vp, exit->reason) : NULL;
    if (kept == NULL)
        return find_memory_instruction(vp, exit, instruction);
    memcpy(instruction, &kept->result, sizeof(*instruction));
    return true;
}
