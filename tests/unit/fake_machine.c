/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "kernel/frame.h"
#include "kernel/hypercall.h"
#include "kernel/log.h"
#include "kernel/nested_table.h"
#include "kernel/parent_map.h"
#include "kernel/partition.h"
#include "kernel/shoot_down.h"
#include "tests/unit/fake_machine.h"

#define ENTRY_PRESENT  1ull
#define ENTRY_WRITABLE 2ull
#define ENTRY_TYPE_SHIFT 3
#define ENTRY_LARGE    0x80ull
#define ENTRY_NO_EXEC  (1ull << 63)

const struct memory_range fake_ram[2] = {
    {0,     0x9F                            },
    {0x100, (FAKE_MEMORY_SIZE >> 12) - 0x100}
};

void (*fake_guest)(struct vp *vp, struct vp_exit *exit);
void (*fake_kick)(uint32_t lp_index);
void (*fake_elsewhere)(void);
void (*fake_meanwhile)(void);
_Thread_local struct fake_vendor_record fake_vendor_record;
_Thread_local uint64_t fake_interrupted_event;
uint64_t fake_tsc;
_Thread_local bool fake_nmi_is_kick;
_Thread_local int fake_extended_state_entered;

static uint8_t *memory;
static struct lp lps[FAKE_LP_MAXIMUM];
static struct vp parent_vps[FAKE_LP_MAXIMUM];
static unsigned count_of_lps;
static _Thread_local unsigned current;

void *physical_pointer(uint64_t spa)
{
    if (spa >= FAKE_MEMORY_SIZE)
        panic("no memory at %llx", (unsigned long long)spa);
    return memory + spa;
}

uint64_t physical_address(const void *pointer)
{
    return (uint64_t)((const uint8_t *)pointer - memory);
}

uint64_t arch_tsc(void)
{
    return __atomic_add_fetch(&fake_tsc, FAKE_TSC_STEP, __ATOMIC_RELAXED);
}

uint64_t arch_tsc_frequency(void)
{
    return FAKE_TSC_FREQUENCY;
}

unsigned arch_physical_address_bits(void)
{
    return FAKE_ADDRESS_BITS;
}

void arch_pause(void)
{
    if (fake_elsewhere)
        fake_elsewhere();
}

void lp_kick(uint32_t lp_index)
{
    if (fake_kick)
        fake_kick(lp_index);
}

void lp_poll(void)
{
}

struct lp *lp_current(void)
{
    void (*meanwhile)(void) = fake_meanwhile;

    if (meanwhile) {
        fake_meanwhile = NULL;
        meanwhile();
    }
    return &lps[current];
}

uint32_t lp_count(void)
{
    return count_of_lps;
}

struct lp *lp_by_index(uint32_t index)
{
    return &lps[index];
}

void fake_machine_become(unsigned lp)
{
    current = lp;
}

void log_line(const char *format, ...)
{
    (void)format;
}

void log_limited(const char *format, ...)
{
    (void)format;
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

/* The fake nested format: like the hardware's, with bits 3 to 5 for the memory type. */
static uint64_t format_leaf(uint64_t spa, uint32_t access, bool large, enum memory_type type)
{
    return spa | ENTRY_PRESENT | (access & HV_MAP_GPA_WRITABLE ? ENTRY_WRITABLE : 0) |
           (access & HV_MAP_GPA_EXECUTABLE ? 0 : ENTRY_NO_EXEC) | (large ? ENTRY_LARGE : 0) |
           (uint64_t)type << ENTRY_TYPE_SHIFT;
}

static uint64_t format_table(uint64_t spa)
{
    return spa | ENTRY_PRESENT | ENTRY_WRITABLE;
}

static uint32_t format_access(uint64_t entry)
{
    if (!(entry & ENTRY_PRESENT))
        return 0;
    return HV_MAP_GPA_READABLE | (entry & ENTRY_WRITABLE ? HV_MAP_GPA_WRITABLE : 0) |
           (entry & ENTRY_NO_EXEC ? 0 : HV_MAP_GPA_EXECUTABLE);
}

bool fake_large_execute, fake_sets_accessed;

static bool format_large_execute(void)
{
    return fake_large_execute;
}

static bool format_sets_accessed(void)
{
    return fake_sets_accessed;
}

enum memory_type (*fake_memory_type)(uint64_t spa);
uint64_t fake_types_first, fake_types_end;

static enum memory_type format_type(uint64_t spa, uint64_t size)
{
    enum memory_type type = fake_memory_type ? fake_memory_type(spa) : MEMORY_WRITE_BACK;

    if (fake_memory_type)
        for (uint64_t at = spa; at < spa + size && at < FAKE_TYPES_END; at += HV_PAGE_SIZE)
            if (fake_memory_type(at) != type)
                return MEMORY_MIXED;
    return type;
}

static bool format_load_types(uint64_t *first, uint64_t *end)
{
    *first = fake_types_first;
    *end = fake_types_end;
    return fake_types_first < fake_types_end;
}

/* The fake control block. */
struct control {
    uint64_t registers[VP_REGISTER_COUNT];
    struct hv_x64_segment_register segments[VP_SEGMENT_COUNT];
    uint64_t nested_root;
    uint64_t injected;
    bool window;
};

static void vendor_initialize(struct vp *vp)
{
    memset(vp->control, 0, sizeof(struct control));
}

static void vendor_run(struct vp *vp, struct vp_exit *exit)
{
    struct control *control = vp->control;

    fake_vendor_record.runs++;
    if (__atomic_load_n(&lp_current()->running, __ATOMIC_SEQ_CST) != vp)
        panic("a VP is entered that is not announced");
    if (fake_vendor_record.child != vp)
        panic("a child is entered without its registers");
    fake_vendor_record.flushes += shoot_down_entry(vp);
    fake_vendor_record.injected = control->injected;
    fake_vendor_record.window = control->window;
    control->injected = 0;
    memset(exit, 0, sizeof(*exit));
    if (fake_guest)
        fake_guest(vp, exit);
    else
        exit->reason = LOAM_EXIT_EXTERNAL_INTERRUPT;
}

static uint64_t vendor_get(const struct vp *vp, enum vp_register name)
{
    return ((const struct control *)vp->control)->registers[name];
}

static void vendor_set(struct vp *vp, enum vp_register name, uint64_t value)
{
    ((struct control *)vp->control)->registers[name] = value;
}

static void vendor_get_segment(const struct vp *vp, enum vp_segment name,
                               struct hv_x64_segment_register *value)
{
    *value = ((const struct control *)vp->control)->segments[name];
}

static void vendor_set_segment(struct vp *vp, enum vp_segment name,
                               const struct hv_x64_segment_register *value)
{
    ((struct control *)vp->control)->segments[name] = *value;
}

static void vendor_get_special(const struct vp *vp, struct hv_vp_register_page *page)
{
    memcpy(page->segment, ((const struct control *)vp->control)->segments, sizeof(page->segment));
    page->cr0 = vendor_get(vp, VP_CR0);
    page->cr3 = vendor_get(vp, VP_CR3);
    page->cr4 = vendor_get(vp, VP_CR4);
    page->efer = vendor_get(vp, VP_EFER);
    page->dr7 = vendor_get(vp, VP_DR7);
    page->interrupt_state = (vendor_get(vp, VP_INTERRUPT_SHADOW) ? HV_INTERRUPT_STATE_SHADOW : 0) |
                            (vendor_get(vp, VP_NMI_MASKED) ? HV_INTERRUPT_STATE_NMI_MASKED : 0);
}

static uint16_t vendor_get_execution(const struct vp *vp, struct hv_x64_segment_register *cs)
{
    const struct control *control = vp->control;

    *cs = control->segments[VP_CS];
    return (uint16_t)((control->segments[VP_SS].attributes >> HV_SEGMENT_DPL_SHIFT & HV_EXECUTION_CPL_MASK) |
                      (vendor_get(vp, VP_CR0) & 1 ? HV_EXECUTION_CR0_PE : 0) |
                      (vendor_get(vp, VP_CR0) & 0x40000 ? HV_EXECUTION_CR0_AM : 0) |
                      (vendor_get(vp, VP_EFER) & 0x400 ? HV_EXECUTION_EFER_LMA : 0) |
                      (vendor_get(vp, VP_INTERRUPT_SHADOW) ? HV_EXECUTION_INTERRUPT_SHADOW : 0));
}

static void vendor_get_code(const struct vp *vp, struct vp_code *code)
{
    code->cr0 = vendor_get(vp, VP_CR0);
    code->cr3 = vendor_get(vp, VP_CR3);
    code->cr4 = vendor_get(vp, VP_CR4);
    code->efer = vendor_get(vp, VP_EFER);
    vendor_get_segment(vp, VP_CS, &code->cs);
}

static void vendor_inject(struct vp *vp, uint64_t event)
{
    ((struct control *)vp->control)->injected = event;
}

static uint64_t vendor_interrupted_event(const struct vp *vp)
{
    uint64_t event = fake_interrupted_event;

    (void)vp;
    fake_interrupted_event = 0;
    return event;
}

static void vendor_interrupt_window(struct vp *vp, bool wanted)
{
    ((struct control *)vp->control)->window = wanted;
}

static void vendor_set_nested_root(struct vp *vp, uint64_t spa)
{
    ((struct control *)vp->control)->nested_root = spa;
}

/* What no entry loads belongs to the parent again before anything but the hypervisor runs. */
static void vendor_switch_registers(struct vp *from, struct vp *to)
{
    if ((from->is_parent ? NULL : from) != fake_vendor_record.child || from->is_parent == to->is_parent)
        panic("registers are switched from a VP that has not got them");
    fake_vendor_record.child = to->is_parent ? NULL : to;
}

static void vendor_release(struct vp *vp)
{
    if (fake_vendor_record.child == vp)
        panic("a VP is given back with its registers in the processor");
}

static const struct vendor fake_vendor = {
    .name = "fake",
    .control_pages = 1,
    .vp_initialize = vendor_initialize,
    .release = vendor_release,
    .switch_registers = vendor_switch_registers,
    .run = vendor_run,
    .get = vendor_get,
    .set = vendor_set,
    .get_segment = vendor_get_segment,
    .set_segment = vendor_set_segment,
    .get_special = vendor_get_special,
    .get_execution = vendor_get_execution,
    .get_code = vendor_get_code,
    .inject = vendor_inject,
    .interrupted_event = vendor_interrupted_event,
    .interrupt_window = vendor_interrupt_window,
    .set_nested_root = vendor_set_nested_root,
    .nested = {.leaf = format_leaf,
               .table = format_table,
               .access = format_access,
               .large = ENTRY_LARGE,
               .large_execute = format_large_execute,
               .accessed_shift = FAKE_ACCESSED_SHIFT,
               .sets_accessed = format_sets_accessed,
               .type = format_type,
               .load_types = format_load_types},
};
const struct vendor *vendor = &fake_vendor;

static uint64_t *parent_leaf(uint64_t gpa, unsigned *shift)
{
    uint64_t *table = physical_pointer(parent_map_root());

    for (*shift = 39;; *shift -= 9) {
        uint64_t *entry = &table[(gpa >> *shift) % 512];

        if (!(*entry & ENTRY_PRESENT) || *shift == 12 || (*entry & ENTRY_LARGE))
            return entry;
        table = physical_pointer(*entry & NESTED_ADDRESS_MASK);
    }
}

enum memory_type fake_parent_type(uint64_t gpa, unsigned *shift)
{
    return *parent_leaf(gpa, shift) >> ENTRY_TYPE_SHIFT & 7;
}

bool fake_parent_translate(uint64_t gpa, uint64_t *spa, bool *writable)
{
    unsigned shift;
    uint64_t entry = *parent_leaf(gpa, &shift);
    uint64_t mask = (1ull << shift) - 1;

    *spa = (entry & NESTED_ADDRESS_MASK & ~mask) | (gpa & mask);
    *writable = entry & ENTRY_WRITABLE;
    return entry & ENTRY_PRESENT;
}

uint64_t *fake_parent_map_copy(size_t *count)
{
    uint64_t *copy = calloc(FAKE_MEMORY_SIZE >> 12, 2 * sizeof(*copy));
    unsigned shift;

    *count = 0;
    for (uint64_t gpa = 0; gpa < FAKE_MEMORY_SIZE; gpa += 1ull << shift) {
        copy[(*count)++] = *parent_leaf(gpa, &shift);
        copy[(*count)++] = shift;
    }
    return copy;
}

void fake_machine_start(unsigned lp_total, bool has_1g_pages)
{
    const struct memory_range own = {FAKE_OWN_PFN, FAKE_OWN_PAGES};
    uint64_t needed = boot_memory_needed(fake_ram, 2, FAKE_ADDRESS_BITS) - (has_1g_pages ? PARENT_MAP_POOL_PAGES : 0);

    memory = mmap(NULL, FAKE_MEMORY_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                  -1, 0);
    if (memory == MAP_FAILED)
        panic("no memory for the fake machine");
    memset(lps, 0, sizeof(lps));
    memset(&fake_vendor_record, 0, sizeof(fake_vendor_record));
    fake_guest = NULL;
    fake_kick = NULL;
    fake_elsewhere = NULL;
    fake_meanwhile = NULL;
    fake_interrupted_event = 0;
    fake_tsc = 1000;
    fake_large_execute = true;
    fake_sets_accessed = true;
    fake_nmi_is_kick = false;
    fake_extended_state_entered = 0;
    count_of_lps = lp_total;
    current = 0;
    boot_memory_initialize(FAKE_OWN_PFN << 12, needed + 2 * lp_total);
    frame_initialize(fake_ram, 2);
    parent_map_initialize(fake_ram, 2, &own, 1, FAKE_ADDRESS_BITS, has_1g_pages);
    partition_initialize();
    memset(parent_vps, 0, sizeof(parent_vps));
    for (unsigned i = 0; i < lp_total; i++) {
        lps[i].index = i;
        lps[i].parent_vp = &parent_vps[i];
        parent_vps[i].index = i;
        parent_vps[i].is_parent = true;
        parent_vps[i].partition = &parent_partition;
        hypercall_initialize(&lps[i]);
    }
    boot_memory_seal();
}

void fake_machine_stop(void)
{
    munmap(memory, FAKE_MEMORY_SIZE);
    memory = NULL;
}
