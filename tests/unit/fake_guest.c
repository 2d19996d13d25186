/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <cpuid.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arch/x86_64/cpu/arch_lp.h"
#include "arch/x86_64/cpu/instructions.h"
#include "kernel/frame.h"
#include "kernel/log.h"
#include "kernel/shoot_down.h"
#include "arch/x86_64/mm/physical.h"
#include "tests/unit/fake_guest.h"

uint8_t fake_arena[FAKE_ARENA_PAGES * HV_PAGE_SIZE] __attribute__((aligned(HV_PAGE_SIZE)));
struct fake_page fake_pages[FAKE_GUEST_PAGES];
bool fake_dirty[FAKE_GUEST_PAGES];
struct partition fake_partition;
uint64_t fake_tsc;
unsigned fake_address_bits;
unsigned fake_kicks[FAKE_LPS];
int fake_guest_memory_depth;
unsigned fake_nested_lookups;
uint64_t fake_xcr0;
unsigned fake_xsetbvs;
uint64_t fake_debug_registers[8];
unsigned fake_verws;

/* What stands for the control block. */
struct fake_control {
    uint64_t registers[VP_REGISTER_COUNT];
    struct hv_x64_segment_register segments[VP_SEGMENT_COUNT];
};

static struct vp *vps[HV_MAXIMUM_VPS];
static struct arch_lp lps[FAKE_LPS];
static unsigned current_lp;

/* Pages of the arena below FAKE_GUEST_SPA: VPs' extended state, then one for each LP. */
#define VP_STATE_SPA(index) ((uint64_t)(index)*HV_PAGE_SIZE % FAKE_GUEST_SPA)
#define LP_STATE_SPA(lp)    (FAKE_GUEST_SPA + (FAKE_GUEST_PAGES + (uint64_t)(lp)) * HV_PAGE_SIZE)

/* --- vendor --- */

static struct fake_control *control(const struct vp *vp)
{
    return vp->control;
}

static uint64_t get(const struct vp *vp, enum vp_register name)
{
    return control(vp)->registers[name];
}

static void set(struct vp *vp, enum vp_register name, uint64_t value)
{
    control(vp)->registers[name] = value;
}

static void get_segment(const struct vp *vp, enum vp_segment name, struct hv_x64_segment_register *value)
{
    *value = control(vp)->segments[name];
}

static void set_segment(struct vp *vp, enum vp_segment name, const struct hv_x64_segment_register *value)
{
    control(vp)->segments[name] = *value;
}

static void get_code(const struct vp *vp, struct vp_code *code)
{
    code->cr0 = get(vp, VP_CR0);
    code->cr3 = get(vp, VP_CR3);
    code->cr4 = get(vp, VP_CR4);
    code->efer = get(vp, VP_EFER);
    get_segment(vp, VP_CS, &code->cs);
}

static bool code_is(const struct vp *vp, const struct vp_code *code)
{
    struct vp_code now;
    get_code(vp, &now);
    return now.cr0 == code->cr0 && now.cr3 == code->cr3 && now.cr4 == code->cr4 && now.efer == code->efer &&
           now.cs.base == code->cs.base && now.cs.limit == code->cs.limit &&
           now.cs.attributes == code->cs.attributes;
}

static void end_interrupt_shadow(struct vp *vp)
{
    set(vp, VP_INTERRUPT_SHADOW, 0);
}

static const struct vendor fake_vendor = {
    .name = "fake",
    .cpuid = cpuid,
    .get = get,
    .set = set,
    .get_segment = get_segment,
    .set_segment = set_segment,
    .get_code = get_code,
    .code_is = code_is,
    .end_interrupt_shadow = end_interrupt_shadow,
};
const struct vendor *vendor = &fake_vendor;

uint64_t *fake_register(struct vp *vp, enum vp_register name)
{
    return &control(vp)->registers[name];
}

struct hv_x64_segment_register *fake_segment(struct vp *vp, enum vp_segment name)
{
    return &control(vp)->segments[name];
}

/* --- partition and processors --- */

void fake_guest_start(unsigned count)
{
    memset(fake_arena, 0, sizeof(fake_arena));
    memset(&fake_partition, 0, sizeof(fake_partition));
    memset(fake_kicks, 0, sizeof(fake_kicks));
    memset(fake_dirty, 0, sizeof(fake_dirty));
    for (unsigned i = 0; i < FAKE_GUEST_PAGES; i++)
        fake_pages[i] =
            (struct fake_page){.spa = FAKE_GUEST_SPA + i * HV_PAGE_SIZE,
                               .access = HV_MAP_GPA_READABLE | HV_MAP_GPA_WRITABLE | HV_MAP_GPA_EXECUTABLE};
    fake_tsc = 1000;
    fake_address_bits = 40;
    fake_guest_memory_depth = 0;
    fake_nested_lookups = 0;
    current_lp = 0;
    fake_partition.vps = vps;
    fake_partition.vp_count = count;
    for (unsigned i = 0; i < FAKE_LPS; i++) {
        lps[i].lp.index = i;
        lps[i].parent_state = LP_STATE_SPA(i);
    }
    for (unsigned i = 0; i < count; i++) {
        struct vp *vp = calloc(1, sizeof(*vp));
        vp->control = calloc(1, sizeof(struct fake_control));
        vp->partition = &fake_partition;
        vp->index = i;
        vp->extended_state = physical_pointer(VP_STATE_SPA(i));
        local_apic_initialize(&vp->apic, i, true, true);
        vps[i] = vp;
    }
}

void fake_guest_stop(void)
{
    for (unsigned i = 0; i < HV_MAXIMUM_VPS; i++) {
        if (vps[i] != NULL)
            free(vps[i]->control);
        free(vps[i]);
        vps[i] = NULL;
    }
}

struct vp *fake_vp(unsigned index)
{
    return vps[index];
}

struct vp *partition_vp(struct partition *partition, uint32_t index)
{
    return index < HV_MAXIMUM_VPS ? partition->vps[index] : NULL;
}

void fake_become(unsigned lp)
{
    current_lp = lp;
}

struct lp *lp_current(void)
{
    return &lps[current_lp].lp;
}

void lp_kick(uint32_t lp_index)
{
    fake_kicks[lp_index]++;
}

void lp_poll(void)
{
}

void arch_pause(void)
{
}

uint64_t arch_tsc(void)
{
    return fake_tsc;
}

uint64_t arch_tsc_frequency(void)
{
    return 1000000000;
}

unsigned arch_physical_address_bits(void)
{
    return fake_address_bits;
}

void panic(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    abort();
}

/* --- memory --- */

struct frame *fake_frame;

struct frame *frame_find(uint64_t pfn)
{
    (void)pfn;
    return fake_frame;
}

bool physical_is_memory(uint64_t spa)
{
    return spa < sizeof(fake_arena);
}

void *physical_pointer(uint64_t spa)
{
    if (spa >= sizeof(fake_arena))
        panic("no memory at %llx", (unsigned long long)spa);
    return fake_arena + spa;
}

uint8_t *fake_gpa(uint64_t gpa)
{
    return physical_pointer(fake_pages[gpa >> HV_PAGE_SHIFT].spa + gpa % HV_PAGE_SIZE);
}

bool nested_lookup(const struct nested_table *table, uint64_t gpa, struct nested_translation *translation)
{
    (void)table;
    if (fake_guest_memory_depth != 1)
        panic("guest memory is used outside guest_memory_begin and _end");
    fake_nested_lookups++;
    *translation = (struct nested_translation){.page_shift = HV_PAGE_SHIFT};
    if (gpa >> HV_PAGE_SHIFT >= FAKE_GUEST_PAGES)
        return false;
    const struct fake_page *page = &fake_pages[gpa >> HV_PAGE_SHIFT];
    translation->access = page->access;
    translation->no_access = page->no_access;
    if (page->access != 0)
        translation->spa = page->spa + gpa % HV_PAGE_SIZE;
    return page->access != 0 || page->no_access;
}

void nested_set_dirty(const struct nested_table *table, uint64_t gpa)
{
    (void)table;
    fake_dirty[gpa >> HV_PAGE_SHIFT] = true;
}

struct vp *guest_memory_begin(struct vp *vp)
{
    fake_guest_memory_depth++;
    return vp;
}

void guest_memory_end(struct vp *before)
{
    (void)before;
    fake_guest_memory_depth--;
}

/* --- the machine's processor --- */

static struct {
    uint32_t leaf, subleaf, result[4];
} leaves[128];
static unsigned leaf_count;

void fake_cpuid_clear(void)
{
    leaf_count = 0;
}

void fake_cpuid_set(uint32_t leaf, uint32_t subleaf, uint32_t eax, uint32_t ebx, uint32_t ecx, uint32_t edx)
{
    unsigned i = 0;
    while (i < leaf_count && (leaves[i].leaf != leaf || leaves[i].subleaf != subleaf))
        i++;
    if (i == sizeof(leaves) / sizeof(leaves[0]))
        panic("too many CPUID leaves");
    if (i == leaf_count)
        leaf_count++;
    leaves[i].leaf = leaf;
    leaves[i].subleaf = subleaf;
    leaves[i].result[0] = eax;
    leaves[i].result[1] = ebx;
    leaves[i].result[2] = ecx;
    leaves[i].result[3] = edx;
}

void fake_cpuid_copy_host(void)
{
    static const uint32_t names[] = {0,   1,          2,          5,          6,          7,
                                     0xD, 0x80000000, 0x80000001, 0x80000007, 0x80000008, 0x80000021};
    fake_cpuid_clear();
    for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        for (uint32_t subleaf = 0; subleaf < (names[i] == 0xD ? 64u : names[i] == 7 ? 3u : 1u); subleaf++) {
            uint32_t eax, ebx, ecx, edx;
            __cpuid_count(names[i], subleaf, eax, ebx, ecx, edx);
            if ((eax | ebx | ecx | edx) != 0)
                fake_cpuid_set(names[i], subleaf, eax, ebx, ecx, edx);
        }
}

void cpuid(uint32_t leaf, uint32_t subleaf, uint32_t result[4])
{
    memset(result, 0, 4 * sizeof(result[0]));
    for (unsigned i = 0; i < leaf_count; i++)
        if (leaves[i].leaf == leaf && leaves[i].subleaf == subleaf)
            memcpy(result, leaves[i].result, sizeof(leaves[i].result));
}

static struct {
    uint32_t msr;
    unsigned writes;
    uint64_t value;
} msrs[FAKE_MSRS];
static unsigned msr_count;

void fake_msr_clear(void)
{
    msr_count = 0;
}

static unsigned find_msr(uint32_t msr)
{
    unsigned i = 0;
    while (i < msr_count && msrs[i].msr != msr)
        i++;
    return i;
}

void fake_msr_set(uint32_t msr, uint64_t value)
{
    unsigned i = find_msr(msr);
    if (i == FAKE_MSRS)
        panic("too many MSRs");
    if (i == msr_count) {
        msr_count++;
        msrs[i].writes = 0;
    }
    msrs[i].msr = msr;
    msrs[i].value = value;
}

bool rdmsr_safe(uint32_t msr, uint64_t *value)
{
    unsigned i = find_msr(msr);
    if (i == msr_count)
        return false;
    *value = msrs[i].value;
    return true;
}

bool wrmsr_safe(uint32_t msr, uint64_t value)
{
    unsigned i = find_msr(msr);
    if (i == msr_count)
        return false;
    msrs[i].value = value;
    msrs[i].writes++;
    return true;
}

uint64_t rdmsr(uint32_t msr)
{
    uint64_t value = 0;
    if (!rdmsr_safe(msr, &value))
        panic("RDMSR %x would fault", msr);
    return value;
}

void wrmsr(uint32_t msr, uint64_t value)
{
    if (!wrmsr_safe(msr, value))
        panic("WRMSR %x would fault", msr);
}

uint64_t fake_msr_get(uint32_t msr)
{
    return rdmsr(msr);
}

unsigned fake_msr_writes(uint32_t msr)
{
    return msrs[find_msr(msr)].writes;
}

uint64_t rdtsc(void)
{
    return fake_tsc;
}

uint64_t xgetbv(uint32_t number)
{
    (void)number;
    return fake_xcr0;
}

void xsetbv(uint32_t number, uint64_t value)
{
    (void)number;
    fake_xcr0 = value;
    fake_xsetbvs++;
}

uint64_t read_debug_register(unsigned number)
{
    return fake_debug_registers[number];
}

void write_debug_register(unsigned number, uint64_t value)
{
    fake_debug_registers[number] = value;
}

void verw(const uint16_t *selector)
{
    if (*selector != SELECTOR_DATA) /* VERW of any other clears nothing */
        panic("VERW of %x", *selector);
    fake_verws++;
}

struct lp_extended_state *fake_lp_state(unsigned lp)
{
    return physical_pointer(LP_STATE_SPA(lp));
}
