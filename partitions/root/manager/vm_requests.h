/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The requests about virtual machines (docs/manager-protocol.md). */
#ifndef MANAGER_VM_REQUESTS_H
#define MANAGER_VM_REQUESTS_H

#include "partitions/root/manager/channel.h"

struct request;
struct vm;

/* What changes definitions (vm_definition_requests.c) */
void vm_create_request(struct request *request);
void vm_set_request(struct request *request);
void vm_remove_request(struct request *request);

/* What shows (vm_show.c) */
void vm_list_request(struct request *request);
void vm_show_request(struct request *request);

/* What changes states (vm_requests.c) */
void vm_start_request(struct request *request);
void vm_stop_request(struct request *request);
void vm_turn_off_request(struct request *request);
void vm_reset_request(struct request *request);
void vm_pause_request(struct request *request);
void vm_resume_request(struct request *request);
void vm_wait_request(struct request *request);

/* What the asker gets a connection to (vm_console.c) */
void vm_console_request(struct request *request);
void vm_screen_request(struct request *request);
void vm_screenshot_request(struct request *request);

/* Reading the screen, and typing (vm_screen.c) */
void vm_screen_text_request(struct request *request);
void vm_keys_request(struct request *request);

/* What changes what is in drives (vm_media.c) */
void vm_insert_request(struct request *request);
void vm_eject_request(struct request *request);

/* The virtual machine of this name; NULL: the request has been refused, with one that may have been meant. */
struct vm *vm_request_find(struct request *request, const char *name);
/* The same with the only argument, "name". */
struct vm *vm_request_find_named(struct request *request);

/* What is wrong according to a worker's answer, in a static buffer; NULL: nothing. */
const char *vm_worker_problem(const json_t *answer);

/* The code of a refusal that passes a worker's on. NULL: it has not answered. */
const char *vm_worker_refusal(const json_t *answer);

/* Answers the requests that wait for the state that it is in now. */
void vm_answer_waiters(struct vm *vm);

#endif
