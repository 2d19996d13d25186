/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What mode a virtual processor is in and how its segments turn an offset into a linear address, read from
 * the register page of a stopped VP.
 */
#ifndef WORKER_PROCESSOR_MODE_H
#define WORKER_PROCESSOR_MODE_H

#include <stdbool.h>
#include <stdint.h>
#include "hv/registers.h"
#include "partitions/root/worker/exception.h"

#define CR0_PE    0x00000001ull
#define CR0_TS    0x00000008ull
#define CR0_PG    0x80000000ull
#define CR4_PAE   0x00000020ull
#define CR4_LA57  0x00001000ull
#define CR4_SMAP  0x00200000ull
#define EFER_LMA  0x00000400ull
#define RFLAGS_CF 0x00000001ull
#define RFLAGS_PF 0x00000004ull
#define RFLAGS_AF 0x00000010ull
#define RFLAGS_ZF 0x00000040ull
#define RFLAGS_SF 0x00000080ull
#define RFLAGS_TF 0x00000100ull
#define RFLAGS_IF 0x00000200ull
#define RFLAGS_DF 0x00000400ull
#define RFLAGS_OF 0x00000800ull
#define RFLAGS_NT 0x00004000ull
#define RFLAGS_RF 0x00010000ull
#define RFLAGS_VM 0x00020000ull
#define RFLAGS_AC 0x00040000ull

/* Order of hv_vp_register_page.gp_registers and .segment. */
enum gp_register { GP_RAX, GP_RCX, GP_RDX, GP_RBX, GP_RSP, GP_RBP, GP_RSI, GP_RDI };
enum segment_register { SEGMENT_ES, SEGMENT_CS, SEGMENT_SS, SEGMENT_DS, SEGMENT_FS, SEGMENT_GS };

/* Width of code in bits: 16, 32 or 64. */
unsigned processor_code_width(const struct hv_vp_register_page *registers);

/* Current privilege level, 0 to 3. */
unsigned processor_privilege(const struct hv_vp_register_page *registers);

/* Bits of an address or counter of `width` bits (16, 32 or 64). */
static inline uint64_t width_mask(unsigned width)
{
    return UINT64_MAX >> (64 - width);
}

/*
 * The linear address of `size` bytes at `offset` in segment register `name`, checked as the processor checks
 * an access: presence, type, limit, canonical form. False: *exception says what the processor would raise.
 */
bool linear_address(const struct hv_vp_register_page *registers, enum segment_register name, uint64_t offset,
                    unsigned size, bool write, uint64_t *linear, struct exception *exception);

#endif
