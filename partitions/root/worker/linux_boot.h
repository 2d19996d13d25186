/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Starts Linux without firmware (the kernel's Documentation/arch/x86/boot.rst): puts a bzImage, its initrd,
 * its command line and what it wants to know into guest memory, and says in which state the boot VP enters
 * it.
 */
#ifndef WORKER_LINUX_BOOT_H
#define WORKER_LINUX_BOOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "hv/hypercall.h"
#include "partitions/root/worker/guest_memory.h"

#define LINUX_BOOT_ERROR_SIZE 256

struct linux_boot {
    int kernel; /* seekable file descriptors, only read; initrd -1: none */
    int initrd;
    const char *kernel_name; /* for messages */
    const char *initrd_name;
    const char *command_line;
    /*
     * Hz; 0: not known. The kernel is told by tsc_early_khz= before its command line, unless that says it
     * itself: on AMD's processors a kernel has only the PIT and the PM timer to find it out, which a busy
     * parent serves too late.
     */
    uint64_t tsc_frequency;
    const struct guest_memory *memory;
    uint64_t below_4g; /* ends of RAM: [1 MiB, below_4g) and [4 GiB, 4 GiB + above_4g) */
    uint64_t above_4g;
    uint32_t acpi_tables; /* GPA of the RSDP, and how many bytes of tables begin there */
    uint32_t acpi_length;
};

/* How the kernel is entered. */
struct linux_entry {
    bool long_mode; /* else 32-bit protected mode without paging */
    uint64_t rip;
};

/*
 * Fills guest memory; can be repeated at each reset. False: `error` says what is wrong with the files, in one
 * line that begins with a file's name.
 */
bool linux_boot_load(const struct linux_boot *boot, struct linux_entry *entry,
                     char error[LINUX_BOOT_ERROR_SIZE]);

#define LINUX_ENTRY_REGISTERS 20

/* The registers in which the boot VP enters the kernel; returns how many. */
size_t linux_entry_registers(const struct linux_entry *entry,
                             struct hv_register_assoc registers[LINUX_ENTRY_REGISTERS]);

#endif
