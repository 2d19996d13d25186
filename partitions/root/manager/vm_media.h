/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is in a virtual machine's drives, and how its definition stays true while media come and go. */
#ifndef MANAGER_VM_MEDIA_H
#define MANAGER_VM_MEDIA_H

#include <jansson.h>

struct vm;

/* The worker's event "media". */
void vm_media_event(struct vm *vm, const json_t *event);

/* Asks the worker, which has just been reached, what is in the drives: much may have happened meanwhile. */
void vm_media_compare(struct vm *vm);

#endif
