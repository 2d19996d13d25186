/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Descriptors of the guest's GDT and LDT, and the segment registers that a task switch loads from them (SDM vol.
 * 3A, 3.4 and table 8-1).
 *
 * Functions that return bool fill tables->exception when they return false.
 */
#ifndef WORKER_TASK_SEGMENT_H
#define WORKER_TASK_SEGMENT_H

#include <stdbool.h>
#include <stdint.h>
#include "partitions/root/worker/memory_access.h"
#include "partitions/root/worker/processor_mode.h"

#define SELECTOR_TI         0x4u
#define SELECTOR_RPL        0x3u
#define SELECTOR_INDEX      0xFFF8u /* also the offset of its descriptor */
#define SELECTOR_ERROR_CODE 0xFFFCu
#define ERROR_CODE_EXT      0x1u

/* Types of system segments: with this bit in them those of 386 TSSs are other than those of 286 TSSs. */
#define SEGMENT_TYPE_LDT      0x2u
#define SEGMENT_TYPE_TSS      0x1u
#define SEGMENT_TYPE_TSS_BUSY 0x3u
#define SEGMENT_TYPE_386      0x8u

/* Where descriptors are, and how they are read: begin `memory` as the processor itself, not as the program. */
struct task_tables {
    struct memory_access *memory;
    struct hv_x64_segment_register gdt; /* base and limit only */
    struct hv_x64_segment_register ldt;
    uint32_t external; /* ERROR_CODE_EXT or 0: in error codes of what is raised here */
    struct exception exception;
};

struct task_descriptor {
    uint64_t linear;                        /* of the descriptor itself */
    struct hv_x64_segment_register segment; /* as a segment register has it */
};

/* Fills tables->exception; returns false. `selector` is what the error code names. */
bool task_raise(struct task_tables *tables, enum exception_vector vector, uint16_t selector);
/* Of what went wrong in tables->memory. */
bool task_raise_memory_exception(struct task_tables *tables);

/* `outside`: what a selector raises that names no descriptor of its table. */
bool task_descriptor_find(struct task_tables *tables, uint16_t selector, enum exception_vector outside,
                          struct task_descriptor *descriptor);

/* The type and the other attributes below 100h, in memory: byte 5 of the descriptor. */
bool task_descriptor_write_attributes(struct task_tables *tables, uint64_t linear, uint8_t attributes);

unsigned task_segment_type(const struct hv_x64_segment_register *segment);

/* LDTR: null, or the descriptor of an LDT. */
bool task_load_ldt(struct task_tables *tables, uint16_t selector);
/*
 * CS, SS or a data segment register of a task that runs with `privilege`, and the descriptor's accessed bit. After
 * an exception *segment is as it was.
 */
bool task_load_segment(struct task_tables *tables, enum segment_register name, uint16_t selector, unsigned privilege,
                       struct hv_x64_segment_register *segment);

/* A register that has its selector only. CS, and in SS the privilege, are what a processor can be entered with. */
struct hv_x64_segment_register task_unloaded_segment(enum segment_register name, uint16_t selector, unsigned privilege);
/* In virtual-8086 mode. */
struct hv_x64_segment_register task_virtual_segment(uint16_t selector);

#endif
