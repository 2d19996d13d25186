/* SPDX-License-Identifier: GPL-2.0-or-later */
/* String instructions of the MMIO emulator, with their repeat prefixes (APM vol. 3, 1.2.6). */
#include "partitions/root/worker/arithmetic.h"
#include "partitions/root/worker/mmio_operand.h"

enum string_operation { STRING_MOVS, STRING_STOS, STRING_LODS, STRING_CMPS, STRING_SCAS };

/* What kind a mnemonic is and how wide its items are. */
static const struct string_form {
    ZydisMnemonic mnemonic;
    enum string_operation operation;
    unsigned size;
} forms[] = {
    {ZYDIS_MNEMONIC_MOVSB, STRING_MOVS, 1},
    {ZYDIS_MNEMONIC_MOVSW, STRING_MOVS, 2},
    {ZYDIS_MNEMONIC_MOVSD, STRING_MOVS, 4},
    {ZYDIS_MNEMONIC_MOVSQ, STRING_MOVS, 8},
    {ZYDIS_MNEMONIC_STOSB, STRING_STOS, 1},
    {ZYDIS_MNEMONIC_STOSW, STRING_STOS, 2},
    {ZYDIS_MNEMONIC_STOSD, STRING_STOS, 4},
    {ZYDIS_MNEMONIC_STOSQ, STRING_STOS, 8},
    {ZYDIS_MNEMONIC_LODSB, STRING_LODS, 1},
    {ZYDIS_MNEMONIC_LODSW, STRING_LODS, 2},
    {ZYDIS_MNEMONIC_LODSD, STRING_LODS, 4},
    {ZYDIS_MNEMONIC_LODSQ, STRING_LODS, 8},
    {ZYDIS_MNEMONIC_CMPSB, STRING_CMPS, 1},
    {ZYDIS_MNEMONIC_CMPSW, STRING_CMPS, 2},
    {ZYDIS_MNEMONIC_CMPSD, STRING_CMPS, 4},
    {ZYDIS_MNEMONIC_CMPSQ, STRING_CMPS, 8},
    {ZYDIS_MNEMONIC_SCASB, STRING_SCAS, 1},
    {ZYDIS_MNEMONIC_SCASW, STRING_SCAS, 2},
    {ZYDIS_MNEMONIC_SCASD, STRING_SCAS, 4},
    {ZYDIS_MNEMONIC_SCASQ, STRING_SCAS, 8},
};

struct string_instruction {
    struct mmio_emulator *emulator;
    enum string_operation operation;
    unsigned size;
    unsigned address_size;
    enum segment_register source_segment;
    bool repeated;
};

static bool find_form(struct string_instruction *string)
{
    for (unsigned i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        if (forms[i].mnemonic == string->emulator->instruction->decoded.mnemonic) {
            string->operation = forms[i].operation;
            string->size = forms[i].size;
            return true;
        }
    }
    return false;
}

static bool uses_source(enum string_operation operation)
{
    return operation == STRING_MOVS || operation == STRING_LODS || operation == STRING_CMPS;
}

static bool uses_destination(enum string_operation operation)
{
    return operation != STRING_LODS;
}

static bool compares(enum string_operation operation)
{
    return operation == STRING_CMPS || operation == STRING_SCAS;
}

/* SSE2's MOVSD and CMPSD bear the same mnemonics; theirs have an XMM operand. */
static bool is_string(const struct string_instruction *string)
{
    const ZydisDecodedOperand *operands = string->emulator->instruction->operands;

    for (unsigned i = 0; i < string->emulator->instruction->decoded.operand_count; i++)
        if (operands[i].type == ZYDIS_OPERAND_TYPE_REGISTER && operands[i].reg.value >= ZYDIS_REGISTER_XMM0 &&
            operands[i].reg.value <= ZYDIS_REGISTER_XMM31)
            return false;
    return true;
}

/* The segment of the source, DS unless overridden; the destination's is always ES. */
static enum segment_register source_segment(const struct mmio_emulator *emulator)
{
    static const struct {
        ZydisInstructionAttributes attribute;
        enum segment_register segment;
    } overrides[] = {
        {ZYDIS_ATTRIB_HAS_SEGMENT_ES, SEGMENT_ES},
        {ZYDIS_ATTRIB_HAS_SEGMENT_CS, SEGMENT_CS},
        {ZYDIS_ATTRIB_HAS_SEGMENT_SS, SEGMENT_SS},
        {ZYDIS_ATTRIB_HAS_SEGMENT_FS, SEGMENT_FS},
        {ZYDIS_ATTRIB_HAS_SEGMENT_GS, SEGMENT_GS},
    };

    for (unsigned i = 0; i < sizeof overrides / sizeof overrides[0]; i++)
        if (emulator->instruction->decoded.attributes & overrides[i].attribute)
            return overrides[i].segment;
    return SEGMENT_DS;
}

static bool read_source(const struct string_instruction *string, uint64_t *value)
{
    struct mmio_emulator *emulator = string->emulator;
    uint64_t linear;

    return linear_address(emulator->registers, string->source_segment,
                          gp_read(emulator->registers, GP_RSI, string->address_size), string->size, false,
                          &linear, &emulator->memory->exception) &&
           memory_access_read(emulator->memory, linear, value, string->size, MEMORY_READ);
}

static bool destination_address(const struct string_instruction *string, bool write, uint64_t *linear)
{
    struct mmio_emulator *emulator = string->emulator;

    return linear_address(emulator->registers, SEGMENT_ES,
                          gp_read(emulator->registers, GP_RDI, string->address_size), string->size, write,
                          linear, &emulator->memory->exception);
}

/* One item, registers other than the accumulator and the flags untouched. False: exception. */
static bool do_item(const struct string_instruction *string)
{
    struct mmio_emulator *emulator = string->emulator;
    struct hv_vp_register_page *registers = emulator->registers;
    bool writes = string->operation == STRING_MOVS || string->operation == STRING_STOS;
    uint64_t value = gp_read(registers, GP_RAX, string->size);
    uint64_t other = 0;
    uint64_t linear, rflags;

    if (uses_source(string->operation)) {
        value = 0;
        if (!read_source(string, &value))
            return false;
    }
    if (uses_destination(string->operation) && !destination_address(string, writes, &linear))
        return false;
    if (writes)
        return memory_access_write(emulator->memory, linear, &value, string->size);
    if (compares(string->operation)) {
        if (!memory_access_read(emulator->memory, linear, &other, string->size, MEMORY_READ))
            return false;
        rflags = registers->rflags;
        arithmetic_subtract(value, other, false, string->size, &rflags);
        registers->rflags = rflags;
    } else {
        gp_write(registers, GP_RAX, string->size, value);
    }
    return true;
}

/* Adds to an index or counter register, which wraps at the address size. */
static void advance(const struct string_instruction *string, enum gp_register name, int64_t change)
{
    struct hv_vp_register_page *registers = string->emulator->registers;

    gp_write(registers, name, string->address_size,
             gp_read(registers, name, string->address_size) + (uint64_t)change);
}

static void advance_indexes(const struct string_instruction *string)
{
    int64_t step = string->emulator->registers->rflags & RFLAGS_DF ? -(int64_t)string->size : string->size;

    if (uses_source(string->operation))
        advance(string, GP_RSI, step);
    if (uses_destination(string->operation))
        advance(string, GP_RDI, step);
}

static bool comparison_ends(const struct string_instruction *string)
{
    bool equal = string->emulator->registers->rflags & RFLAGS_ZF;

    return compares(string->operation) &&
           equal == !!(string->emulator->instruction->decoded.attributes & ZYDIS_ATTRIB_HAS_REPNE);
}

static enum emulator_result do_items(const struct string_instruction *string)
{
    const struct hv_vp_register_page *registers = string->emulator->registers;

    for (unsigned items = 0; items < EMULATOR_MAXIMUM_ITEMS; items++) {
        if (string->repeated && gp_read(registers, GP_RCX, string->address_size) == 0)
            return EMULATOR_DONE;
        if (!do_item(string))
            return EMULATOR_EXCEPTION;
        advance_indexes(string);
        if (!string->repeated)
            return EMULATOR_DONE;
        advance(string, GP_RCX, -1);
        if (comparison_ends(string))
            return EMULATOR_DONE;
    }
    return gp_read(registers, GP_RCX, string->address_size) == 0 ? EMULATOR_DONE : EMULATOR_AGAIN;
}

enum emulator_result emulate_string(struct mmio_emulator *emulator)
{
    ZydisInstructionAttributes repeat = ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPE | ZYDIS_ATTRIB_HAS_REPNE;
    struct string_instruction string = {
        .emulator = emulator,
        .address_size = emulator->instruction->decoded.address_width / 8,
        .source_segment = source_segment(emulator),
        .repeated = emulator->instruction->decoded.attributes & repeat,
    };

    if (!find_form(&string) || !is_string(&string))
        return EMULATOR_UNSUPPORTED;
    return do_items(&string);
}
