/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The hypervisor's own beginning: called from the low page, on each processor's own stack, in Loam's page tables. */
#include <string.h>

#include "arch/x86_64/boot/boot_information.h"
#include "arch/x86_64/cpu/arch_lp.h"
#include "arch/x86_64/cpu/child_policy.h"
#include "arch/x86_64/cpu/cpu_features.h"
#include "arch/x86_64/cpu/fault.h"
#include "arch/x86_64/cpu/host_apic.h"
#include "arch/x86_64/cpu/instructions.h"
#include "arch/x86_64/cpu/machine_reset.h"
#include "arch/x86_64/cpu/msr.h"
#include "arch/x86_64/cpu/parent_vp.h"
#include "arch/x86_64/cpu/processor_start.h"
#include "arch/x86_64/mm/physical.h"
#include "drivers/host/uart.h"
#include "kernel/arch.h"
#include "kernel/boot_memory.h"
#include "kernel/frame.h"
#include "kernel/hypercall.h"
#include "kernel/local_apic.h"
#include "kernel/log.h"
#include "kernel/parent_map.h"
#include "kernel/partition.h"
#include "kernel/statistics.h"
#include "kernel/vp.h"

#define CPUID_XSAVE_BIT 26 /* of 1 ECX */
#define APIC_ID_NONE    0xFFFFFFFFu

extern const uint8_t image_begin[], image_end[];
void loam_entry(struct launch_context *context, uint32_t index, enum launch_operation operation);

/* A processor and its parent VP share a page. */
struct processor {
    struct arch_lp lp;
    struct vp parent_vp;
};
_Static_assert(sizeof(struct processor) <= HV_PAGE_SIZE, "one of LOAM_PROCESSOR_PAGES");

static struct processor *processors[LOAM_MAXIMUM_PROCESSORS];
static uint32_t processor_count;      /* atomic: all that have been launched lie below */
static struct boot_information *boot; /* in Loam's own memory */

struct lp *lp_current(void)
{
    struct lp *lp;

    __asm__("mov %%gs:%c1, %0" : "=r"(lp) : "i"(offsetof(struct arch_lp, self)));
    return lp;
}

uint32_t lp_count(void)
{
    return __atomic_load_n(&processor_count, __ATOMIC_ACQUIRE);
}

struct lp *lp_by_index(uint32_t index)
{
    return &processors[index]->lp.lp;
}

uint64_t arch_tsc(void)
{
    return rdtsc();
}

uint64_t arch_tsc_frequency(void)
{
    return boot->tsc_frequency;
}

void arch_pause(void)
{
    cpu_pause();
}

unsigned arch_physical_address_bits(void)
{
    uint32_t result[4];

    cpuid(0x80000008, 0, result);
    return result[0] & 0xFF;
}

/* Whatever the firmware had on; guests have control registers of their own. */
static void host_control_registers(void)
{
    uint32_t result[4];

    cpuid(1, 0, result);
    write_cr0(CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_WP | CR0_PG);
    write_cr4(CR4_PAE | CR4_MCE | CR4_OSFXSR | CR4_OSXMMEXCPT | (result[2] >> CPUID_XSAVE_BIT & 1 ? CR4_OSXSAVE : 0));
}

static void create_processor(uint32_t index)
{
    struct processor *processor = physical_pointer(boot_allocate(1));
    struct vp *vp = &processor->parent_vp;

    processor->lp.lp.index = index;
    processor->lp.lp.apic_id = APIC_ID_NONE;
    processor->lp.lp.parent_vp = vp;
    processor->lp.parent_state = boot_allocate(1);
    processor->lp.host_vmcb = boot_allocate(1);
    processor->lp.host_save = boot_allocate(1);
    for (unsigned i = 0; i < vendor->control_pages; i++)
        vp->control_page[i] = boot_allocate(1);
    vp->control = physical_pointer(vp->control_page[0]);
    hypercall_initialize(&processor->lp.lp);
    processors[index] = processor;
}

/* Returns the bytes that it took. */
static uint64_t create_parent_map(void)
{
    const struct memory_range own[] = {
        {boot->region >> HV_PAGE_SHIFT,   boot->region_size >> HV_PAGE_SHIFT},
        {boot->low_page >> HV_PAGE_SHIFT, 1                                 },
    };

    uint64_t before = boot_memory_used();

    frame_initialize(boot->ranges, boot->range_count);
    parent_map_initialize(boot->ranges, boot->range_count, own, sizeof own / sizeof own[0],
                          arch_physical_address_bits(), vendor->nested.has_1g());
    /* A lone processor has nobody to start: then its APIC needs no watching. */
    if (boot->processors > 1 && !parent_map_protect(rdmsr(MSR_APIC_BASE) & APIC_BASE_ADDRESS))
        log_line("the local APIC's page cannot be watched: processors cannot be restarted");
    return (boot_memory_used() - before) * HV_PAGE_SIZE;
}

/* NULL, or what is missing. Runs in the firmware's environment but for the page tables and the stack. */
static const char *initialize(void)
{
    uint64_t firmware_gs = rdmsr(MSR_GS_BASE);
    uint64_t frames_and_tables;
    const char *problem;

    physical_initialize(boot);
    problem = vendor->unsupported();
    if (problem)
        return problem;
    uart_initialize(boot->serial_port);
    log_initialize(boot->log_level);
    fault_initialize(boot->panic_seconds);
    machine_reset_initialize(boot);
    boot_memory_initialize(boot->free, (boot->region + boot->region_size - boot->free) >> HV_PAGE_SHIFT);
    for (uint32_t i = 0; i < boot->processors; i++)
        create_processor(i);
    wrmsr(MSR_GS_BASE, (uint64_t)processors[0]);
    processors[0]->lp.self = &processors[0]->lp.lp;
    frames_and_tables = create_parent_map();
    host_control_registers();
    child_policy_detect();
    vendor->initialize();
    host_apic_initialize();
    processor_start_initialize(boot);
    partition_initialize();
    parent_partition.map.root = parent_map_root();
    hypervisor_size = (struct hypervisor_size){
        .image = (uint64_t)(image_end - image_begin),
        .reserved = boot->region_size + HV_PAGE_SIZE,
        .tables = frames_and_tables,
    };
    boot_memory_seal();
    log_line("Loam on %s, %u processors, %lu KiB reserved at 0x%lx", vendor->name, boot->processors,
             boot->region_size / 1024, boot->region);
    wrmsr(MSR_GS_BASE, firmware_gs);
    return NULL;
}

static void launch(struct launch_context *context, uint32_t index) __attribute__((noreturn));
static void launch(struct launch_context *context, uint32_t index)
{
    struct processor *processor = processors[index];
    uint32_t count = lp_count();

    uint64_t fs_base = rdmsr(MSR_FS_BASE), gs_base = rdmsr(MSR_GS_BASE); /* the firmware's */

    host_control_registers();
    processor->lp.lp.apic_id = host_apic_id();
    fault_load_descriptors(&processor->lp);
    vendor->enable(&processor->lp.lp);
    parent_vp_create(&processor->lp.lp, context, fs_base, gs_base);
    while (count < index + 1 &&
           !__atomic_compare_exchange_n(&processor_count, &count, index + 1, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
        ;
    processor_start_arrived();
    log_line("processor %u (APIC id %u) entered%s", index, processor->lp.lp.apic_id,
             context ? "" : " at its first SIPI");
    parent_vp_run(processor->lp.lp.parent_vp);
}

void loam_entry(struct launch_context *context, uint32_t index, enum launch_operation operation)
{
    const char *problem;

    /* The context lies in the firmware's memory, which Loam sees through its direct map. */
    if (context)
        context = physical_pointer((uintptr_t)context);
    if (operation != LAUNCH_INITIALIZE)
        launch(context, index);
    boot = physical_pointer((uintptr_t)context->information);
    problem = initialize();
    context->result = problem ? (uint32_t)((uintptr_t)problem - LOAM_IMAGE_BASE) : 0;
}
