/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Processor features by their TLFS names (HV_PARTITION_PROCESSOR_FEATURES), and the CPUID bits that they stand for. */
#ifndef KERNEL_PROCESSOR_FEATURES_H
#define KERNEL_PROCESSOR_FEATURES_H

#include "hv/types.h"

struct partition;

/* Processor feature banks 0 and 1, and HV_PARTITION_PROPERTY_PROCESSOR_XSAVE_FEATURES. */
#define PROCESSOR_FEATURE_BANKS 3u
enum processor_feature_bank { FEATURE_BANK_0, FEATURE_BANK_1, FEATURE_BANK_XSAVE };

/* Learns what children of this processor may have; at boot, after child_policy_detect. */
void processor_features_initialize(void);

/* Those, as a bank. */
uint64_t processor_features(enum processor_feature_bank bank);

/* Takes the bits that the partition does not have out of a CPUID result. */
void processor_features_apply(const struct partition *partition, uint32_t leaf, uint32_t subleaf, uint32_t result[4]);

#endif
