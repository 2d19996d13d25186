/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How CPUID describes several VPs, on AMD's and Intel's processors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "partitions/root/worker/cpuid_topology.h"

/* Caches: two of the first level, one of the second, one of the third. */
static uint32_t cache(uint32_t number)
{
    static const uint32_t caches[] = {0x21, 0x22, 0x43, 0x63};

    return number < 4 ? caches[number] | 0xFC0FC000 : 0;
}

static void host(void *context, uint32_t leaf, uint32_t subleaf, uint32_t result[4])
{
    bool intel = *(const bool *)context;

    memset(result, 0, 16);
    if (leaf == 0) {
        result[CPUID_EAX] = 0xD;
        result[CPUID_EBX] = intel ? 0x756E6547 : 0x68747541;
    } else if (leaf == 0x80000000) {
        result[CPUID_EAX] = intel ? 0x80000008 : 0x8000001F;
    } else if ((leaf == 4 && intel) || (leaf == 0x8000001D && !intel)) {
        result[CPUID_EAX] = cache(subleaf);
    }
}

static const struct cpuid_leaf *find(const struct cpuid_leaf *leaves, size_t count, uint32_t leaf,
                                     uint32_t subleaf)
{
    for (size_t i = 0; i < count; i++)
        if (leaves[i].leaf == leaf && leaves[i].subleaf == subleaf)
            return &leaves[i];
    return NULL;
}

static void assert_register(const struct cpuid_leaf *leaf, enum cpuid_register name, uint32_t mask,
                            uint32_t value)
{
    assert_non_null(leaf);
    assert_int_equal(leaf->mask[name], mask);
    assert_int_equal(leaf->value[name], value);
}

static void test_one_vp_is_the_default(void **state)
{
    struct cpuid_leaf leaves[CPUID_TOPOLOGY_LEAVES];
    bool intel = false;

    (void)state;
    assert_int_equal(cpuid_topology(0, 1, host, &intel, leaves), 0);
}

static void test_amd(void **state)
{
    struct cpuid_leaf leaves[CPUID_TOPOLOGY_LEAVES];
    bool intel = false;
    size_t count = cpuid_topology(2, 6, host, &intel, leaves);

    (void)state;
    assert_register(find(leaves, count, 1, 0), CPUID_EBX, 0x00FF0000, 8 << 16);
    assert_register(find(leaves, count, 1, 0), CPUID_EDX, 1 << 28, 1 << 28);
    assert_register(find(leaves, count, 0xB, 0), CPUID_EAX, ~0u, 0);
    assert_register(find(leaves, count, 0xB, 0), CPUID_EBX, ~0u, 1);
    assert_register(find(leaves, count, 0xB, 1), CPUID_EAX, ~0u, 3);
    assert_register(find(leaves, count, 0xB, 1), CPUID_EBX, ~0u, 6);
    assert_int_equal(find(leaves, count, 0xB, 1)->mask[CPUID_EDX], 0); /* the APIC id is the hypervisor's */
    assert_register(find(leaves, count, 0x80000001, 0), CPUID_ECX, 2, 2);
    assert_register(find(leaves, count, 0x80000008, 0), CPUID_ECX, ~0u, 3 << 12 | 5);
    assert_register(find(leaves, count, 0x8000001E, 0), CPUID_EBX, ~0u, 2);
    assert_register(find(leaves, count, 0x8000001D, 2), CPUID_EAX, 0xFFF << 14, 0);
    assert_register(find(leaves, count, 0x8000001D, 3), CPUID_EAX, 0xFFF << 14, 7 << 14);
    assert_null(find(leaves, count, 0x8000001D, 4));
    assert_null(find(leaves, count, 4, 0));
    assert_null(find(leaves, count, 0x1F, 0)); /* the host has none */
}

static void test_intel(void **state)
{
    struct cpuid_leaf leaves[CPUID_TOPOLOGY_LEAVES];
    bool intel = true;
    size_t count = cpuid_topology(0, 2, host, &intel, leaves);

    (void)state;
    assert_register(find(leaves, count, 4, 0), CPUID_EAX, 0xFFFFC000, 1 << 26);
    assert_register(find(leaves, count, 4, 3), CPUID_EAX, 0xFFFFC000, 1 << 26 | 1 << 14);
    assert_null(find(leaves, count, 0x8000001D, 0));
    assert_null(find(leaves, count, 0x80000001, 0));
}

static void test_many_vps(void **state)
{
    struct cpuid_leaf leaves[CPUID_TOPOLOGY_LEAVES];
    bool intel = true;
    size_t count = cpuid_topology(255, 256, host, &intel, leaves);

    (void)state;
    assert_register(find(leaves, count, 1, 0), CPUID_EBX, 0x00FF0000, 0xFF << 16);
    assert_register(find(leaves, count, 4, 3), CPUID_EAX, 0xFFFFC000, 0x3Fu << 26 | 255 << 14);
    assert_register(find(leaves, count, 0xB, 1), CPUID_EAX, ~0u, 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_vp_is_the_default),
        cmocka_unit_test(test_amd),
        cmocka_unit_test(test_intel),
        cmocka_unit_test(test_many_vps),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
