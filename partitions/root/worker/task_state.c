/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/worker/task_state.h"

#include <string.h>
#include "partitions/root/worker/task_segment.h"

/* Fields from task_format.first on. */
enum { FIELD_IP, FIELD_FLAGS, FIELD_GP, FIELD_SEGMENTS = FIELD_GP + TASK_GP_REGISTERS };

/* Only the 386's TSS has these. */
#define OFFSET_CR3  28u
#define OFFSET_TRAP 100u

static const struct task_format format_16 = {.size = 44, .width = 2, .first = 14, .segments = 4};
static const struct task_format format_32 = {.size = 104, .width = 4, .first = 32, .segments = 6};

const struct task_format *task_format(unsigned type)
{
    return type & SEGMENT_TYPE_386 ? &format_32 : &format_16;
}

uint32_t task_saved_size(const struct task_format *format)
{
    return (FIELD_SEGMENTS + format->segments) * format->width;
}

static void put(const struct task_format *format, uint8_t *saved, unsigned field, uint32_t value)
{
    memcpy(saved + field * format->width, &value, format->width);
}

void task_save(const struct task_format *format, const struct hv_vp_register_page *registers, uint32_t ip,
               uint32_t flags, uint8_t *saved)
{
    put(format, saved, FIELD_IP, ip);
    put(format, saved, FIELD_FLAGS, flags);
    for (unsigned i = 0; i < TASK_GP_REGISTERS; i++)
        put(format, saved, FIELD_GP + i, (uint32_t)registers->gp_registers[i]);
    for (unsigned i = 0; i < format->segments; i++)
        put(format, saved, FIELD_SEGMENTS + i, registers->segment[i].selector);
}

static uint32_t get(const struct task_format *format, const uint8_t *image, unsigned field)
{
    uint32_t value = 0;

    memcpy(&value, image + format->first + field * format->width, format->width);
    return value;
}

void task_load(const struct task_format *format, const uint8_t image[TASK_STATE_MAXIMUM], struct task_state *state)
{
    *state = (struct task_state){
        .ip = get(format, image, FIELD_IP),
        .flags = get(format, image, FIELD_FLAGS),
        .ldt = (uint16_t)get(format, image, FIELD_SEGMENTS + format->segments),
    };
    for (unsigned i = 0; i < TASK_GP_REGISTERS; i++)
        state->gp_registers[i] = get(format, image, FIELD_GP + i);
    for (unsigned i = 0; i < format->segments; i++)
        state->segments[i] = (uint16_t)get(format, image, FIELD_SEGMENTS + i);
    if (format == &format_32) {
        memcpy(&state->cr3, image + OFFSET_CR3, sizeof state->cr3);
        state->debug_trap = image[OFFSET_TRAP] & 1;
    }
}
