/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Task-state segments (SDM vol. 3A, figures 8-2 and 8-10): the 104 bytes of the 386 and the 44 of the 286, which say
 * the same in fields of 4 and of 2 bytes.
 */
#ifndef WORKER_TASK_STATE_H
#define WORKER_TASK_STATE_H

#include <stdbool.h>
#include <stdint.h>
#include "hv/registers.h"

#define TASK_STATE_MAXIMUM 104u /* bytes of a TSS that matter here */
#define TASK_GP_REGISTERS  8u
#define TASK_SEGMENTS      6u

struct task_format {
    uint32_t size;
    uint32_t width;    /* of a field, bytes */
    uint32_t first;    /* offset of what a switch saves: EIP, EFLAGS, general registers, segments; then LDTR */
    uint32_t segments; /* how many */
};

/* By the type of a TSS's descriptor. */
const struct task_format *task_format(unsigned type);

/* How many bytes from format->first on a switch saves. */
uint32_t task_saved_size(const struct task_format *format);
/* Those bytes, of a task that goes on at `ip` with these `flags`. */
void task_save(const struct task_format *format, const struct hv_vp_register_page *registers, uint32_t ip,
               uint32_t flags, uint8_t *saved);

/* What a task begins with. The 286's TSS has no FS, GS, CR3 and T: they are 0. */
struct task_state {
    uint32_t cr3, ip, flags;
    uint32_t gp_registers[TASK_GP_REGISTERS];
    uint16_t segments[TASK_SEGMENTS];
    uint16_t ldt;
    bool debug_trap; /* T */
};
void task_load(const struct task_format *format, const uint8_t image[TASK_STATE_MAXIMUM], struct task_state *state);

#endif
