/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Intercept messages (hv/message.h), written into the VP's intercept page. The caller holds the claim and has
 * checked that there is such a page; the VP is not in its guest. Each function fills all that the message's
 * type has.
 */
#ifndef KERNEL_MESSAGE_H
#define KERNEL_MESSAGE_H

#include "hv/message.h"
#include "kernel/arch.h"

struct vp;

/* An IN, OUT, INS or OUTS that the parent has to perform. */
void message_io_port(struct vp *vp, const struct vp_exit *exit, unsigned instruction_length);
/* A memory access that the map does not allow: `type` is HVMSG_UNMAPPED_GPA or HVMSG_GPA_INTERCEPT. */
void message_memory(struct vp *vp, const struct vp_exit *exit, enum hv_message_type type);
/* A triple fault. */
void message_unrecoverable_exception(struct vp *vp);
/* The end of a level-triggered interrupt. */
void message_apic_eoi(struct vp *vp, uint8_t vector);
/* An event of enum hv_pending_interruption_type that the parent waited for can be delivered. */
void message_interruption_deliverable(struct vp *vp, uint32_t type);
/* The processor refused the VP's state. */
void message_invalid_register(struct vp *vp);
/* A hardware task switch, which the parent has to do. */
void message_task_switch(struct vp *vp, const struct vp_exit *exit);
/* An exit that Loam does not know; `code` and `parameter` are the vendor's. */
void message_unsupported_feature(struct vp *vp, uint32_t code, uint64_t parameter);

#endif
