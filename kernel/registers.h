/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Registers of a child's VP by name (TLFS 7.9). The caller holds the VP's claim; the VP is not being dispatched. */
#ifndef KERNEL_REGISTERS_H
#define KERNEL_REGISTERS_H

#include "hv/hypercall.h"
#include "hv/registers.h"
#include "hv/status.h"

struct vp;

/* INVALID_PARAMETER: no such register. */
enum hv_status register_get(struct vp *vp, uint32_t name, union hv_register_value *value);
/* The same; ACCESS_DENIED: read-only; INVALID_REGISTER_VALUE: never a value of that register. */
enum hv_status register_set(struct vp *vp, uint32_t name, const union hv_register_value *value);

/* `event` is zero or an event that can be injected, in the layout of HV_REGISTER_PENDING_INTERRUPTION. */
bool pending_interruption_valid(uint64_t event);

/* RFLAGS as the processor would have them; bits that do not exist are dropped. */
uint64_t rflags_sanitize(uint64_t rflags);

#endif
