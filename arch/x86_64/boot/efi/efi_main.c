/* SPDX-License-Identifier: GPL-2.0-or-later */
/* loam.efi: puts the hypervisor beneath the running firmware, then starts the operating system's loader. */
#include "arch/x86_64/boot/efi/loader.h"
#include "arch/x86_64/boot/late_launch.h"

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

static void launch(const struct configuration *configuration)
{
    struct late_launch result;
    const char *problem;

    if (loam_is_running()) {
        SAY(L"already running on this machine");
        return;
    }
    problem = late_launch(configuration, &result);
    if (problem)
        SAY(L"%a; starting without the hypervisor", problem);
    else
        SAY(L"running beneath the firmware on %d of %d processors", result.launched, result.processors);
}

EFI_STATUS efi_main(EFI_HANDLE self, EFI_SYSTEM_TABLE *table);
EFI_STATUS efi_main(EFI_HANDLE self, EFI_SYSTEM_TABLE *table)
{
    static struct configuration configuration;

    InitializeLib(self, table);
    read_configuration(self, &configuration);
    launch(&configuration);
    return next_image_start(self, &configuration);
}
