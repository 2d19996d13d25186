/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How a worker ended, from what it wrote (docs/worker-protocol.md) and how its process ended. */
#ifndef MANAGER_VM_END_H
#define MANAGER_VM_END_H

#include <jansson.h>
#include <stdbool.h>

#define VM_END_REASON 32
#define VM_END_TEXT   1024

struct vm_end {
    char reason[VM_END_REASON]; /* the worker's word, "killed", or "unknown"; empty: has not run yet */
    char detail[VM_END_TEXT];   /* for people */
    char path[VM_END_TEXT];     /* of the file that is concerned */
};

/* Takes the reason, detail and path from a worker's description of its state. */
void vm_end_from_state(struct vm_end *end, const json_t *state);

/* From all that a worker wrote, and its wait status or PROCESS_STATUS_UNKNOWN. */
void vm_end_determine(struct vm_end *end, const char *output, int status);

/* The same from the last part of a file. False: there is no such file. */
bool vm_end_read(struct vm_end *end, int directory, const char *file_name, int status);

/* Adds an end to such a file, so that it is found there again when the status is known no more. 0 or an
 * errno. */
int vm_end_append(const struct vm_end *end, int directory, const char *file_name);

#endif
