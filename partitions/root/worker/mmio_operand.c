/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/worker/mmio_operand.h"

uint64_t gp_read(const struct hv_vp_register_page *registers, enum gp_register number, unsigned size)
{
    return registers->gp_registers[number] & width_mask(8 * size);
}

void gp_write(struct hv_vp_register_page *registers, enum gp_register number, unsigned size, uint64_t value)
{
    uint64_t mask = width_mask(8 * size);
    uint64_t kept = size >= 4 ? 0 : registers->gp_registers[number] & ~mask;

    registers->gp_registers[number] = kept | (value & mask);
}

/* The banks of general registers in Zydis's numbering; each is in the order of the register page. */
static const struct register_bank {
    ZydisRegister first;
    ZydisRegister last;
    uint8_t size;
    uint8_t number; /* of `first` */
    uint8_t shift;  /* 8 for AH to BH */
} banks[] = {
    {ZYDIS_REGISTER_RAX, ZYDIS_REGISTER_R15,  8, GP_RAX, 0},
    {ZYDIS_REGISTER_EAX, ZYDIS_REGISTER_R15D, 4, GP_RAX, 0},
    {ZYDIS_REGISTER_AX,  ZYDIS_REGISTER_R15W, 2, GP_RAX, 0},
    {ZYDIS_REGISTER_AL,  ZYDIS_REGISTER_BL,   1, GP_RAX, 0},
    {ZYDIS_REGISTER_AH,  ZYDIS_REGISTER_BH,   1, GP_RAX, 8},
    {ZYDIS_REGISTER_SPL, ZYDIS_REGISTER_R15B, 1, GP_RSP, 0},
};

static const struct register_bank *find_bank(ZydisRegister name)
{
    for (unsigned i = 0; i < sizeof banks / sizeof banks[0]; i++)
        if (name >= banks[i].first && name <= banks[i].last)
            return &banks[i];
    return NULL;
}

bool register_is_general(ZydisRegister name)
{
    return find_bank(name) != NULL;
}

uint64_t register_read(const struct hv_vp_register_page *registers, ZydisRegister name)
{
    const struct register_bank *bank = find_bank(name);
    unsigned number = bank->number + (name - bank->first);

    return (registers->gp_registers[number] >> bank->shift) & width_mask(8 * bank->size);
}

void register_write(struct hv_vp_register_page *registers, ZydisRegister name, uint64_t value)
{
    const struct register_bank *bank = find_bank(name);
    unsigned number = bank->number + (name - bank->first);

    if (bank->shift)
        registers->gp_registers[number] = (registers->gp_registers[number] & ~0xFF00ull) | (value & 0xFF)
                                                                                               << 8;
    else
        gp_write(registers, number, bank->size, value);
}

static uint64_t address_register(const struct mmio_emulator *emulator, ZydisRegister name)
{
    if (name == ZYDIS_REGISTER_NONE)
        return 0;
    if (name == ZYDIS_REGISTER_RIP || name == ZYDIS_REGISTER_EIP)
        return emulator->registers->rip + emulator->instruction->decoded.length;
    return register_read(emulator->registers, name);
}

/*
 * Nested paging reports only the guest physical address. An instruction with one memory operand was stopped
 * for that operand: if the offsets within the page agree, its translation is known without walking the
 * guest's tables.
 */
static void place_intercept(struct mmio_emulator *emulator, uint64_t linear)
{
    const struct hv_x64_memory_intercept_message *message = emulator->message;

    if (!(message->memory_access_info & HV_MEMORY_ACCESS_GVA_GPA_VALID) &&
        ((linear ^ message->guest_physical_address) & (HV_PAGE_SIZE - 1)) == 0)
        memory_access_know(emulator->memory, linear, message->guest_physical_address,
                           message->header.intercept_access_type == HV_INTERCEPT_ACCESS_WRITE);
}

bool operand_address(struct mmio_emulator *emulator, const ZydisDecodedOperand *operand,
                     uint64_t displacement, bool write, uint64_t *linear)
{
    const ZydisDecodedOperandMem *memory = &operand->mem;
    uint64_t offset = address_register(emulator, memory->base) +
                      address_register(emulator, memory->index) * memory->scale +
                      (uint64_t)memory->disp.value + displacement;

    offset &= width_mask(emulator->instruction->decoded.address_width);
    if (!linear_address(emulator->registers, (enum segment_register)(memory->segment - ZYDIS_REGISTER_ES),
                        offset, operand_size(operand), write, linear, &emulator->memory->exception))
        return false;
    if (emulator->instruction->one_memory_operand)
        place_intercept(emulator, *linear);
    return true;
}

bool operand_read(struct mmio_emulator *emulator, const ZydisDecodedOperand *operand,
                  enum memory_intent intent, uint64_t *value)
{
    uint64_t linear;

    switch (operand->type) {
    case ZYDIS_OPERAND_TYPE_REGISTER:
        if (register_is_general(operand->reg.value))
            *value = register_read(emulator->registers, operand->reg.value);
        else /* the caller has made sure that it is a segment register */
            *value = emulator->registers->segment[operand->reg.value - ZYDIS_REGISTER_ES].selector;
        return true;
    case ZYDIS_OPERAND_TYPE_IMMEDIATE:
        *value = operand->imm.value.u;
        return true;
    default:
        *value = 0;
        return operand_address(emulator, operand, 0, intent == MEMORY_WRITE, &linear) &&
               memory_access_read(emulator->memory, linear, value, operand_size(operand), intent);
    }
}

bool operand_write(struct mmio_emulator *emulator, const ZydisDecodedOperand *operand, uint64_t value)
{
    uint64_t linear;

    if (operand->type == ZYDIS_OPERAND_TYPE_REGISTER) {
        register_write(emulator->registers, operand->reg.value, value);
        return true;
    }
    return operand_address(emulator, operand, 0, true, &linear) &&
           memory_access_write(emulator->memory, linear, &value, operand_size(operand));
}
