/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/worker/processor_mode.h"

/* Segment types (APM vol. 2, 4.7): bit 3 code; data: bit 2 expand-down, bit 1 writable; code: bit 1 readable.
 */
#define SEGMENT_TYPE_CODE        0x8u
#define SEGMENT_TYPE_EXPAND_DOWN 0x4u
#define SEGMENT_TYPE_READ_WRITE  0x2u

unsigned processor_code_width(const struct hv_vp_register_page *registers)
{
    uint16_t attributes = registers->segment[SEGMENT_CS].attributes;

    if ((registers->efer & EFER_LMA) && (attributes & HV_SEGMENT_L))
        return 64;
    return attributes & HV_SEGMENT_DB ? 32 : 16;
}

static bool protected_mode(const struct hv_vp_register_page *registers)
{
    return (registers->cr0 & CR0_PE) && !(registers->rflags & RFLAGS_VM);
}

unsigned processor_privilege(const struct hv_vp_register_page *registers)
{
    if (!(registers->cr0 & CR0_PE))
        return 0;
    if (registers->rflags & RFLAGS_VM)
        return 3;
    return (registers->segment[SEGMENT_SS].attributes >> HV_SEGMENT_DPL_SHIFT) & 3;
}

static bool segment_permits(const struct hv_x64_segment_register *segment, bool write)
{
    unsigned type = segment->attributes & HV_SEGMENT_TYPE_MASK;

    if (!(segment->attributes & HV_SEGMENT_P))
        return false;
    if (type & SEGMENT_TYPE_CODE)
        return !write && (type & SEGMENT_TYPE_READ_WRITE);
    return !write || (type & SEGMENT_TYPE_READ_WRITE);
}

static bool within_limit(const struct hv_x64_segment_register *segment, uint64_t offset, unsigned size)
{
    unsigned type = segment->attributes & HV_SEGMENT_TYPE_MASK;
    uint64_t last = offset + size - 1;

    if ((type & SEGMENT_TYPE_CODE) || !(type & SEGMENT_TYPE_EXPAND_DOWN))
        return last <= segment->limit;
    return offset > segment->limit &&
           last <= (segment->attributes & HV_SEGMENT_DB ? 0xFFFFFFFFull : 0xFFFFull);
}

static bool canonical(const struct hv_vp_register_page *registers, uint64_t address)
{
    unsigned unused = registers->cr4 & CR4_LA57 ? 64 - 57 : 64 - 48;

    return (uint64_t)((int64_t)(address << unused) >> unused) == address;
}

bool linear_address(const struct hv_vp_register_page *registers, enum segment_register name, uint64_t offset,
                    unsigned size, bool write, uint64_t *linear, struct exception *exception)
{
    const struct hv_x64_segment_register *segment = &registers->segment[name];
    bool allowed;

    if (processor_code_width(registers) == 64) {
        *linear = offset + (name == SEGMENT_FS || name == SEGMENT_GS ? segment->base : 0);
        allowed = canonical(registers, *linear) && canonical(registers, *linear + size - 1);
    } else {
        offset &= 0xFFFFFFFF;
        *linear = (segment->base + offset) & 0xFFFFFFFF;
        allowed = within_limit(segment, offset, size) &&
                  (!protected_mode(registers) || segment_permits(segment, write));
    }
    if (!allowed)
        *exception = (struct exception){
            .vector = name == SEGMENT_SS ? EXCEPTION_STACK : EXCEPTION_GENERAL_PROTECTION,
            .has_error_code = true,
        };
    return allowed;
}
