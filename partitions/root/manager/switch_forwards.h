/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The forwards of a switch: what its definition says, its process shall have. */
#ifndef MANAGER_SWITCH_FORWARDS_H
#define MANAGER_SWITCH_FORWARDS_H

#include <jansson.h>

#include "partitions/root/manager/channel.h"
#include "partitions/root/manager/virtual_switch.h"

/*
 * `listed` is the process's answer to "forward-list": what it has and should not is taken away, what it lacks
 * is added. What cannot be added (a port in use) is tried again now and then.
 */
void switch_forwards_synchronize(struct virtual_switch *virtual_switch, const json_t *listed);

/* Asks the process to add or remove one. Ports that need privilege are opened here. */
void switch_forwards_call_add(struct virtual_switch *virtual_switch, const struct forward_rule *rule,
                              channel_answer *done, void *owner);
void switch_forwards_call_remove(struct virtual_switch *virtual_switch, const struct forward_rule *rule,
                                 channel_answer *done, void *owner);

/* What is wrong according to the process's answer, in a static buffer; NULL: nothing. */
const char *switch_forwards_problem(const json_t *answer);

#endif
