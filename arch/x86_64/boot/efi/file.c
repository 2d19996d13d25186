/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "arch/x86_64/boot/efi/loader.h"

static EFI_FILE_HANDLE file_open(EFI_HANDLE device, const CHAR16 *path)
{
    EFI_FILE_IO_INTERFACE *volume;
    EFI_FILE_HANDLE root, file;
    EFI_STATUS status;

    if (EFI_ERROR(BS->HandleProtocol(device, &FileSystemProtocol, (void **)&volume)) ||
        EFI_ERROR(volume->OpenVolume(volume, &root)))
        return NULL;
    status = root->Open(root, &file, (CHAR16 *)path, EFI_FILE_MODE_READ, 0);
    root->Close(root);
    return EFI_ERROR(status) ? NULL : file;
}

BOOLEAN file_exists(EFI_HANDLE device, const CHAR16 *path)
{
    EFI_FILE_HANDLE file = file_open(device, path);

    if (!file)
        return FALSE;
    file->Close(file);
    return TRUE;
}

void *file_read(EFI_HANDLE device, const CHAR16 *path, UINTN *size)
{
    EFI_FILE_HANDLE file = file_open(device, path);
    EFI_FILE_INFO *info;
    void *content = NULL;

    if (!file)
        return NULL;
    info = LibFileInfo(file);
    if (info) {
        *size = info->FileSize;
        FreePool(info);
        content = AllocatePool(*size + 1);
        if (content && EFI_ERROR(file->Read(file, size, content))) {
            FreePool(content);
            content = NULL;
        }
    }
    file->Close(file);
    return content;
}
