/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/worker/task_segment.h"

#define DESCRIPTOR_SIZE       8u
#define DESCRIPTOR_ATTRIBUTES 5u /* the byte that task_descriptor_write_attributes writes */
#define ATTRIBUTES            0xF0FFu

/* Types of code and data (SDM vol. 3A, table 3-1). */
#define TYPE_ACCESSED   0x1u
#define TYPE_READ_WRITE 0x2u
#define TYPE_CONFORMING 0x4u
#define TYPE_CODE       0x8u

#define VIRTUAL_LIMIT      0xFFFFu
#define VIRTUAL_ATTRIBUTES (HV_SEGMENT_P | 3u << HV_SEGMENT_DPL_SHIFT | HV_SEGMENT_S | TYPE_READ_WRITE | TYPE_ACCESSED)

bool task_raise(struct task_tables *tables, enum exception_vector vector, uint16_t selector)
{
    tables->exception = (struct exception){
        .vector = vector,
        .has_error_code = true,
        .error_code = (selector & SELECTOR_ERROR_CODE) | tables->external,
    };
    return false;
}

bool task_raise_memory_exception(struct task_tables *tables)
{
    tables->exception = tables->memory->exception;
    return false;
}

static struct hv_x64_segment_register unpack(const uint32_t words[2], uint16_t selector)
{
    struct hv_x64_segment_register segment = {
        .base = words[0] >> 16 | (words[1] & 0xFF) << 16 | (words[1] & 0xFF000000),
        .limit = (words[0] & 0xFFFF) | (words[1] & 0xF0000),
        .selector = selector,
        .attributes = words[1] >> 8 & ATTRIBUTES,
    };

    if (segment.attributes & HV_SEGMENT_G)
        segment.limit = segment.limit << 12 | 0xFFF;
    return segment;
}

bool task_descriptor_find(struct task_tables *tables, uint16_t selector, enum exception_vector outside,
                          struct task_descriptor *descriptor)
{
    const struct hv_x64_segment_register *table = selector & SELECTOR_TI ? &tables->ldt : &tables->gdt;
    uint32_t offset = selector & SELECTOR_INDEX, words[2];

    if ((selector & SELECTOR_TI) ? !(table->attributes & HV_SEGMENT_P) : offset == 0)
        return task_raise(tables, outside, selector);
    if (offset + DESCRIPTOR_SIZE - 1 > table->limit)
        return task_raise(tables, outside, selector);
    descriptor->linear = table->base + offset;
    if (!memory_access_read(tables->memory, descriptor->linear, words, sizeof words, MEMORY_READ))
        return task_raise_memory_exception(tables);
    descriptor->segment = unpack(words, selector);
    return true;
}

bool task_descriptor_write_attributes(struct task_tables *tables, uint64_t linear, uint8_t attributes)
{
    return memory_access_write(tables->memory, linear + DESCRIPTOR_ATTRIBUTES, &attributes, sizeof attributes) ||
           task_raise_memory_exception(tables);
}

unsigned task_segment_type(const struct hv_x64_segment_register *segment)
{
    return segment->attributes & HV_SEGMENT_TYPE_MASK;
}

static unsigned descriptor_privilege(const struct hv_x64_segment_register *segment)
{
    return segment->attributes >> HV_SEGMENT_DPL_SHIFT & 3;
}

bool task_load_ldt(struct task_tables *tables, uint16_t selector)
{
    struct task_descriptor descriptor;

    tables->ldt = (struct hv_x64_segment_register){.selector = selector};
    if (!(selector & SELECTOR_ERROR_CODE))
        return true;
    if (selector & SELECTOR_TI)
        return task_raise(tables, EXCEPTION_INVALID_TSS, selector);
    if (!task_descriptor_find(tables, selector, EXCEPTION_INVALID_TSS, &descriptor))
        return false;
    if ((descriptor.segment.attributes & HV_SEGMENT_S) || task_segment_type(&descriptor.segment) != SEGMENT_TYPE_LDT)
        return task_raise(tables, EXCEPTION_INVALID_TSS, selector);
    if (!(descriptor.segment.attributes & HV_SEGMENT_P))
        return task_raise(tables, EXCEPTION_INVALID_TSS, selector);
    tables->ldt = descriptor.segment;
    return true;
}

/* What a segment register's descriptor raises; 0: it can be loaded. In the order of table 8-1. */
static unsigned check_code(const struct hv_x64_segment_register *segment, unsigned privilege)
{
    unsigned type = task_segment_type(segment), owner = descriptor_privilege(segment);

    if (!(segment->attributes & HV_SEGMENT_S) || !(type & TYPE_CODE))
        return EXCEPTION_INVALID_TSS;
    if (type & TYPE_CONFORMING ? owner > privilege : owner != privilege)
        return EXCEPTION_INVALID_TSS;
    return segment->attributes & HV_SEGMENT_P ? 0 : EXCEPTION_SEGMENT_NOT_PRESENT;
}

static unsigned check_stack(const struct hv_x64_segment_register *segment, unsigned privilege)
{
    unsigned type = task_segment_type(segment);

    if (!(segment->attributes & HV_SEGMENT_S) || (type & TYPE_CODE) || !(type & TYPE_READ_WRITE))
        return EXCEPTION_INVALID_TSS;
    if (!(segment->attributes & HV_SEGMENT_P))
        return EXCEPTION_STACK;
    if (descriptor_privilege(segment) != privilege || (segment->selector & SELECTOR_RPL) != privilege)
        return EXCEPTION_INVALID_TSS;
    return 0;
}

static unsigned check_data(const struct hv_x64_segment_register *segment, unsigned privilege)
{
    unsigned type = task_segment_type(segment), owner = descriptor_privilege(segment);
    bool conforming = (type & TYPE_CODE) && (type & TYPE_CONFORMING);

    if (!(segment->attributes & HV_SEGMENT_S) || ((type & TYPE_CODE) && !(type & TYPE_READ_WRITE)))
        return EXCEPTION_INVALID_TSS;
    if (!(segment->attributes & HV_SEGMENT_P))
        return EXCEPTION_SEGMENT_NOT_PRESENT;
    if (!conforming && (owner < privilege || owner < (segment->selector & SELECTOR_RPL)))
        return EXCEPTION_INVALID_TSS;
    return 0;
}

static unsigned check(const struct hv_x64_segment_register *segment, enum segment_register name, unsigned privilege)
{
    if (name == SEGMENT_CS)
        return check_code(segment, privilege);
    return name == SEGMENT_SS ? check_stack(segment, privilege) : check_data(segment, privilege);
}

bool task_load_segment(struct task_tables *tables, enum segment_register name, uint16_t selector, unsigned privilege,
                       struct hv_x64_segment_register *segment)
{
    struct task_descriptor descriptor;
    unsigned vector;

    if (!(selector & SELECTOR_ERROR_CODE) && name != SEGMENT_CS && name != SEGMENT_SS) {
        *segment = task_unloaded_segment(name, selector, privilege);
        return true;
    }
    if (!task_descriptor_find(tables, selector, EXCEPTION_INVALID_TSS, &descriptor))
        return false;
    vector = check(&descriptor.segment, name, privilege);
    if (vector)
        return task_raise(tables, vector, selector);
    if (!(descriptor.segment.attributes & TYPE_ACCESSED)) {
        descriptor.segment.attributes |= TYPE_ACCESSED;
        if (!task_descriptor_write_attributes(tables, descriptor.linear, (uint8_t)descriptor.segment.attributes))
            return false;
    }
    *segment = descriptor.segment;
    return true;
}

struct hv_x64_segment_register task_unloaded_segment(enum segment_register name, uint16_t selector, unsigned privilege)
{
    struct hv_x64_segment_register segment = {.selector = selector};

    if (name == SEGMENT_SS || name == SEGMENT_CS)
        segment.attributes = (uint16_t)(privilege << HV_SEGMENT_DPL_SHIFT);
    if (name == SEGMENT_CS)
        segment.attributes |= HV_SEGMENT_P | HV_SEGMENT_S | TYPE_CODE | TYPE_READ_WRITE | TYPE_ACCESSED;
    return segment;
}

struct hv_x64_segment_register task_virtual_segment(uint16_t selector)
{
    return (struct hv_x64_segment_register){.base = (uint64_t)selector << 4,
                                            .limit = VIRTUAL_LIMIT,
                                            .selector = selector,
                                            .attributes = VIRTUAL_ATTRIBUTES};
}
