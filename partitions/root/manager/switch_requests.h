/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The requests about switches (docs/manager-protocol.md). */
#ifndef MANAGER_SWITCH_REQUESTS_H
#define MANAGER_SWITCH_REQUESTS_H

struct request;
struct vm;

void switch_create_request(struct request *request);
void switch_list_request(struct request *request);
void switch_show_request(struct request *request);
void switch_forward_request(struct request *request);
void switch_unforward_request(struct request *request);
void switch_remove_request(struct request *request);

/* The forwards to a virtual machine that is being removed go with it. */
void switch_forget_vm(struct vm *vm);

#endif
