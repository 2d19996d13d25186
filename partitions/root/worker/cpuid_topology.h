/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How CPUID describes the VPs of one machine to each other: one package of as many cores as there are VPs,
 * without hyper-threads; a VP's APIC id is its index. Features are the hypervisor's policy, not the worker's.
 */
#ifndef WORKER_CPUID_TOPOLOGY_H
#define WORKER_CPUID_TOPOLOGY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Order of registers in results. */
enum cpuid_register { CPUID_EAX, CPUID_EBX, CPUID_ECX, CPUID_EDX };

/* For one leaf: bits of `mask` are as in `value`; the hypervisor decides the others. */
struct cpuid_leaf {
    uint32_t leaf;
    uint32_t subleaf;
    bool subleaf_specific; /* false: any ECX */
    uint32_t value[4];
    uint32_t mask[4];
};

#define CPUID_TOPOLOGY_LEAVES 16

/* The processor's CPUID, replaceable in tests. */
typedef void cpuid_function(void *context, uint32_t leaf, uint32_t subleaf, uint32_t result[4]);
cpuid_function cpuid_of_host;

/* What is to be registered for VP `vp` of `vp_count` (1 to 256). Returns how many leaves; none for a single
 * VP. */
size_t cpuid_topology(uint32_t vp, uint32_t vp_count, cpuid_function *host, void *context,
                      struct cpuid_leaf leaves[CPUID_TOPOLOGY_LEAVES]);

#endif
