/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "arch/x86_64/boot/efi/loader.h"
#include "arch/x86_64/boot/hypervisor_image.h"

/* Where installed systems put their loaders, most specific first. */
static const CHAR16 *const usual_loaders[] = {
    L"\\EFI\\debian\\shimx64.efi",   L"\\EFI\\debian\\grubx64.efi",  L"\\EFI\\ubuntu\\shimx64.efi",
    L"\\EFI\\ubuntu\\grubx64.efi",   L"\\EFI\\fedora\\shimx64.efi",  L"\\EFI\\redhat\\shimx64.efi",
    L"\\EFI\\rocky\\shimx64.efi",    L"\\EFI\\almalinux\\shimx64.efi", L"\\EFI\\opensuse\\shim.efi",
    L"\\EFI\\opensuse\\grubx64.efi", L"\\EFI\\sles\\shim.efi",       L"\\EFI\\arch\\grubx64.efi",
    L"\\EFI\\systemd\\systemd-bootx64.efi", L"\\EFI\\Microsoft\\Boot\\bootmgfw.efi", L"\\EFI\\BOOT\\BOOTX64.EFI",
};

/* The initrd, for LINUX_EFI_INITRD_MEDIA_GUID (Linux: Documentation/admin-guide/efi-stub.rst). */
static void *initrd;
static UINTN initrd_size;

typedef struct load_file2 LOAD_FILE2;
struct load_file2 {
    EFI_STATUS(EFIAPI *LoadFile)
    (LOAD_FILE2 *self, EFI_DEVICE_PATH *path, BOOLEAN boot_policy, UINTN *size, VOID *buffer);
};

static EFI_STATUS EFIAPI load_initrd(LOAD_FILE2 *self, EFI_DEVICE_PATH *path, BOOLEAN boot_policy, UINTN *size,
                                     VOID *buffer)
{
    (void)self;
    (void)path;
    if (boot_policy)
        return EFI_UNSUPPORTED;
    if (!size)
        return EFI_INVALID_PARAMETER;
    if (!buffer || *size < initrd_size) {
        *size = initrd_size;
        return EFI_BUFFER_TOO_SMALL;
    }
    CopyMem(buffer, initrd, initrd_size);
    *size = initrd_size;
    return EFI_SUCCESS;
}

static BOOLEAN offer_initrd(EFI_HANDLE device, const CHAR16 *path)
{
    static EFI_GUID device_path_guid = DEVICE_PATH_PROTOCOL,
                    load_file2_guid = {0x4006C0C1, 0xFCB3, 0x403E, {0x99, 0x6D, 0x4A, 0x6C, 0x87, 0x24, 0xE0, 0x6D}};
    static struct {
        VENDOR_DEVICE_PATH vendor;
        EFI_DEVICE_PATH end;
    } __attribute__((packed)) media = {
        {{MEDIA_DEVICE_PATH, MEDIA_VENDOR_DP, {sizeof(VENDOR_DEVICE_PATH), 0}},
         {0x5568E427, 0x68FC, 0x4F3D, {0xAC, 0x74, 0xCA, 0x55, 0x52, 0x31, 0xCC, 0x68}}},
        {END_DEVICE_PATH_TYPE, END_ENTIRE_DEVICE_PATH_SUBTYPE, {sizeof(EFI_DEVICE_PATH), 0}},
    };
    static LOAD_FILE2 load_file = {load_initrd};
    EFI_HANDLE handle = NULL;

    initrd = file_read(device, path, &initrd_size);
    return initrd &&
           !EFI_ERROR(BS->InstallProtocolInterface(&handle, &device_path_guid, EFI_NATIVE_INTERFACE, &media)) &&
           !EFI_ERROR(BS->InstallProtocolInterface(&handle, &load_file2_guid, EFI_NATIVE_INTERFACE, &load_file));
}

static BOOLEAN same_path(const EFI_DEVICE_PATH *a, const EFI_DEVICE_PATH *b)
{
    UINTN size = DevicePathSize((EFI_DEVICE_PATH *)a);

    return size == DevicePathSize((EFI_DEVICE_PATH *)b) && CompareMem((void *)a, (void *)b, size) == 0;
}

/* Loam itself, under whatever name: the same file, or a copy of it. */
static BOOLEAN is_loam(const EFI_LOADED_IMAGE *self, const CHAR16 *path)
{
    EFI_DEVICE_PATH *candidate = FileDevicePath(self->DeviceHandle, (CHAR16 *)path);
    EFI_DEVICE_PATH *own = AppendDevicePath(DevicePathFromHandle(self->DeviceHandle), self->FilePath);
    const struct image_header *header = hypervisor_image();
    BOOLEAN same = candidate && own && same_path(candidate, own);
    UINTN size;
    UINT8 *content;

    if (candidate)
        FreePool(candidate);
    if (own)
        FreePool(own);
    if (same)
        return TRUE;
    content = file_read(self->DeviceHandle, path, &size);
    if (!content)
        return FALSE;
    for (UINTN at = 0; !same && at + sizeof *header <= size; at += 16)
        same = CompareMem(content + at, (void *)header, sizeof *header) == 0;
    FreePool(content);
    return same;
}

static const CHAR16 *find_loader(const EFI_LOADED_IMAGE *self)
{
    for (UINTN i = 0; i < sizeof usual_loaders / sizeof usual_loaders[0]; i++)
        if (file_exists(self->DeviceHandle, usual_loaders[i]) && !is_loam(self, usual_loaders[i]))
            return usual_loaders[i];
    return NULL;
}

static void widen(CHAR16 target[CONFIGURATION_TEXT], const char *text)
{
    UINTN i;

    for (i = 0; text[i]; i++)
        target[i] = (unsigned char)text[i];
    target[i] = 0;
}

static EFI_STATUS load(EFI_HANDLE self, EFI_LOADED_IMAGE *image, const CHAR16 *path, EFI_HANDLE *next)
{
    EFI_DEVICE_PATH *device_path = FileDevicePath(image->DeviceHandle, (CHAR16 *)path);
    EFI_STATUS status = BS->LoadImage(FALSE, self, device_path, NULL, 0, next);

    if (device_path)
        FreePool(device_path);
    if (status == EFI_SECURITY_VIOLATION || status == EFI_ACCESS_DENIED)
        SAY(L"Secure Boot does not allow %s (%r): sign it with a key that the firmware trusts, see docs/secure-boot.md",
            path, status);
    else if (status == EFI_NOT_FOUND)
        SAY(L"%s is not on the EFI system partition: correct 'next' in \\EFI\\loam\\loam.conf", path);
    else if (EFI_ERROR(status))
        SAY(L"%s cannot be loaded: %r", path, status);
    return status;
}

EFI_STATUS next_image_start(EFI_HANDLE self, const struct configuration *configuration)
{
    static CHAR16 next_path[CONFIGURATION_TEXT], initrd_path[CONFIGURATION_TEXT], options[CONFIGURATION_TEXT];
    EFI_LOADED_IMAGE *image, *next_image;
    const CHAR16 *path = next_path;
    EFI_HANDLE next;
    EFI_STATUS status;

    BS->HandleProtocol(self, &LoadedImageProtocol, (void **)&image);
    widen(next_path, configuration->next);
    if (!next_path[0])
        path = find_loader(image);
    if (!path) {
        SAY(L"no operating system's loader found on this EFI system partition: name one as 'next' in "
            L"\\EFI\\loam\\loam.conf");
        return EFI_NOT_FOUND;
    }
    if (next_path[0] && is_loam(image, path)) {
        SAY(L"'next' in \\EFI\\loam\\loam.conf names Loam itself (%s): name the operating system's loader", path);
        return EFI_INVALID_PARAMETER;
    }
    status = load(self, image, path, &next);
    if (EFI_ERROR(status))
        return status;
    BS->HandleProtocol(next, &LoadedImageProtocol, (void **)&next_image);
    if (configuration->cmdline[0]) {
        widen(options, configuration->cmdline);
        next_image->LoadOptions = options;
        next_image->LoadOptionsSize = (UINT32)((StrLen(options) + 1) * sizeof(CHAR16));
    }
    if (configuration->initrd[0]) {
        widen(initrd_path, configuration->initrd);
        if (!offer_initrd(image->DeviceHandle, initrd_path))
            SAY(L"initrd %s cannot be read: starting without", initrd_path);
    }
    SAY(L"starting %s", path);
    status = BS->StartImage(next, NULL, NULL);
    SAY(L"%s returned: %r", path, status);
    return status;
}
