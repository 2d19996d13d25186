/* SPDX-License-Identifier: GPL-2.0-or-later */
/* loam.efi: puts the hypervisor beneath the running firmware, then starts the operating system's loader. */
#include "arch/x86_64/boot/loader.h"
#include "arch/x86_64/cpu/instructions.h"
#include "hv/loam.h"

#define TSC_CALIBRATION_MICROSECONDS 10000
#define TSC_CALIBRATION_OVERHEAD 500 /* microseconds, too */
#define TSC_CALIBRATIONS 4

BOOLEAN loam_is_running(void)
{
    uint32_t result[4];

    cpuid(LOAM_CPUID_SIGNATURE, 0, result);
    return result[1] == LOAM_SIGNATURE && result[2] == LOAM_SIGNATURE && result[3] == LOAM_SIGNATURE;
}

static void report_mistake(void *context, unsigned line, const char *problem)
{
    (void)context;
    SAY(L"%a line %d: %a", CONFIGURATION_PATH, line, problem);
}

static void read_configuration(EFI_HANDLE self, struct configuration *configuration)
{
    EFI_LOADED_IMAGE *image;
    UINTN size;
    char *text;

    configuration_defaults(configuration);
    BS->HandleProtocol(self, &LoadedImageProtocol, (void **)&image);
    text = file_read(image->DeviceHandle, L"\\EFI\\loam\\loam.conf", &size);
    if (!text)
        return;
    configuration_parse(configuration, text, size, report_mistake, NULL);
    FreePool(text);
}

/* The shortest of several: one that an SMI, or another user of the machine, interrupts lasts too long. */
static uint64_t stall_ticks(UINTN microseconds)
{
    uint64_t shortest = ~0ull;

    for (unsigned i = 0; i < TSC_CALIBRATIONS; i++) {
        uint64_t begin = rdtsc(), ticks;

        BS->Stall(microseconds);
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

/* FALSE: the reason has been printed, and nothing changed. */
static BOOLEAN launch(const struct configuration *configuration)
{
    struct launch_context context = {.operation = LAUNCH_INITIALIZE};
    struct boot_information *information;
    const CHAR16 *problem;
    unsigned processors = processors_count(configuration->mp_services), launched;

    information = memory_reserve(processors, &problem);
    if (!information) {
        SAY(L"%s; starting without the hypervisor", problem);
        return FALSE;
    }
    information->tsc_frequency = tsc_frequency();
    information->log_level = configuration->log_level;
    information->panic_seconds = configuration->panic_seconds;
    information->serial_port = configuration->serial_port;
    information->apic_id_count = acpi_processors(information->apic_ids);
    acpi_reset_register(&information->reset_port, &information->reset_value);

    context.information = information;
    enter_loam(&context, information->low_page + LOW_PAGE_CALL);
    if (context.result != 0) {
        SAY(L"%a; starting without the hypervisor", (char *)(information->region + context.result));
        memory_release(information);
        return FALSE;
    }
    launched = processors_launch(information);
    context.operation = LAUNCH_PROCESSOR;
    enter_loam(&context, information->low_page + LOW_PAGE_CALL);
    SAY(L"running beneath the firmware on %d of %d processors", launched + 1, processors);
    return TRUE;
}

EFI_STATUS efi_main(EFI_HANDLE self, EFI_SYSTEM_TABLE *table);
EFI_STATUS efi_main(EFI_HANDLE self, EFI_SYSTEM_TABLE *table)
{
    static struct configuration configuration;

    InitializeLib(self, table);
    read_configuration(self, &configuration);
    if (loam_is_running())
        SAY(L"already running on this machine");
    else
        launch(&configuration);
    return next_image_start(self, &configuration);
}
