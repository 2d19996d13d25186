/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "arch/x86_64/boot/late_launch.h"
#include "arch/x86_64/boot/acpi.h"
#include "arch/x86_64/boot/firmware.h"
#include "arch/x86_64/boot/hypervisor_image.h"
#include "arch/x86_64/boot/memory.h"
#include "arch/x86_64/cpu/instructions.h"
#include "hv/loam.h"

#define TSC_CALIBRATION_MICROSECONDS 10000
#define TSC_CALIBRATION_OVERHEAD     500 /* microseconds, too */
#define TSC_CALIBRATIONS             4

bool loam_is_running(void)
{
    uint32_t result[4];

    cpuid(LOAM_CPUID_SIGNATURE, 0, result);
    return result[1] == LOAM_SIGNATURE && result[2] == LOAM_SIGNATURE && result[3] == LOAM_SIGNATURE;
}

/* The shortest of several: one that an SMI, or another user of the machine, interrupts lasts too long. */
static uint64_t stall_ticks(unsigned microseconds)
{
    uint64_t shortest = ~0ull;

    for (unsigned i = 0; i < TSC_CALIBRATIONS; i++) {
        uint64_t begin = rdtsc(), ticks;

        firmware_stall(microseconds);
        ticks = rdtsc() - begin;
        if (ticks < shortest)
            shortest = ticks;
    }
    return shortest;
}

/* By the difference of two lengths, in which the call's own time is not. */
static uint64_t tsc_frequency(void)
{
    uint64_t overhead = stall_ticks(TSC_CALIBRATION_OVERHEAD);

    return (stall_ticks(TSC_CALIBRATION_OVERHEAD + TSC_CALIBRATION_MICROSECONDS) - overhead) *
           (1000000 / TSC_CALIBRATION_MICROSECONDS);
}

static unsigned count_processors(bool handed_over)
{
    static uint32_t apic_ids[LOAM_MAXIMUM_PROCESSORS];
    unsigned count = acpi_processors(apic_ids), known = handed_over ? firmware_processors() : 0;

    if (count < known)
        count = known;
    if (count == 0)
        count = 1;
    return count < LOAM_MAXIMUM_PROCESSORS ? count : LOAM_MAXIMUM_PROCESSORS;
}

const char *late_launch(const struct configuration *configuration, struct late_launch *result)
{
    struct launch_context context = {.operation = LAUNCH_INITIALIZE};
    struct boot_information *information;
    const char *problem;

    result->processors = count_processors(configuration->mp_services);
    information = memory_reserve(hypervisor_image(), result->processors, &problem);
    if (!information)
        return problem;
    information->tsc_frequency = tsc_frequency();
    information->log_level = configuration->log_level;
    information->panic_seconds = configuration->panic_seconds;
    information->serial_port = configuration->serial_port;
    information->apic_id_count = acpi_processors(information->apic_ids);
    acpi_reset_register(&information->reset_port, &information->reset_value);

    context.information = information;
    enter_loam(&context, information->low_page + LOW_PAGE_CALL);
    if (context.result != 0) {
        problem = (const char *)hypervisor_image() + context.result;
        memory_release(information);
        return problem;
    }
    result->launched = 1;
    if (configuration->mp_services)
        result->launched += firmware_launch_processors(information);
    context.operation = LAUNCH_PROCESSOR;
    enter_loam(&context, information->low_page + LOW_PAGE_CALL);
    return NULL;
}
