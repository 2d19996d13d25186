/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Memory types by the memory type range registers (SDM vol. 3A, 12.11). EPT ignores them, so that its entries repeat
 * them. */
#ifndef ARCH_VMX_MTRR_H
#define ARCH_VMX_MTRR_H

#include "arch/x86_64/vendor.h"

#define MTRR_VARIABLE_MAXIMUM 32u
#define MTRR_FIXED            11u
/* 88 pieces of fixed ranges, where each variable range begins and ends (by a mask of leading ones), and the rest. */
#define MTRR_RANGES (88u + 2 * MTRR_VARIABLE_MAXIMUM + 2)

/* The registers of a processor. */
struct mtrrs {
    uint64_t default_type;      /* IA32_MTRR_DEF_TYPE */
    uint64_t fixed[MTRR_FIXED]; /* 64 KiB, 2 of 16 KiB, 8 of 4 KiB */
    unsigned variable_count;
    struct {
        uint64_t base, mask; /* IA32_MTRR_PHYSBASEn, _PHYSMASKn */
    } variable[MTRR_VARIABLE_MAXIMUM];
    unsigned address_bits;
};

/* What they say: ranges from 0 on, each of another type than the one before. The last ends at ~0. */
struct mtrr_types {
    unsigned count;
    struct {
        uint64_t end;
        enum memory_type type;
    } ranges[MTRR_RANGES];
};

/* The registers of this processor. */
void mtrr_read(struct mtrrs *mtrrs, unsigned address_bits);
bool mtrr_enabled(const struct mtrrs *mtrrs);
/* Masks with holes may make more ranges than there is room for: then all memory behind is uncacheable. */
void mtrr_evaluate(const struct mtrrs *mtrrs, struct mtrr_types *types);
/* The type of every byte from `spa`, or MEMORY_MIXED. 4 KiB aligned. */
enum memory_type mtrr_type(const struct mtrr_types *types, uint64_t spa, uint64_t size);
/* True: they differ, and only from *first on and before *end. */
bool mtrr_difference(const struct mtrr_types *one, const struct mtrr_types *other, uint64_t *first, uint64_t *end);

#endif
