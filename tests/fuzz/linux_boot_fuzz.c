/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Starting Linux from files that anybody may have made. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "partitions/root/worker/linux_boot.h"

#define MEMORY_SIZE (32u << 20)
#define HEADER_SIZE 0x280u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A header that is right, over which the input is laid, so that not every run ends at the magic number. */
static void make_header(uint8_t header[HEADER_SIZE])
{
    memset(header, 0, HEADER_SIZE);
    header[0x1F1] = 1;
    header[0x1F4] = 16;
    memcpy(header + 0x1FE,
           "\x55\xAA\xEB\x6C"
           "HdrS\x0F\x02",
           10);
    header[0x211] = 1;
    memcpy(header + 0x22C, &(uint32_t){0x7FFFFFFF}, 4);
    memcpy(header + 0x230, &(uint32_t){0x200000}, 4);
    header[0x234] = 1;
    header[0x236] = 1;
    memcpy(header + 0x238, &(uint32_t){255}, 4);
    memcpy(header + 0x258, &(uint64_t){0x1000000}, 8);
    memcpy(header + 0x260, &(uint32_t){0x8000}, 4);
}

/* data: a byte that says how, then pairs of (offset from 1F1h, value) for the header, then what follows it.
 */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t *host;
    static int kernel = -1, initrd = -1;
    uint8_t header[HEADER_SIZE];
    struct guest_memory memory = {0};
    struct linux_boot boot = {.kernel_name = "kernel",
                              .initrd_name = "initrd",
                              .command_line = "console=ttyS0",
                              .memory = &memory,
                              .below_4g = MEMORY_SIZE,
                              .acpi_tables = 0xE0000,
                              .acpi_length = 0x1000};
    struct linux_entry entry;
    char error[LINUX_BOOT_ERROR_SIZE];
    size_t used = 1;

    if (size < 1)
        return 0;
    if (!host) {
        host = calloc(1, MEMORY_SIZE);
        kernel = memfd_create("kernel", MFD_CLOEXEC);
        initrd = memfd_create("initrd", MFD_CLOEXEC);
    }
    make_header(header);
    for (; used + 1 < size && data[used]; used += 2)
        header[0x1F0 + data[used] % (HEADER_SIZE - 0x1F0)] = data[used + 1];
    boot.below_4g = data[0] & 1 ? MEMORY_SIZE : 4u << 20;
    guest_memory_add(&memory, 0, 0xA0000, host);
    guest_memory_add(&memory, 0xC0000, boot.below_4g - 0xC0000, host + 0xC0000);
    if (ftruncate(kernel, 0) != 0 || pwrite(kernel, header, sizeof header, 0) < 0 ||
        pwrite(kernel, data + used, size - used, sizeof header) < 0 ||
        ftruncate(kernel, data[0] & 2 ? 0x2000 : 0x300))
        return 0;
    if (ftruncate(initrd, (off_t)data[0] << (data[0] & 31)) != 0)
        return 0;
    boot.kernel = kernel;
    boot.initrd = data[0] & 4 ? initrd : -1;
    error[0] = 0;
    if (linux_boot_load(&boot, &entry, error)) {
        struct hv_register_assoc registers[LINUX_ENTRY_REGISTERS];

        if (entry.rip >= boot.below_4g || linux_entry_registers(&entry, registers) > LINUX_ENTRY_REGISTERS)
            abort();
    } else if (!error[0] || strlen(error) >= sizeof error || strchr(error, '\n')) {
        abort();
    }
    return 0;
}
