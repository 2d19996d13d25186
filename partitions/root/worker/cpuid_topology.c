/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Leaves and bits: APM vol. 3 appendix E, SDM vol. 2A "CPUID". */
#include "partitions/root/worker/cpuid_topology.h"

#include <assert.h>
#include <cpuid.h>

#define ALL 0xFFFFFFFFu

#define FIRST_EXTENDED_LEAF 0x80000000u
#define MAXIMUM_CACHES      8

/* Leaves 4 and 8000001Dh, EAX. */
#define CACHE_TYPE(eax)       ((eax)&0x1F)
#define CACHE_LEVEL(eax)      (((eax) >> 5) & 7)
#define CACHE_SHARERS_SHIFT   14
#define CACHE_SHARERS_MAXIMUM 0xFFFu
#define CACHE_CORES_SHIFT     26
#define CACHE_CORES_MAXIMUM   0x3Fu

struct topology {
    uint32_t vp;
    uint32_t vp_count;
    unsigned id_bits; /* of an APIC id that number the VPs */
    cpuid_function *host;
    void *context;
    struct cpuid_leaf *leaves;
    size_t count;
};

void cpuid_of_host(void *context, uint32_t leaf, uint32_t subleaf, uint32_t result[4])
{
    (void)context;
    __cpuid_count(leaf, subleaf, result[CPUID_EAX], result[CPUID_EBX], result[CPUID_ECX], result[CPUID_EDX]);
}

static bool host_has(const struct topology *topology, uint32_t leaf)
{
    uint32_t host[4];

    topology->host(topology->context, leaf & FIRST_EXTENDED_LEAF, 0, host);
    return leaf <= host[CPUID_EAX];
}

static struct cpuid_leaf *add(struct topology *topology, uint32_t leaf, uint32_t subleaf,
                              bool subleaf_specific)
{
    struct cpuid_leaf *added = &topology->leaves[topology->count++];

    assert(topology->count <= CPUID_TOPOLOGY_LEAVES);
    *added = (struct cpuid_leaf){.leaf = leaf, .subleaf = subleaf, .subleaf_specific = subleaf_specific};
    return added;
}

static void set(struct cpuid_leaf *leaf, enum cpuid_register name, uint32_t mask, uint32_t value)
{
    leaf->mask[name] = mask;
    leaf->value[name] = value & mask;
}

static uint32_t at_most(uint32_t value, uint32_t maximum)
{
    return value < maximum ? value : maximum;
}

/* Leaf 1: how many APIC ids the package takes, and that it has more than one. */
static void set_package(struct topology *topology)
{
    struct cpuid_leaf *leaf = add(topology, 1, 0, false);

    set(leaf, CPUID_EBX, 0x00FF0000, at_most(1u << topology->id_bits, 0xFF) << 16);
    set(leaf, CPUID_EDX, 1u << 28, 1u << 28);
}

/* Leaves Bh and 1Fh: a core is one thread, the package all cores. */
static void set_levels(struct topology *topology, uint32_t number)
{
    if (!host_has(topology, number))
        return;
    for (uint32_t level = 0; level < 2; level++) {
        struct cpuid_leaf *leaf = add(topology, number, level, true);

        set(leaf, CPUID_EAX, ALL, level ? topology->id_bits : 0);
        set(leaf, CPUID_EBX, ALL, level ? topology->vp_count : 1);
    }
}

/* Leaves 4 (Intel) and 8000001Dh (AMD): caches of the third level are shared by the package, the others by
 * nobody. */
static void set_caches(struct topology *topology, uint32_t number, bool with_core_count)
{
    uint32_t others = (1u << topology->id_bits) - 1;
    uint32_t mask = CACHE_SHARERS_MAXIMUM << CACHE_SHARERS_SHIFT;
    uint32_t cores = 0;

    if (with_core_count) {
        mask |= CACHE_CORES_MAXIMUM << CACHE_CORES_SHIFT;
        cores = at_most(others, CACHE_CORES_MAXIMUM) << CACHE_CORES_SHIFT;
    }
    for (uint32_t cache = 0; cache < MAXIMUM_CACHES && host_has(topology, number); cache++) {
        uint32_t host[4];
        uint32_t sharers;

        topology->host(topology->context, number, cache, host);
        if (CACHE_TYPE(host[CPUID_EAX]) == 0)
            return;
        sharers = CACHE_LEVEL(host[CPUID_EAX]) >= 3 ? at_most(others, CACHE_SHARERS_MAXIMUM) : 0;
        set(add(topology, number, cache, true), CPUID_EAX, mask, cores | sharers << CACHE_SHARERS_SHIFT);
    }
}

static void set_amd_cores(struct topology *topology)
{
    if (host_has(topology, 0x80000001)) /* CMP_LEGACY */
        set(add(topology, 0x80000001, 0, false), CPUID_ECX, 1u << 1, 1u << 1);
    if (host_has(topology, 0x80000008)) /* size of the core id, number of cores */
        set(add(topology, 0x80000008, 0, false), CPUID_ECX, ALL,
            (uint32_t)topology->id_bits << 12 | (topology->vp_count - 1));
    if (host_has(topology, 0x8000001E)) {
        struct cpuid_leaf *leaf = add(topology, 0x8000001E, 0, false);

        set(leaf, CPUID_EBX, ALL, topology->vp); /* core id, one thread each */
        set(leaf, CPUID_ECX, ALL, 0);            /* one node */
    }
}

static bool host_is_intel(const struct topology *topology)
{
    uint32_t host[4];

    topology->host(topology->context, 0, 0, host);
    return host[CPUID_EBX] == 0x756E6547; /* "Genu" */
}

size_t cpuid_topology(uint32_t vp, uint32_t vp_count, cpuid_function *host, void *context,
                      struct cpuid_leaf leaves[CPUID_TOPOLOGY_LEAVES])
{
    struct topology topology = {
        .vp = vp, .vp_count = vp_count, .host = host, .context = context, .leaves = leaves};

    /* The hypervisor's default is a package with one core. */
    if (vp_count == 1)
        return 0;
    topology.id_bits = 32 - (unsigned)__builtin_clz(vp_count - 1);
    set_package(&topology);
    set_levels(&topology, 0x0B);
    set_levels(&topology, 0x1F);
    if (host_is_intel(&topology)) {
        set_caches(&topology, 4, true);
    } else {
        set_amd_cores(&topology);
        set_caches(&topology, 0x8000001D, false);
    }
    return topology.count;
}
