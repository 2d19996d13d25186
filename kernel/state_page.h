/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Pages of the parent in which a VP's messages and registers appear. */
#ifndef KERNEL_STATE_PAGE_H
#define KERNEL_STATE_PAGE_H

struct vp;

/* Gives all state pages of the VP back. Under its claim, or when nobody uses it any more. */
void state_page_unmap_all(struct vp *vp);

#endif
