/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Memory types by the memory type range registers (SDM vol. 3A, 12.11). EPT ignores them, so that its entries repeat them. */
#ifndef ARCH_VMX_MTRR_H
#define ARCH_VMX_MTRR_H

#include "hv/types.h"

enum memory_type {
    MEMORY_UNCACHEABLE = 0,
    MEMORY_WRITE_COMBINING = 1,
    MEMORY_WRITE_THROUGH = 4,
    MEMORY_WRITE_PROTECTED = 5,
    MEMORY_WRITE_BACK = 6,
    MEMORY_MIXED = 0xFF, /* of a range */
};

#define MTRR_VARIABLE_MAXIMUM 32u
#define MTRR_FIXED 11u

struct mtrrs {
    uint64_t default_type; /* IA32_MTRR_DEF_TYPE */
    uint64_t fixed[MTRR_FIXED]; /* 64 KiB, 2 of 16 KiB, 8 of 4 KiB */
    unsigned variable_count;
    struct {
        uint64_t base, mask; /* IA32_MTRR_PHYSBASEn, _PHYSMASKn */
    } variable[MTRR_VARIABLE_MAXIMUM];
    unsigned address_bits;
};

/* The registers of this processor. */
void mtrr_read(struct mtrrs *mtrrs, unsigned address_bits);
/* Number n of `fixed`, or -1. */
int mtrr_fixed_index(uint32_t msr);
/* The type of every byte from `spa`, or MEMORY_MIXED. 4 KiB aligned. */
enum memory_type mtrr_type(const struct mtrrs *mtrrs, uint64_t spa, uint64_t size);

#endif
