/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The other processors, through EFI MP Services (UEFI PI specification vol. 2, 13.4). */
#include "arch/x86_64/boot/efi/loader.h"
#include "arch/x86_64/boot/firmware.h"
#include "arch/x86_64/boot/late_launch.h"

typedef struct mp_services MP_SERVICES;
typedef VOID(EFIAPI *MP_PROCEDURE)(VOID *argument);

struct mp_services {
    EFI_STATUS(EFIAPI *GetNumberOfProcessors)(MP_SERVICES *self, UINTN *total, UINTN *enabled);
    VOID *GetProcessorInfo;
    EFI_STATUS(EFIAPI *StartupAllAPs)
    (MP_SERVICES *self, MP_PROCEDURE procedure, BOOLEAN one_by_one, EFI_EVENT event, UINTN timeout_microseconds,
     VOID *argument, UINTN **failed);
    VOID *StartupThisAP, *SwitchBSP, *EnableDisableAP, *WhoAmI;
};

static EFI_GUID mp_services_guid = {0x3FDDA605, 0xA76E, 0x4F46, {0xAD, 0x29, 0x12, 0xF4, 0x53, 0x1B, 0x3D, 0x08}};

static MP_SERVICES *services;

unsigned firmware_processors(void)
{
    UINTN total, enabled;

    if (EFI_ERROR(LibLocateProtocol(&mp_services_guid, (void **)&services)) ||
        EFI_ERROR(services->GetNumberOfProcessors(services, &total, &enabled)))
        return 0;
    return (unsigned)total;
}

static VOID EFIAPI launch_this_processor(VOID *argument)
{
    struct boot_information *information = argument;
    struct low_page_fields *fields = (void *)(information->low_page + LOW_PAGE_FIELDS);
    struct launch_context context = {.operation = LAUNCH_PROCESSOR, .information = information};

    if (fields->next_index >= fields->processors)
        return;
    context.index = fields->next_index++; /* one by one: nobody else counts now */
    enter_loam(&context, information->low_page + LOW_PAGE_CALL);
}

unsigned firmware_launch_processors(struct boot_information *information)
{
    const struct low_page_fields *fields = (const void *)(information->low_page + LOW_PAGE_FIELDS);
    EFI_STATUS status;

    if (!services)
        return 0;
    status = services->StartupAllAPs(services, launch_this_processor, TRUE, NULL, 0, information, NULL);
    if (EFI_ERROR(status) && status != EFI_NOT_STARTED) /* NOT_STARTED: there is no other processor */
        SAY(L"EFI MP Services: %r; the other processors follow when the operating system starts them", status);
    return fields->next_index - 1;
}
