/* SPDX-License-Identifier: GPL-2.0-or-later */
/* MSHV_GET_VP_STATE and MSHV_SET_VP_STATE: state of a VP that comes in blocks rather than registers. */
#ifndef DRIVER_VP_STATE_H
#define DRIVER_VP_STATE_H

#include "uapi/mshv.h"
#include "vp.h"

/*
 * Moves one block. The buffer is page aligned and a whole number of pages; the size that is needed is written
 * back whenever the type is known. -EINVAL: unknown type, reserved fields, alignment or size; -EFAULT;
 * -ENOMEM; or the errno of a hypercall. The VP's mutex is held.
 */
int vp_state_transfer(struct mshv_vp *vp, bool set, struct mshv_get_set_vp_state __user *argument);

#endif
