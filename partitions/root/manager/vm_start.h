/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From Off to a worker that runs: the files are opened, the switches waited for, the worker started. */
#ifndef MANAGER_VM_START_H
#define MANAGER_VM_START_H

#include <stdbool.h>

struct identity;
struct vm;

/*
 * Begins. The virtual machine must be Off; it is Starting from now on, and Off again if this fails, with the
 * reason in vm->end and its starters told. `asker` wants it. `boot_menu`: the firmware shows its menu.
 */
void vm_start(struct vm *vm, const struct identity *asker, bool boot_menu);

#endif
