/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Page tables are built from a plan, and what a walk has to find is computed from the plan, not from the
 * tables.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "arch/x86_64/cpu/cpu_features.h"
#include "arch/x86_64/mm/guest_walk.h"
#include "kernel/frame.h"
#include "tests/unit/fake_guest.h"

enum mode { NO_PAGING, BITS_32, PAE, LEVELS_4, LEVELS_5, MODES };
static const unsigned mode_levels[MODES] = {0, 2, 3, 4, 5};

/* One entry of the chain; index 0 is the top. */
struct entry_plan {
    bool present, writable, user, no_execute, reserved;
    bool table_unmapped, table_no_access, table_read_only; /* the page that this entry lies in */
    uint64_t gpa;                                          /* of the entry: filled by build() */
};

struct plan {
    enum mode mode;
    uint64_t gva, target; /* target: GPA that gva means */
    unsigned depth;       /* entries in the chain; fewer than the levels: the last is a large page */
    bool pse, nxe, wp, smep, smap, ac;
    unsigned cpl;
    uint64_t access;
    struct entry_plan entry[5];
};

static struct vp *vp;

static uint64_t random_64(void)
{
    return (uint64_t)rand() << 60 ^ (uint64_t)rand() << 31 ^ (uint64_t)rand();
}

static bool chance(unsigned one_in)
{
    return (unsigned)rand() % one_in == 0;
}

static bool is_wide(const struct plan *plan)
{
    return plan->mode != BITS_32;
}

/* Lowest bit of the index at a depth. */
static unsigned shift_at(const struct plan *plan, unsigned depth)
{
    unsigned level = mode_levels[plan->mode] - depth;
    return 12 + (is_wide(plan) ? 9 : 10) * (level - 1);
}

static bool is_pae_top(const struct plan *plan, unsigned depth)
{
    return plan->mode == PAE && depth == 0;
}

/* A bit that no processor lets an entry of this kind have, besides the address. */
static uint64_t reserved_bit(const struct plan *plan, unsigned depth)
{
    bool large = depth == plan->depth - 1 && plan->depth < mode_levels[plan->mode];
    unsigned pse_bits = fake_address_bits < 40 ? fake_address_bits : 40;
    if (plan->mode == BITS_32)
        return large ? 1ull << (pse_bits - 19 + (unsigned)rand() % (41 - pse_bits)) : 0;
    if (is_pae_top(plan, depth))
        return chance(2) ? 1ull << 63 : 1ull << (chance(2) ? 1 : 5 + rand() % 4);
    if (!plan->nxe && chance(3))
        return PTE_NO_EXECUTE;
    if (large && chance(2))
        return 1ull << (13 + (unsigned)rand() % (shift_at(plan, depth) - 13));
    if (plan->mode >= LEVELS_4 && mode_levels[plan->mode] - depth > 3 && chance(2))
        return PTE_LARGE;
    if (plan->mode == PAE && chance(2))
        return 1ull << (52 + rand() % 11);
    return fake_address_bits == 52
               ? 0
               : 1ull << (fake_address_bits + (unsigned)rand() % (52 - fake_address_bits));
}

static void write_entry(const struct plan *plan, uint64_t gpa, uint64_t value)
{
    memcpy(fake_gpa(gpa), &value, is_wide(plan) ? 8 : 4);
}

static uint64_t read_entry(const struct plan *plan, uint64_t gpa)
{
    uint64_t value = 0;
    memcpy(&value, fake_gpa(gpa), is_wide(plan) ? 8 : 4);
    return value;
}

/* Attributes that no walk looks at. */
static uint64_t noise(const struct plan *plan, unsigned depth)
{
    return is_pae_top(plan, depth) ? random_64() & 0xE18 : random_64() & 0xF18;
}

/* Writes the tables of the plan from page 64 of the guest on, and the registers. */
static void build(struct plan *plan)
{
    unsigned levels = mode_levels[plan->mode];
    uint64_t table = 64 * HV_PAGE_SIZE;
    if (plan->mode == PAE)
        table += 32 * ((unsigned)rand() % 128);
    *fake_register(vp, VP_CR3) = table | (plan->mode == PAE ? random_64() & 0x1F : random_64() & 0xFFF);
    for (unsigned i = 0; i < plan->depth; i++) {
        struct entry_plan *entry = &plan->entry[i];
        unsigned shift = shift_at(plan, i);
        uint64_t index = plan->gva >> shift & (is_pae_top(plan, i) ? 3 : is_wide(plan) ? 511 : 1023);
        struct fake_page *page = &fake_pages[table >> HV_PAGE_SHIFT];
        bool last = i == plan->depth - 1;
        entry->gpa = table + index * (is_wide(plan) ? 8 : 4);
        uint64_t next = (65 + i) * HV_PAGE_SIZE;
        uint64_t value = last ? plan->target & ~((1ull << shift) - 1) : next;
        if (last && plan->depth < levels) {
            value |= PTE_LARGE;
            if (!is_wide(plan)) /* PSE-36 */
                value = (value & 0xFFC00000) | (plan->target >> 32 << 13) | PTE_LARGE;
        } else if (plan->mode == BITS_32 && !plan->pse && chance(2)) {
            value |= PTE_LARGE; /* no meaning without PSE, or PAT in the last level */
        } else if (last && chance(2)) {
            value |= PTE_LARGE; /* PAT */
        }
        value |= noise(plan, i) | (entry->present ? PTE_PRESENT : 0);
        if (!is_pae_top(plan, i))
            value |= (entry->writable ? PTE_WRITABLE : 0) | (entry->user ? PTE_USER : 0);
        if (is_wide(plan) && !is_pae_top(plan, i) && entry->no_execute)
            value |= PTE_NO_EXECUTE;
        if (entry->reserved) {
            uint64_t bit = reserved_bit(plan, i);
            entry->reserved = bit != 0;
            value |= bit;
        }
        write_entry(plan, entry->gpa, value);
        if (entry->table_unmapped || entry->table_no_access) {
            page->access = 0;
            page->no_access = entry->table_no_access;
        } else if (entry->table_read_only) {
            page->access = HV_MAP_GPA_READABLE;
        }
        table = next;
    }
    *fake_register(vp, VP_CR0) = CR0_PE | (plan->wp ? CR0_WP : 0) | (levels > 0 ? CR0_PG : 0);
    *fake_register(vp, VP_CR4) = (plan->pse ? CR4_PSE : 0) | (plan->mode >= PAE ? CR4_PAE : 0) |
                                 (plan->mode == LEVELS_5 ? CR4_LA57 : 0) | (plan->smep ? CR4_SMEP : 0) |
                                 (plan->smap ? CR4_SMAP : 0);
    *fake_register(vp, VP_EFER) =
        (plan->nxe ? EFER_NXE : 0) | (plan->mode >= LEVELS_4 ? EFER_LMA | EFER_LME : 0);
    vp->rflags = 2 | (plan->ac ? RFLAGS_AC : 0);
    fake_segment(vp, VP_SS)->attributes = (uint16_t)(plan->cpl << HV_SEGMENT_DPL_SHIFT | HV_SEGMENT_P | 0x13);
}

static bool plan_canonical(const struct plan *plan)
{
    unsigned bits = plan->mode == LEVELS_5 ? 57 : 48;
    uint64_t top = plan->gva >> (bits - 1);
    return plan->mode < LEVELS_4 || top == 0 || top == ~0ull >> (bits - 1);
}

static bool plan_permits(const struct plan *plan)
{
    bool read = plan->access & HV_TRANSLATE_VALIDATE_READ, write = plan->access & HV_TRANSLATE_VALIDATE_WRITE;
    bool execute = plan->access & HV_TRANSLATE_VALIDATE_EXECUTE,
         exempt = plan->access & HV_TRANSLATE_PRIVILEGE_EXEMPT;
    bool writable = true, user_page = true, executable = true;
    bool user = plan->cpl == 3;

    if (plan->mode == NO_PAGING)
        return true;
    for (unsigned i = is_pae_top(plan, 0); i < plan->depth; i++) {
        writable = writable && plan->entry[i].writable;
        user_page = user_page && plan->entry[i].user;
        executable = executable && !(plan->entry[i].no_execute && is_wide(plan));
    }
    if (plan->access & HV_TRANSLATE_USER_ACCESS)
        user = true;
    if ((plan->access & HV_TRANSLATE_SUPERVISOR_ACCESS) || exempt)
        user = false;
    if (execute && !executable)
        return false;
    if (user) {
        if ((read || write || execute) && !user_page)
            return false;
        return !write || writable;
    }
    if (write && !writable && plan->wp)
        return false;
    if (exempt || !user_page)
        return true;
    if (execute && plan->smep)
        return false;
    bool allowed_by_ac = plan->ac && plan->cpl < 3 && !(plan->access & HV_TRANSLATE_ENFORCE_SMAP);
    if ((read || write) && plan->smap && !allowed_by_ac && !(plan->access & HV_TRANSLATE_OVERRIDE_SMAP))
        return false;
    return true;
}

static enum hv_translate_gva_result_code plan_result(const struct plan *plan, bool *walked)
{
    bool write = plan->access & HV_TRANSLATE_VALIDATE_WRITE, tables_writable = true;
    *walked = false;
    if (!plan_canonical(plan))
        return HV_TRANSLATE_GVA_PAGE_NOT_PRESENT;
    for (unsigned i = 0; i < plan->depth; i++) {
        if (plan->entry[i].table_unmapped)
            return HV_TRANSLATE_GVA_GPA_UNMAPPED;
        if (plan->entry[i].table_no_access)
            return HV_TRANSLATE_GVA_GPA_NO_READ_ACCESS;
        if (!plan->entry[i].present)
            return HV_TRANSLATE_GVA_PAGE_NOT_PRESENT;
        if (plan->entry[i].reserved)
            return HV_TRANSLATE_GVA_INVALID_PAGE_TABLE_FLAGS;
        if (!is_pae_top(plan, i)) /* its entries have no accessed bit */
            tables_writable = tables_writable && !plan->entry[i].table_read_only;
    }
    if (!plan_permits(plan))
        return HV_TRANSLATE_GVA_PRIVILEGE_VIOLATION;
    if ((plan->access & HV_TRANSLATE_SET_PAGE_TABLE_BITS) && !tables_writable)
        return HV_TRANSLATE_GVA_GPA_NO_WRITE_ACCESS;
    *walked = true;
    if (plan->target >> HV_PAGE_SHIFT >= FAKE_GUEST_PAGES)
        return HV_TRANSLATE_GVA_GPA_UNMAPPED;
    const struct fake_page *page = &fake_pages[plan->target >> HV_PAGE_SHIFT];
    if (page->no_access)
        return HV_TRANSLATE_GVA_GPA_NO_READ_ACCESS;
    if (page->access == 0)
        return HV_TRANSLATE_GVA_GPA_UNMAPPED;
    if (write && !(page->access & HV_MAP_GPA_WRITABLE))
        return HV_TRANSLATE_GVA_GPA_NO_WRITE_ACCESS;
    return HV_TRANSLATE_GVA_SUCCESS;
}

static void choose(struct plan *plan)
{
    static const unsigned address_bits[] = {36, 39, 40, 46, 52};
    memset(plan, 0, sizeof(*plan));
    fake_address_bits = address_bits[rand() % 5];
    plan->mode = (enum mode)(rand() % MODES);
    unsigned levels = mode_levels[plan->mode];
    plan->gva = random_64();
    if (plan->mode < LEVELS_4)
        plan->gva &= 0xFFFFFFFF;
    else if (!chance(20))
        plan->gva = (uint64_t)((int64_t)(plan->gva << (plan->mode == LEVELS_5 ? 7 : 16)) >>
                               (plan->mode == LEVELS_5 ? 7 : 16));
    plan->pse = chance(2);
    plan->depth = levels;
    if (plan->mode == BITS_32 && plan->pse && chance(2))
        plan->depth = 1;
    else if (plan->mode == PAE && chance(3))
        plan->depth = 2;
    else if (plan->mode >= LEVELS_4 && chance(2))
        plan->depth = levels - 1 - chance(3);
    if (plan->depth == 0 && levels > 0)
        plan->depth = 1;

    /* Mostly a page of the first 2 MiB, with the offset that the address has in it. */
    unsigned shift = plan->depth == 0 ? 32 : shift_at(plan, plan->depth - 1);
    uint64_t offset_mask = (1ull << shift) - 1, address_mask = (1ull << fake_address_bits) - 1;
    if (plan->mode == BITS_32)
        address_mask &= plan->depth == 2 ? 0xFFFFFFFF : 0xFFFFFFFFFF;
    plan->target = chance(4) ? random_64() & address_mask : random_64() & 0x1FFFFF;
    if (plan->mode == NO_PAGING) {
        plan->gva = chance(2) ? plan->gva & 0x1FFFFF : plan->gva;
        plan->target = plan->gva;
    } else {
        if (chance(2)) /* so that large pages lead to mapped memory, too */
            plan->gva &= ~offset_mask | 0x1FFFFF;
        plan->target = (plan->target & ~offset_mask) | (plan->gva & offset_mask);
    }
    plan->nxe = chance(2);
    plan->wp = chance(2);
    plan->smep = chance(2);
    plan->smap = chance(2);
    plan->ac = chance(2);
    plan->cpl = (unsigned)rand() % 4;
    plan->access = random_64() & 0x3D7;
    if (chance(4))
        plan->access |= HV_TRANSLATE_PRIVILEGE_EXEMPT;
    for (unsigned i = 0; i < plan->depth; i++) {
        struct entry_plan *entry = &plan->entry[i];
        entry->present = !chance(30);
        entry->writable = !chance(6);
        entry->user = !chance(4);
        entry->no_execute = plan->nxe && chance(6);
        entry->reserved = chance(30);
        entry->table_unmapped = chance(60);
        entry->table_no_access = !entry->table_unmapped && chance(60);
        entry->table_read_only = chance(30);
    }
}

static void reset_pages(const struct plan *plan)
{
    memset(fake_gpa(64 * HV_PAGE_SIZE), 0, 8 * HV_PAGE_SIZE);
    memset(fake_dirty, 0, sizeof(fake_dirty));
    for (unsigned i = 64; i < 72; i++)
        fake_pages[i] =
            (struct fake_page){FAKE_GUEST_SPA + i * HV_PAGE_SIZE,
                               HV_MAP_GPA_READABLE | HV_MAP_GPA_WRITABLE | HV_MAP_GPA_EXECUTABLE, false};
    if (plan->target >> HV_PAGE_SHIFT < FAKE_GUEST_PAGES && (plan->target >> HV_PAGE_SHIFT) / 8 != 8)
        fake_pages[plan->target >> HV_PAGE_SHIFT] =
            (struct fake_page){FAKE_GUEST_SPA + (plan->target & ~0xFFFull),
                               HV_MAP_GPA_READABLE | HV_MAP_GPA_WRITABLE | HV_MAP_GPA_EXECUTABLE, false};
}

/* The page that the plan leads to may be missing or less than writable. */
static void spoil_target(const struct plan *plan)
{
    if (plan->target >> HV_PAGE_SHIFT >= FAKE_GUEST_PAGES || (plan->target >> HV_PAGE_SHIFT) / 8 == 8)
        return;
    struct fake_page *page = &fake_pages[plan->target >> HV_PAGE_SHIFT];
    switch (rand() % 8) {
    case 0:
        page->access = 0;
        break;
    case 1:
        page->access = 0;
        page->no_access = true;
        break;
    case 2:
        page->access = HV_MAP_GPA_READABLE;
        break;
    }
}

static void check_accessed_and_dirty(const struct plan *plan, const uint64_t *before, bool walked)
{
    bool set = walked && (plan->access & HV_TRANSLATE_SET_PAGE_TABLE_BITS);
    for (unsigned i = 0; i < plan->depth; i++) {
        uint64_t expected = before[i];
        if (set && !is_pae_top(plan, i)) {
            expected |= PTE_ACCESSED;
            if (i == plan->depth - 1 && (plan->access & HV_TRANSLATE_VALIDATE_WRITE))
                expected |= PTE_DIRTY;
        }
        /* Only a table that turned out to be read-only leaves the work half done. */
        if (set || !(plan->access & HV_TRANSLATE_SET_PAGE_TABLE_BITS))
            assert_int_equal(read_entry(plan, plan->entry[i].gpa), expected);
    }
}

/* The nested map says so of the tables that were changed, and of no others. */
static void check_tables_dirty(const struct plan *plan, const uint64_t *before)
{
    bool changed[FAKE_GUEST_PAGES] = {false};
    for (unsigned i = 0; i < plan->depth; i++)
        if (read_entry(plan, plan->entry[i].gpa) != before[i])
            changed[plan->entry[i].gpa >> HV_PAGE_SHIFT] = true;
    assert_memory_equal(fake_dirty, changed, sizeof(changed));
}

static void test_against_plans(void **state)
{
    unsigned seen[HV_TRANSLATE_GVA_INTERCEPT] = {0};
    (void)state;
    fake_guest_start(1);
    vp = fake_vp(0);
    srand(1);
    for (unsigned round = 0; round < 300000; round++) {
        struct hv_output_translate_virtual_address output;
        struct plan plan;
        uint64_t before[5];
        bool walked;
        choose(&plan);
        reset_pages(&plan);
        build(&plan);
        spoil_target(&plan);
        for (unsigned i = 0; i < plan.depth; i++)
            before[i] = read_entry(&plan, plan.entry[i].gpa);
        enum hv_translate_gva_result_code expected = plan_result(&plan, &walked);
        memset(&output, 0xA5, sizeof(output));
        guest_translate(vp, plan.gva, plan.access, &output);
        if (output.result_code != expected)
            print_error("round %u mode %d gva %llx\n", round, plan.mode, (unsigned long long)plan.gva);
        assert_int_equal(output.result_code, expected);
        assert_int_equal(fake_guest_memory_depth, 0);
        if (walked)
            assert_int_equal(output.gpa_page, plan.target >> HV_PAGE_SHIFT);
        assert_int_equal(output.cache_type, 6);
        check_accessed_and_dirty(&plan, before, walked);
        check_tables_dirty(&plan, before);
        seen[expected]++;

        uint8_t byte = 0;
        size_t count = guest_read(vp, plan.gva, &byte, 1, plan.access);
        assert_int_equal(count, expected == HV_TRANSLATE_GVA_SUCCESS);
    }
    /* Every outcome that there is has come up, often. */
    for (unsigned i = HV_TRANSLATE_GVA_SUCCESS; i <= HV_TRANSLATE_GVA_GPA_NO_WRITE_ACCESS; i++)
        assert_true(seen[i] > 2000);
    fake_guest_stop();
}

static void map_4_level(uint64_t gva, uint64_t gpa)
{
    struct plan plan = {.mode = LEVELS_4, .gva = gva, .target = gpa, .depth = 4};
    for (unsigned i = 0; i < 4; i++)
        plan.entry[i] = (struct entry_plan){.present = true, .writable = true, .user = true};
    build(&plan);
}

static struct guest_code kept;

static size_t read_code(uint64_t linear, uint8_t *buffer, size_t length)
{
    struct vp_code code;
    vendor->get_code(vp, &code);
    return guest_read_code(vp, &code, linear, buffer, length, &kept);
}

static void test_reads_across_pages(void **state)
{
    uint8_t buffer[64];
    (void)state;
    fake_guest_start(1);
    vp = fake_vp(0);
    map_4_level(0x7000, 0x10000);
    map_4_level(0x8000, 0x30000);
    for (unsigned i = 0; i < 20; i++)
        fake_gpa(0x10FEC)[i] = (uint8_t)i;
    for (unsigned i = 0; i < 20; i++)
        fake_gpa(0x30000)[i] = (uint8_t)(20 + i);
    assert_int_equal(guest_read(vp, 0x7FEC, buffer, 40, HV_TRANSLATE_VALIDATE_READ), 40);
    for (unsigned i = 0; i < 40; i++)
        assert_int_equal(buffer[i], i);
    assert_int_equal(guest_read(vp, 0x8FF0, buffer, 40, HV_TRANSLATE_VALIDATE_READ),
                     16); /* 0x9000 is not mapped */
    assert_int_equal(guest_read(vp, 0x9000, buffer, 1, HV_TRANSLATE_VALIDATE_READ), 0);
    for (unsigned at = 0; at < 25; at++) { /* every place around the border */
        memset(buffer, 0xEE, sizeof(buffer));
        assert_int_equal(read_code(0x7FEC + at, buffer + 1, 15), 15);
        for (unsigned i = 0; i < 15; i++)
            assert_int_equal(buffer[i + 1], at + i);
        assert_int_equal(buffer[0], 0xEE);
        assert_int_equal(buffer[1 + GUEST_CODE_BYTES], 0xEE);
    }
    assert_int_equal(read_code(0x8FFA, buffer, 15), 6);
    map_4_level(0xFFFFFFFF80007000, 0x10000); /* where kernels are */
    assert_int_equal(read_code(0xFFFFFFFF80007FEC, buffer, 15), 15);
    assert_int_equal(buffer[14], 14);
    fake_pages[0x10].access = 0; /* not readable any more */
    fake_pages[0x10].no_access = true;
    fake_partition.map_generation++;
    assert_int_equal(read_code(0xFFFFFFFF80007FEC, buffer, 15), 0);
    fake_pages[0x10].no_access = false;
    assert_int_equal(read_code(0xFFFFFFFF80007FEC, buffer, 15), 0);
    fake_guest_stop();
}

/* The end of the 32-bit address space is followed by its beginning. */
static void test_code_wraps_at_4_gib(void **state)
{
    uint8_t buffer[GUEST_CODE_BYTES];
    (void)state;
    fake_guest_start(1);
    vp = fake_vp(0);
    struct plan plan = {.mode = PAE, .gva = 0xFFFFF000, .target = 0x20000, .depth = 3};
    for (unsigned i = 0; i < 3; i++)
        plan.entry[i] = (struct entry_plan){.present = true};
    srand(3);
    build(&plan);
    assert_int_equal(read_code(0xFFFFFFFC, buffer, 8), 4); /* page 0 is not mapped */
    uint64_t entry = 0x42000 | PTE_PRESENT;
    memcpy(fake_gpa(plan.entry[0].gpa - 3 * 8), &entry, 8); /* the first of the four pointers */
    entry = 0x43000 | PTE_PRESENT;
    memcpy(fake_gpa(0x42000), &entry, 8);
    entry = 0x30000 | PTE_PRESENT;
    memcpy(fake_gpa(0x43000), &entry, 8);
    fake_gpa(0x30000)[3] = 0xF4;
    assert_int_equal(read_code(0xFFFFFFFC, buffer, 8), 8);
    assert_int_equal(buffer[7], 0xF4);
    *fake_register(vp, VP_CR0) = CR0_PE;
    assert_int_equal(read_code(0xFFFFFFFE, buffer, 8), 0); /* GPA 4 GiB - 2 is not there */
    fake_guest_stop();
}

static uint64_t get_entry(unsigned page, unsigned index)
{
    uint64_t value;
    memcpy(&value, fake_gpa((uint64_t)page * HV_PAGE_SIZE + index * 8), 8);
    return value;
}

static void put_entry(unsigned page, unsigned index, uint64_t value)
{
    memcpy(fake_gpa((uint64_t)page * HV_PAGE_SIZE + index * 8), &value, 8);
}

static void expect_kept(bool expected)
{
    fake_nested_lookups = 0;
    assert_int_equal(guest_code_is(vp, &kept), expected);
    assert_int_equal(fake_nested_lookups, 0);
    assert_int_equal(fake_guest_memory_depth, 0);
}

/* Code that was read holds without another walk, and never when anything that it rests on has changed. */
static void test_kept_code(void **state)
{
    static const enum vp_register names[] = {VP_CR0, VP_CR3, VP_CR4, VP_EFER};
    uint8_t code[GUEST_CODE_BYTES];
    (void)state;
    fake_guest_start(1);
    vp = fake_vp(0);
    map_4_level(0x7000, 0x10000);
    assert_int_equal(read_code(0x7010, code, 1), 1);
    expect_kept(true);
    for (unsigned i = 0; i < GUEST_CODE_BYTES; i++) { /* the bytes */
        fake_gpa(0x10010)[i] ^= 1;
        expect_kept(false);
        fake_gpa(0x10010)[i] ^= 1;
    }
    for (unsigned level = 0; level < 4; level++) { /* the guest's tables, at each level */
        unsigned index = level == 3 ? 7 : 0;
        uint64_t before = get_entry(64 + level, index);
        put_entry(64 + level, index, before ^ 0x20000);
        expect_kept(false);
        put_entry(64 + level, index, before);
    }
    for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) { /* the registers */
        *fake_register(vp, names[i]) ^= 0x10000;
        expect_kept(false);
        *fake_register(vp, names[i]) ^= 0x10000;
    }
    fake_segment(vp, VP_CS)->attributes ^= HV_SEGMENT_L;
    expect_kept(false);
    fake_segment(vp, VP_CS)->attributes ^= HV_SEGMENT_L;
    expect_kept(true);
    fake_partition.map_generation++; /* the parent's map */
    expect_kept(false);
    assert_int_equal(read_code(0x7010, code, 1), 1);
    expect_kept(true);
    assert_int_equal(read_code(0x7FF8, code, 1), 1); /* not all in one page */
    assert_null(kept.at);
    *fake_register(vp, VP_CR0) = CR0_PE; /* no tables at all */
    *fake_register(vp, VP_EFER) = 0;
    assert_int_equal(read_code(0x7010, code, 1), 1);
    expect_kept(true);
    fake_gpa(0x7010)[3] ^= 1;
    expect_kept(false);
    fake_guest_stop();
}

/* Tables with entries of 4 bytes are walked each time. */
static void test_narrow_tables_are_not_kept(void **state)
{
    uint8_t code[GUEST_CODE_BYTES];
    (void)state;
    fake_guest_start(1);
    vp = fake_vp(0);
    struct plan plan = {.mode = BITS_32, .gva = 0x7000, .target = 0x10000, .depth = 2};
    for (unsigned i = 0; i < 2; i++)
        plan.entry[i] = (struct entry_plan){.present = true};
    build(&plan);
    assert_int_equal(read_code(0x7010, code, 1), 1);
    assert_null(kept.at);
    fake_guest_stop();
}

/* The parent's memory is what it owns, at its own address; its nested map is not looked at, which may be half changed.
 */
static void test_parents_memory(void **state)
{
    struct frame frame = {.state = FRAME_PARENT};
    uint8_t byte;

    (void)state;
    fake_guest_start(1);
    vp = fake_vp(0);
    vp->is_parent = true;
    fake_frame = &frame;
    fake_nested_lookups = 0;
    fake_arena[0x5007] = 0x5A;
    assert_int_equal(guest_read(vp, 0x5007, &byte, 1, HV_TRANSLATE_VALIDATE_READ), 1);
    assert_int_equal(byte, 0x5A);
    frame.state = FRAME_DEPOSITED;
    assert_int_equal(guest_read(vp, 0x5007, &byte, 1, HV_TRANSLATE_VALIDATE_READ), 0);
    fake_frame = NULL; /* no RAM: the firmware's memory, or registers */
    assert_int_equal(guest_read(vp, 0x5007, &byte, 1, HV_TRANSLATE_VALIDATE_READ), 1);
    assert_int_equal(guest_read(vp, 0xFEE00020, &byte, 1, HV_TRANSLATE_VALIDATE_READ), 0);
    assert_int_equal(fake_nested_lookups, 0);
    vp->is_parent = false;
    fake_guest_stop();
}

static void test_privilege_level(void **state)
{
    (void)state;
    fake_guest_start(1);
    vp = fake_vp(0);
    for (unsigned cpl = 0; cpl < 4; cpl++) {
        fake_segment(vp, VP_SS)->attributes = (uint16_t)(cpl << HV_SEGMENT_DPL_SHIFT);
        vp->rflags = 2;
        assert_int_equal(guest_privilege_level(vp), cpl);
        vp->rflags |= RFLAGS_VM;
        assert_int_equal(guest_privilege_level(vp), 3);
    }
    fake_guest_stop();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_plans),
        cmocka_unit_test(test_reads_across_pages),
        cmocka_unit_test(test_code_wraps_at_4_gib),
        cmocka_unit_test(test_kept_code),
        cmocka_unit_test(test_narrow_tables_are_not_kept),
        cmocka_unit_test(test_parents_memory),
        cmocka_unit_test(test_privilege_level),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
