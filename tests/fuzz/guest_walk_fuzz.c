/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Page tables and control registers from the input, walked by the hypervisor and by a second walker, which
 * follows the manuals' pictures one paging mode at a time. Only the walk itself: no permissions
 * (PRIVILEGE_EXEMPT, nothing to validate), which guest_walk_test.c covers. Also reads and fetches whatever
 * comes out.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arch/x86_64/cpu/cpu_features.h"
#include "arch/x86_64/mm/guest_walk.h"
#include "tests/fuzz/fuzz_input.h"
#include "tests/unit/fake_guest.h"

#define TABLES 16u /* pages that the input fills, from GPA 0 */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t memory_end = FAKE_GUEST_PAGES * HV_PAGE_SIZE;

static bool load(uint64_t gpa, unsigned size, uint64_t *value)
{
    *value = 0;
    if (gpa >= memory_end)
        return false;
    memcpy(value, fake_gpa(gpa), size);
    return true;
}

static uint64_t low_bits(unsigned count)
{
    return (1ull << count) - 1;
}

static enum hv_translate_gva_result_code walk_32(uint64_t cr3, uint64_t cr4, uint32_t gva, uint64_t *gpa)
{
    uint64_t entry;
    if (!load((cr3 & 0xFFFFF000) + (gva >> 22) * 4, 4, &entry))
        return HV_TRANSLATE_GVA_GPA_UNMAPPED;
    if (!(entry & 1))
        return HV_TRANSLATE_GVA_PAGE_NOT_PRESENT;
    if ((entry & 0x80) && (cr4 & CR4_PSE)) {
        unsigned bits = fake_address_bits < 40 ? fake_address_bits : 40;
        uint64_t high = entry >> 13 & 0x1FF;
        if (high >> (bits - 32))
            return HV_TRANSLATE_GVA_INVALID_PAGE_TABLE_FLAGS;
        *gpa = high << 32 | (entry & 0xFFC00000) | (gva & 0x3FFFFF);
        return HV_TRANSLATE_GVA_SUCCESS;
    }
    if (!load((entry & 0xFFFFF000) + (gva >> 12 & 0x3FF) * 4, 4, &entry))
        return HV_TRANSLATE_GVA_GPA_UNMAPPED;
    if (!(entry & 1))
        return HV_TRANSLATE_GVA_PAGE_NOT_PRESENT;
    *gpa = (entry & 0xFFFFF000) | (gva & 0xFFF);
    return HV_TRANSLATE_GVA_SUCCESS;
}

/*
 * From the page directory pointer table downwards in long mode, from the page directory downwards with PAE.
 */
static enum hv_translate_gva_result_code walk_wide(uint64_t table, unsigned level, uint64_t gva,
                                                   uint64_t reserved, uint64_t *gpa)
{
    uint64_t entry, address = low_bits(52) & ~0xFFFull;
    unsigned shift = 12 + 9 * (level - 1);
    if (!load(table + (gva >> shift & 0x1FF) * 8, 8, &entry))
        return HV_TRANSLATE_GVA_GPA_UNMAPPED;
    if (!(entry & 1))
        return HV_TRANSLATE_GVA_PAGE_NOT_PRESENT;
    if (entry & reserved)
        return HV_TRANSLATE_GVA_INVALID_PAGE_TABLE_FLAGS;
    if (level > 1 && !(entry & 0x80))
        return walk_wide(entry & address, level - 1, gva, reserved, gpa);
    if (level > 3 || (level > 1 && (entry & low_bits(shift) & ~low_bits(13))))
        return HV_TRANSLATE_GVA_INVALID_PAGE_TABLE_FLAGS;
    *gpa = (entry & address & ~low_bits(shift)) | (gva & low_bits(shift));
    return HV_TRANSLATE_GVA_SUCCESS;
}

static enum hv_translate_gva_result_code reference(struct vp *vp, uint64_t gva, uint64_t *gpa)
{
    uint64_t cr3 = *fake_register(vp, VP_CR3), cr4 = *fake_register(vp, VP_CR4),
             efer = *fake_register(vp, VP_EFER), entry;
    uint64_t reserved = low_bits(52) & ~low_bits(fake_address_bits);
    if (!(efer & EFER_NXE))
        reserved |= 1ull << 63;
    if (!(*fake_register(vp, VP_CR0) & CR0_PG)) {
        *gpa = (uint32_t)gva;
        return HV_TRANSLATE_GVA_SUCCESS;
    }
    if (efer & EFER_LMA) {
        unsigned bits = cr4 & CR4_LA57 ? 57 : 48;
        uint64_t top = gva >> (bits - 1);
        if (top != 0 && top != low_bits(65 - bits))
            return HV_TRANSLATE_GVA_PAGE_NOT_PRESENT;
        return walk_wide(cr3 & low_bits(52) & ~0xFFFull, cr4 & CR4_LA57 ? 5 : 4, gva, reserved, gpa);
    }
    if (!(cr4 & CR4_PAE))
        return walk_32(cr3, cr4, (uint32_t)gva, gpa);
    if (!load((cr3 & 0xFFFFFFE0) + ((uint32_t)gva >> 30) * 8, 8, &entry))
        return HV_TRANSLATE_GVA_GPA_UNMAPPED;
    if (!(entry & 1))
        return HV_TRANSLATE_GVA_PAGE_NOT_PRESENT;
    if (entry & (~low_bits(fake_address_bits) | 0x1E6))
        return HV_TRANSLATE_GVA_INVALID_PAGE_TABLE_FLAGS;
    return walk_wide(entry & ~0xFFFull, 2, (uint32_t)gva, reserved | (low_bits(63) & ~low_bits(52)), gpa);
}

static uint64_t take_64(struct fuzz_input *input)
{
    uint64_t low = fuzz_take(input, 4);
    return (uint64_t)fuzz_take(input, 4) << 32 | low;
}

/* Entries that lead somewhere: mostly to the pages that the input fills. */
static void fill_tables(struct fuzz_input *input)
{
    unsigned count = fuzz_take(input, 1);
    for (unsigned i = 0; i < count; i++) {
        uint64_t at = fuzz_take(input, 2) % (TABLES * 512) * 8, value = take_64(input);
        if (fuzz_take(input, 1) & 1)
            value = (value & 0x8000000000000FFF) | (value >> 12 & 15) << 12 | 1;
        memcpy(fake_gpa(at), &value, sizeof(value));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const unsigned address_bits[] = {36, 40, 48, 52};
    struct fuzz_input input = {data, size};
    struct vp_code code;
    struct guest_code kept;
    struct hv_output_translate_virtual_address output;
    uint8_t buffer[64];
    uint64_t gpa = 0;

    if (fake_vp(0) == NULL)
        fake_guest_start(1);
    struct vp *vp = fake_vp(0);
    memset(fake_gpa(0), 0, TABLES * HV_PAGE_SIZE);
    unsigned mode = fuzz_take(&input, 1);
    fake_address_bits = address_bits[fuzz_take(&input, 1) % 4];
    *fake_register(vp, VP_CR0) = CR0_PE | (mode & 1 ? CR0_PG : 0);
    *fake_register(vp, VP_CR4) =
        (mode & 2 ? CR4_PAE : 0) | (mode & 4 ? CR4_LA57 : 0) | (mode & 8 ? CR4_PSE : 0);
    *fake_register(vp, VP_EFER) = (mode & 16 ? EFER_NXE : 0) | ((mode & 3) == 3 && mode & 32 ? EFER_LMA : 0);
    *fake_register(vp, VP_CR3) = fuzz_take(&input, 2) & (TABLES * HV_PAGE_SIZE - 1);
    uint64_t gva = take_64(&input);
    uint64_t access = fuzz_take(&input, 2) & 0x3FF;
    fill_tables(&input);
    if ((mode & 64) != 0)
        gva = (uint64_t)((int64_t)(gva << 16) >> 16);

    enum hv_translate_gva_result_code expected = reference(vp, gva, &gpa);
    if (expected == HV_TRANSLATE_GVA_SUCCESS && gpa >= memory_end)
        expected = HV_TRANSLATE_GVA_GPA_UNMAPPED;
    guest_translate(vp, gva, HV_TRANSLATE_PRIVILEGE_EXEMPT, &output);
    if (output.result_code != expected ||
        (expected == HV_TRANSLATE_GVA_SUCCESS && output.gpa_page != gpa >> HV_PAGE_SHIFT)) {
        fprintf(stderr, "result %u, expected %u\n", output.result_code, expected);
        abort();
    }
    guest_translate(vp, gva, access, &output);
    guest_read(vp, gva, buffer, sizeof(buffer), access);
    vendor->get_code(vp, &code);
    size_t count = guest_read_code(vp, &code, *fake_register(vp, VP_EFER) & EFER_LMA ? gva : (uint32_t)gva,
                                   buffer, 15, &kept);
    if (kept.at != NULL && (count != 15 || !guest_code_is(vp, &kept)))
        abort();
    if (fake_guest_memory_depth != 0)
        abort();
    return 0;
}
