/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The register page (struct hv_vp_register_page): registers that the parent can read and write without a
 * hypercall while the VP does not run. All functions need the VP's claim, do nothing without a page, and are
 * not for a VP that is being dispatched.
 */
#ifndef KERNEL_REGISTER_PAGE_H
#define KERNEL_REGISTER_PAGE_H

struct vp;

/* Loads what the parent has marked as changed in a valid page. */
void register_page_load(struct vp *vp);
/* The page is not valid from now on: the VP runs. */
void register_page_invalidate(struct vp *vp);
/* Fills the page and makes it valid. */
void register_page_fill(struct vp *vp);
/* The same if the page is valid already. */
void register_page_refresh(struct vp *vp);

#endif
