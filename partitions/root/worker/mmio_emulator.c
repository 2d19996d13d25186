/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/worker/mmio_emulator.h"

#include <string.h>

#include "partitions/root/worker/arithmetic.h"
#include "partitions/root/worker/mmio_operand.h"

static enum emulator_result done_or_exception(bool ok)
{
    return ok ? EMULATOR_DONE : EMULATOR_EXCEPTION;
}

static bool is_segment_register(ZydisRegister name)
{
    return name >= ZYDIS_REGISTER_ES && name <= ZYDIS_REGISTER_GS;
}

/* MOV, MOVZX, MOVNTI: Zydis's operands are zero-extended already. A selector can be stored, not loaded. */
static enum emulator_result emulate_move(struct mmio_emulator *emulator)
{
    const ZydisDecodedOperand *operands = emulator->instruction->operands;
    uint64_t value;

    if (operands[0].type == ZYDIS_OPERAND_TYPE_REGISTER && !register_is_general(operands[0].reg.value))
        return EMULATOR_UNSUPPORTED;
    if (operands[1].type == ZYDIS_OPERAND_TYPE_REGISTER && !register_is_general(operands[1].reg.value) &&
        !is_segment_register(operands[1].reg.value))
        return EMULATOR_UNSUPPORTED;
    return done_or_exception(operand_read(emulator, &operands[1], MEMORY_READ, &value) &&
                             operand_write(emulator, &operands[0], value));
}

/* MOVSX, MOVSXD */
static enum emulator_result emulate_move_signed(struct mmio_emulator *emulator)
{
    const ZydisDecodedOperand *operands = emulator->instruction->operands;
    uint64_t value;

    if (!operand_read(emulator, &operands[1], MEMORY_READ, &value))
        return EMULATOR_EXCEPTION;
    operand_write(emulator, &operands[0], arithmetic_sign_extend(value, operand_size(&operands[1])));
    return EMULATOR_DONE;
}

static enum emulator_result emulate_move_swapped(struct mmio_emulator *emulator)
{
    const ZydisDecodedOperand *operands = emulator->instruction->operands;
    uint64_t value;

    if (!operand_read(emulator, &operands[1], MEMORY_READ, &value))
        return EMULATOR_EXCEPTION;
    value = __builtin_bswap64(value) >> (64 - operands[1].size);
    return done_or_exception(operand_write(emulator, &operands[0], value));
}

static enum emulator_result emulate_move_if(struct mmio_emulator *emulator)
{
    const ZydisDecodedOperand *operands = emulator->instruction->operands;
    uint64_t value;

    if (!operand_read(emulator, &operands[1], MEMORY_READ, &value))
        return EMULATOR_EXCEPTION;
    /* An operand of 32 bits clears the upper half of its register even if the condition is false. */
    if (!arithmetic_condition(emulator->instruction->decoded.opcode, emulator->registers->rflags))
        operand_read(emulator, &operands[0], MEMORY_READ, &value);
    operand_write(emulator, &operands[0], value);
    return EMULATOR_DONE;
}

static enum emulator_result emulate_set_if(struct mmio_emulator *emulator)
{
    bool value = arithmetic_condition(emulator->instruction->decoded.opcode, emulator->registers->rflags);

    return done_or_exception(operand_write(emulator, &emulator->instruction->operands[0], value));
}

static uint64_t compute(ZydisMnemonic mnemonic, uint64_t a, uint64_t b, unsigned size, uint64_t *rflags)
{
    bool carry = *rflags & RFLAGS_CF;

    switch (mnemonic) {
    case ZYDIS_MNEMONIC_ADD:
        return arithmetic_add(a, b, false, size, rflags);
    case ZYDIS_MNEMONIC_ADC:
        return arithmetic_add(a, b, carry, size, rflags);
    case ZYDIS_MNEMONIC_SBB:
        return arithmetic_subtract(a, b, carry, size, rflags);
    case ZYDIS_MNEMONIC_AND:
    case ZYDIS_MNEMONIC_TEST:
        return arithmetic_logic(a & b, size, rflags);
    case ZYDIS_MNEMONIC_OR:
        return arithmetic_logic(a | b, size, rflags);
    case ZYDIS_MNEMONIC_XOR:
        return arithmetic_logic(a ^ b, size, rflags);
    default: /* SUB, CMP */
        return arithmetic_subtract(a, b, false, size, rflags);
    }
}

/* Instructions of two operands that write the first. */
static enum emulator_result emulate_binary(struct mmio_emulator *emulator)
{
    const ZydisDecodedOperand *operands = emulator->instruction->operands;
    uint64_t rflags = emulator->registers->rflags;
    uint64_t a, b;

    if (!operand_read(emulator, &operands[0], MEMORY_WRITE, &a) ||
        !operand_read(emulator, &operands[1], MEMORY_READ, &b))
        return EMULATOR_EXCEPTION;
    a = compute(emulator->instruction->decoded.mnemonic, a, b, operand_size(&operands[0]), &rflags);
    if (!operand_write(emulator, &operands[0], a))
        return EMULATOR_EXCEPTION;
    emulator->registers->rflags = rflags;
    return EMULATOR_DONE;
}

/* CMP, TEST */
static enum emulator_result emulate_compare(struct mmio_emulator *emulator)
{
    const ZydisDecodedOperand *operands = emulator->instruction->operands;
    uint64_t rflags = emulator->registers->rflags;
    uint64_t a, b;

    if (!operand_read(emulator, &operands[0], MEMORY_READ, &a) ||
        !operand_read(emulator, &operands[1], MEMORY_READ, &b))
        return EMULATOR_EXCEPTION;
    compute(emulator->instruction->decoded.mnemonic, a, b, operand_size(&operands[0]), &rflags);
    emulator->registers->rflags = rflags;
    return EMULATOR_DONE;
}

/* INC, DEC, NEG, NOT */
static enum emulator_result emulate_unary(struct mmio_emulator *emulator)
{
    const ZydisDecodedOperand *operand = &emulator->instruction->operands[0];
    unsigned size = operand_size(operand);
    uint64_t before = emulator->registers->rflags;
    uint64_t rflags = before;
    uint64_t value;

    if (!operand_read(emulator, operand, MEMORY_WRITE, &value))
        return EMULATOR_EXCEPTION;
    switch (emulator->instruction->decoded.mnemonic) {
    case ZYDIS_MNEMONIC_INC:
        value = arithmetic_add(value, 1, false, size, &rflags);
        rflags = (rflags & ~RFLAGS_CF) | (before & RFLAGS_CF);
        break;
    case ZYDIS_MNEMONIC_DEC:
        value = arithmetic_subtract(value, 1, false, size, &rflags);
        rflags = (rflags & ~RFLAGS_CF) | (before & RFLAGS_CF);
        break;
    case ZYDIS_MNEMONIC_NEG:
        value = arithmetic_subtract(0, value, false, size, &rflags);
        break;
    default: /* NOT */
        value = ~value;
        break;
    }
    if (!operand_write(emulator, operand, value))
        return EMULATOR_EXCEPTION;
    emulator->registers->rflags = rflags;
    return EMULATOR_DONE;
}

static enum emulator_result emulate_exchange(struct mmio_emulator *emulator)
{
    /* XCHG's memory operand may be either; it is dealt with first, since only it can fault. */
    bool memory_first = emulator->instruction->operands[0].type == ZYDIS_OPERAND_TYPE_MEMORY;
    const ZydisDecodedOperand *memory = &emulator->instruction->operands[memory_first ? 0 : 1];
    const ZydisDecodedOperand *other = &emulator->instruction->operands[memory_first ? 1 : 0];
    uint64_t in_memory, in_register;

    if (!operand_read(emulator, memory, MEMORY_WRITE, &in_memory) ||
        !operand_read(emulator, other, MEMORY_READ, &in_register) ||
        !operand_write(emulator, memory, in_register))
        return EMULATOR_EXCEPTION;
    operand_write(emulator, other, in_memory);
    return EMULATOR_DONE;
}

static enum emulator_result emulate_exchange_add(struct mmio_emulator *emulator)
{
    const ZydisDecodedOperand *operands = emulator->instruction->operands;
    uint64_t rflags = emulator->registers->rflags;
    uint64_t a, b, sum;

    if (!operand_read(emulator, &operands[0], MEMORY_WRITE, &a) ||
        !operand_read(emulator, &operands[1], MEMORY_READ, &b))
        return EMULATOR_EXCEPTION;
    sum = arithmetic_add(a, b, false, operand_size(&operands[0]), &rflags);
    if (!operand_write(emulator, &operands[0], sum))
        return EMULATOR_EXCEPTION;
    operand_write(emulator, &operands[1], a);
    emulator->registers->rflags = rflags;
    return EMULATOR_DONE;
}

/* CMPXCHG writes its destination in either case, as the processor does. */
static enum emulator_result emulate_compare_exchange(struct mmio_emulator *emulator)
{
    const ZydisDecodedOperand *operands = emulator->instruction->operands;
    struct hv_vp_register_page *registers = emulator->registers;
    unsigned size = operand_size(&operands[0]);
    uint64_t rflags = registers->rflags;
    uint64_t destination, source;

    if (!operand_read(emulator, &operands[0], MEMORY_WRITE, &destination) ||
        !operand_read(emulator, &operands[1], MEMORY_READ, &source))
        return EMULATOR_EXCEPTION;
    arithmetic_subtract(gp_read(registers, GP_RAX, size), destination, false, size, &rflags);
    if (!operand_write(emulator, &operands[0], rflags & RFLAGS_ZF ? source : destination))
        return EMULATOR_EXCEPTION;
    if (!(rflags & RFLAGS_ZF))
        gp_write(registers, GP_RAX, size, destination);
    registers->rflags = rflags;
    return EMULATOR_DONE;
}

static uint64_t change_bit(ZydisMnemonic mnemonic, uint64_t value, uint64_t bit)
{
    switch (mnemonic) {
    case ZYDIS_MNEMONIC_BTS:
        return value | bit;
    case ZYDIS_MNEMONIC_BTR:
        return value & ~bit;
    default: /* BTC */
        return value ^ bit;
    }
}

/*
 * BT, BTS, BTR, BTC. With a bit number in a register the memory operand is a bit string that extends both
 * ways; an immediate bit number counts within the operand.
 */
static enum emulator_result emulate_bit_test(struct mmio_emulator *emulator)
{
    const ZydisDecodedOperand *operands = emulator->instruction->operands;
    ZydisMnemonic mnemonic = emulator->instruction->decoded.mnemonic;
    unsigned size = operand_size(&operands[0]);
    bool write = mnemonic != ZYDIS_MNEMONIC_BT;
    uint64_t displacement = 0;
    uint64_t number, linear, bit;
    uint64_t value = 0;

    operand_read(emulator, &operands[1], MEMORY_READ, &number);
    if (operands[1].type == ZYDIS_OPERAND_TYPE_REGISTER) {
        int64_t index = (int64_t)arithmetic_sign_extend(number, size);

        displacement = (uint64_t)(index >> __builtin_ctz(8 * size)) * size;
    }
    bit = 1ull << (number & (8 * size - 1));
    if (!operand_address(emulator, &operands[0], displacement, write, &linear) ||
        !memory_access_read(emulator->memory, linear, &value, size, write ? MEMORY_WRITE : MEMORY_READ))
        return EMULATOR_EXCEPTION;
    if (write) {
        uint64_t changed = change_bit(mnemonic, value, bit);

        if (!memory_access_write(emulator->memory, linear, &changed, size))
            return EMULATOR_EXCEPTION;
    }
    emulator->registers->rflags &= ~RFLAGS_CF;
    if (value & bit)
        emulator->registers->rflags |= RFLAGS_CF;
    return EMULATOR_DONE;
}

/* Where the stack pointer would be after `change`, wrapped at the stack's width. */
static uint64_t moved_stack_pointer(const struct mmio_emulator *emulator, int change)
{
    uint64_t mask = width_mask(emulator->instruction->stack_width);
    uint64_t rsp = emulator->registers->gp_registers[GP_RSP];

    return (rsp & ~mask) | ((rsp + (uint64_t)(int64_t)change) & mask);
}

static bool stack_address(struct mmio_emulator *emulator, uint64_t rsp, bool write, uint64_t *linear)
{
    return linear_address(
        emulator->registers, SEGMENT_SS, rsp & width_mask(emulator->instruction->stack_width),
        emulator->instruction->decoded.operand_width / 8, write, linear, &emulator->memory->exception);
}

static enum emulator_result emulate_push(struct mmio_emulator *emulator)
{
    const ZydisDecodedOperand *operand = &emulator->instruction->operands[0];
    unsigned size = emulator->instruction->decoded.operand_width / 8;
    uint64_t rsp = moved_stack_pointer(emulator, -(int)size);
    uint64_t value, linear;

    if (operand->type == ZYDIS_OPERAND_TYPE_REGISTER && !register_is_general(operand->reg.value))
        return EMULATOR_UNSUPPORTED;
    if (!operand_read(emulator, operand, MEMORY_READ, &value) ||
        !stack_address(emulator, rsp, true, &linear) ||
        !memory_access_write(emulator->memory, linear, &value, size))
        return EMULATOR_EXCEPTION;
    emulator->registers->gp_registers[GP_RSP] = rsp;
    return EMULATOR_DONE;
}

static enum emulator_result emulate_pop(struct mmio_emulator *emulator)
{
    const ZydisDecodedOperand *operand = &emulator->instruction->operands[0];
    struct hv_vp_register_page *registers = emulator->registers;
    unsigned size = emulator->instruction->decoded.operand_width / 8;
    uint64_t rsp = registers->gp_registers[GP_RSP];
    uint64_t value = 0;
    uint64_t linear;

    if (operand->type == ZYDIS_OPERAND_TYPE_REGISTER && !register_is_general(operand->reg.value))
        return EMULATOR_UNSUPPORTED;
    if (!stack_address(emulator, rsp, false, &linear) ||
        !memory_access_read(emulator->memory, linear, &value, size, MEMORY_READ))
        return EMULATOR_EXCEPTION;
    /* An operand relative to RSP is addressed with the RSP after the pop. */
    registers->gp_registers[GP_RSP] = moved_stack_pointer(emulator, (int)size);
    if (!operand_write(emulator, operand, value)) {
        registers->gp_registers[GP_RSP] = rsp;
        return EMULATOR_EXCEPTION;
    }
    return EMULATOR_DONE;
}

/* CLFLUSH and prefetches: device memory is not cached. */
static enum emulator_result emulate_nothing(struct mmio_emulator *emulator)
{
    (void)emulator;
    return EMULATOR_DONE;
}

static bool is_xmm(const ZydisDecodedOperand *operand)
{
    return operand->type == ZYDIS_OPERAND_TYPE_REGISTER && operand->reg.value >= ZYDIS_REGISTER_XMM0 &&
           operand->reg.value <= ZYDIS_REGISTER_XMM15;
}

static bool store_xmm(struct mmio_emulator *emulator, unsigned index, uint64_t linear, unsigned size,
                      bool *supported)
{
    uint8_t value[16];

    *supported = emulator->get_xmm(emulator->context, index, value);
    return *supported && memory_access_write(emulator->memory, linear, value, size);
}

static bool load_xmm(struct mmio_emulator *emulator, unsigned index, uint64_t linear, unsigned size,
                     bool *supported)
{
    uint8_t value[16] = {0};

    if (!memory_access_read(emulator->memory, linear, value, size, MEMORY_READ))
        return false;
    *supported = emulator->set_xmm(emulator->context, index, value);
    return *supported;
}

/* Moves between memory and an XMM register. An AVX load would clear bits above 128 that are out of reach
 * here. */
static enum emulator_result move_xmm(struct mmio_emulator *emulator, bool aligned)
{
    bool store = emulator->instruction->operands[0].type == ZYDIS_OPERAND_TYPE_MEMORY;
    const ZydisDecodedOperand *memory = &emulator->instruction->operands[store ? 0 : 1];
    const ZydisDecodedOperand *xmm = &emulator->instruction->operands[store ? 1 : 0];
    ZydisInstructionEncoding encoding = emulator->instruction->decoded.encoding;
    unsigned index = (unsigned)xmm->reg.value - ZYDIS_REGISTER_XMM0;
    bool supported = true;
    uint64_t linear;
    bool ok;

    if (!is_xmm(xmm) || (encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY &&
                         !(store && encoding == ZYDIS_INSTRUCTION_ENCODING_VEX)))
        return EMULATOR_UNSUPPORTED;
    if (!operand_address(emulator, memory, 0, store, &linear))
        return EMULATOR_EXCEPTION;
    if (aligned && (linear & 15)) {
        emulator->memory->exception =
            (struct exception){.vector = EXCEPTION_GENERAL_PROTECTION, .has_error_code = true};
        return EMULATOR_EXCEPTION;
    }
    ok = store ? store_xmm(emulator, index, linear, operand_size(memory), &supported)
               : load_xmm(emulator, index, linear, operand_size(memory), &supported);
    return supported ? done_or_exception(ok) : EMULATOR_UNSUPPORTED;
}

static enum emulator_result emulate_move_xmm(struct mmio_emulator *emulator)
{
    return move_xmm(emulator, false);
}

static enum emulator_result emulate_move_xmm_aligned(struct mmio_emulator *emulator)
{
    return move_xmm(emulator, true);
}

#define M(name)           ZYDIS_MNEMONIC_##name
#define MAXIMUM_MNEMONICS 20

/* What is emulated, and by what; the mnemonics of a row end with 0. */
static const struct {
    emulate_function *emulate;
    uint16_t mnemonics[MAXIMUM_MNEMONICS + 1];
} emulated[] = {
    {emulate_move,             {M(MOV), M(MOVZX), M(MOVNTI)}                                             },
    {emulate_move_signed,      {M(MOVSX), M(MOVSXD)}                                                     },
    {emulate_move_swapped,     {M(MOVBE)}                                                                },
    {emulate_binary,           {M(ADD), M(ADC), M(SUB), M(SBB), M(AND), M(OR), M(XOR)}                   },
    {emulate_compare,          {M(CMP), M(TEST)}                                                         },
    {emulate_unary,            {M(INC), M(DEC), M(NEG), M(NOT)}                                          },
    {emulate_exchange,         {M(XCHG)}                                                                 },
    {emulate_exchange_add,     {M(XADD)}                                                                 },
    {emulate_compare_exchange, {M(CMPXCHG)}                                                              },
    {emulate_bit_test,         {M(BT), M(BTS), M(BTR), M(BTC)}                                           },
    {emulate_push,             {M(PUSH)}                                                                 },
    {emulate_pop,              {M(POP)}                                                                  },
    {emulate_string,
     {M(MOVSB), M(MOVSW), M(MOVSD), M(MOVSQ), M(STOSB), M(STOSW), M(STOSD), M(STOSQ), M(LODSB), M(LODSW),
      M(LODSD), M(LODSQ), M(CMPSB), M(CMPSW), M(CMPSD), M(CMPSQ), M(SCASB), M(SCASW), M(SCASD), M(SCASQ)}},
    {emulate_move_if,
     {M(CMOVO), M(CMOVNO), M(CMOVB), M(CMOVNB), M(CMOVZ), M(CMOVNZ), M(CMOVBE), M(CMOVNBE), M(CMOVS),
      M(CMOVNS), M(CMOVP), M(CMOVNP), M(CMOVL), M(CMOVNL), M(CMOVLE), M(CMOVNLE)}                        },
    {emulate_set_if,
     {M(SETO), M(SETNO), M(SETB), M(SETNB), M(SETZ), M(SETNZ), M(SETBE), M(SETNBE), M(SETS), M(SETNS),
      M(SETP), M(SETNP), M(SETL), M(SETNL), M(SETLE), M(SETNLE)}                                         },
    {emulate_nothing,
     {M(CLFLUSH), M(CLFLUSHOPT), M(CLWB), M(PREFETCHNTA), M(PREFETCHT0), M(PREFETCHT1), M(PREFETCHT2),
      M(PREFETCHW)}                                                                                      },
    {emulate_move_xmm,
     {M(MOVDQU), M(MOVUPS), M(MOVUPD), M(LDDQU), M(MOVQ), M(MOVD), M(VMOVDQU), M(VMOVUPS), M(VMOVUPD),
      M(VMOVQ), M(VMOVD)}                                                                                },
    {emulate_move_xmm_aligned,
     {M(MOVDQA), M(MOVAPS), M(MOVAPD), M(MOVNTDQ), M(MOVNTPS), M(MOVNTPD), M(MOVNTDQA), M(VMOVDQA),
      M(VMOVAPS), M(VMOVAPD), M(VMOVNTDQ), M(VMOVNTPS), M(VMOVNTPD)}                                     },
};

#undef M

static emulate_function *find_handler(ZydisMnemonic mnemonic)
{
    for (unsigned i = 0; i < sizeof emulated / sizeof emulated[0]; i++)
        for (unsigned j = 0; emulated[i].mnemonics[j]; j++)
            if (emulated[i].mnemonics[j] == mnemonic)
                return emulated[i].emulate;
    return NULL;
}

static unsigned stack_width(const struct hv_vp_register_page *registers, unsigned code_width)
{
    if (code_width == 64)
        return 64;
    return registers->segment[SEGMENT_SS].attributes & HV_SEGMENT_DB ? 32 : 16;
}

/* Decodes emulator->bytes into a place for kept instructions. */
static ZyanStatus decode(const struct mmio_emulator *emulator, struct mmio_instruction *instruction,
                         unsigned code_width)
{
    unsigned stack = stack_width(emulator->registers, code_width);
    unsigned memory_operands = 0;
    ZydisDecoder decoder;
    ZyanStatus status;

    ZydisDecoderInit(&decoder,
                     code_width == 64   ? ZYDIS_MACHINE_MODE_LONG_64
                     : code_width == 32 ? ZYDIS_MACHINE_MODE_LEGACY_32
                                        : ZYDIS_MACHINE_MODE_LEGACY_16,
                     stack == 64   ? ZYDIS_STACK_WIDTH_64
                     : stack == 32 ? ZYDIS_STACK_WIDTH_32
                                   : ZYDIS_STACK_WIDTH_16);
    instruction->code_width = 0;
    status = ZydisDecoderDecodeFull(&decoder, emulator->bytes, emulator->byte_count, &instruction->decoded,
                                    instruction->operands);
    if (!ZYAN_SUCCESS(status))
        return status;
    for (unsigned i = 0; i < instruction->decoded.operand_count; i++)
        memory_operands += instruction->operands[i].type == ZYDIS_OPERAND_TYPE_MEMORY;
    memcpy(instruction->bytes, emulator->bytes, instruction->decoded.length);
    instruction->one_memory_operand = memory_operands == 1;
    instruction->emulate = memory_operands ? find_handler(instruction->decoded.mnemonic) : NULL;
    instruction->code_width = (uint8_t)code_width;
    instruction->stack_width = (uint8_t)stack;
    return status;
}

/* Reads instruction bytes from the guest's memory, as far as the instruction can extend. */
static bool fetch(struct mmio_emulator *emulator)
{
    const struct hv_vp_register_page *registers = emulator->registers;
    struct memory_location location;
    uint64_t linear;

    while (emulator->byte_count < INSTRUCTION_MAXIMUM_LENGTH) {
        if (!linear_address(registers, SEGMENT_CS, registers->rip + emulator->byte_count, 1, false, &linear,
                            &emulator->memory->exception) ||
            !memory_access_locate(emulator->memory, linear, MEMORY_EXECUTE, &location))
            return false;
        if (!location.host)
            return true;
        do {
            emulator->bytes[emulator->byte_count++] = *location.host++;
            linear++;
        } while (emulator->byte_count < INSTRUCTION_MAXIMUM_LENGTH && (linear & (HV_PAGE_SIZE - 1)));
    }
    return true;
}

/* Is this the instruction whose bytes are at hand? Bytes behind an instruction change nothing in it. */
static bool is_kept(const struct mmio_emulator *emulator, const struct mmio_instruction *instruction,
                    unsigned code_width)
{
    return instruction->code_width == code_width &&
           instruction->stack_width == stack_width(emulator->registers, code_width) &&
           instruction->decoded.length <= emulator->byte_count &&
           memcmp(instruction->bytes, emulator->bytes, instruction->decoded.length) == 0;
}

/*
 * Sets emulator->instruction, NULL if the bytes are no instruction; those that came with the message usually
 * suffice. False: exception.
 */
static bool find_instruction(struct mmio_emulator *emulator)
{
    uint64_t rip = emulator->registers->rip;
    struct mmio_instruction *instruction = &emulator->kept[(rip ^ rip >> 4) % MMIO_INSTRUCTIONS];
    unsigned code_width = processor_code_width(emulator->registers);
    ZyanStatus status;

    emulator->instruction = instruction;
    if (is_kept(emulator, instruction, code_width))
        return true;
    status = decode(emulator, instruction, code_width);
    if (status == ZYDIS_STATUS_NO_MORE_DATA) {
        if (!fetch(emulator))
            return false;
        status = decode(emulator, instruction, code_width);
    }
    if (!ZYAN_SUCCESS(status))
        emulator->instruction = NULL;
    return true;
}

static void begin(struct mmio_emulator *emulator, struct hv_vp_register_page *registers,
                  const struct hv_x64_memory_intercept_message *message)
{
    unsigned count = message->instruction_byte_count;

    emulator->registers = registers;
    emulator->message = message;
    emulator->byte_count = count < INSTRUCTION_MAXIMUM_LENGTH ? count : INSTRUCTION_MAXIMUM_LENGTH;
    memcpy(emulator->bytes, message->instruction_bytes, sizeof emulator->bytes);
    memory_access_begin(emulator->memory, registers);
    if (message->memory_access_info & HV_MEMORY_ACCESS_GVA_GPA_VALID)
        memory_access_know(emulator->memory, message->guest_virtual_address, message->guest_physical_address,
                           message->header.intercept_access_type == HV_INTERCEPT_ACCESS_WRITE);
}

enum emulator_result mmio_emulator_run(struct mmio_emulator *emulator, struct hv_vp_register_page *registers,
                                       const struct hv_x64_memory_intercept_message *message)
{
    enum emulator_result result;

    begin(emulator, registers, message);
    if (!find_instruction(emulator))
        return EMULATOR_EXCEPTION;
    if (!emulator->instruction || !emulator->instruction->emulate)
        return EMULATOR_UNSUPPORTED;
    result = emulator->instruction->emulate(emulator);
    if (result == EMULATOR_DONE) {
        registers->rip += emulator->instruction->decoded.length;
        if (emulator->instruction->code_width != 64)
            registers->rip &= 0xFFFFFFFF;
        registers->dirty |= HV_REGISTER_PAGE_DIRTY_IP;
    }
    registers->dirty |= HV_REGISTER_PAGE_DIRTY_GP | HV_REGISTER_PAGE_DIRTY_FLAGS;
    return result;
}
