/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of the AMD-V backend share. */
#ifndef SVM_SVM_H
#define SVM_SVM_H

#include "arch/x86_64/svm/vmcb.h"
#include "arch/x86_64/vendor.h"

/* Makes `exit` of what the control block says after #VMEXIT. */
void svm_decode_exit(struct vp *vp, struct vmcb *vmcb, struct vp_exit *exit);

bool svm_has_next_rip(void);
bool svm_has_decode_assists(void);

/* The guest is about to execute the IRET that ends an NMI handler, and has executed it. */
void svm_iret_reached(struct vmcb *vmcb);
void svm_iret_stepped(struct vmcb *vmcb);

/* svm_parent_msr.c: see struct vendor */
extern const struct parent_msr svm_parent_msrs[];

/* svm_parent_msr.c: see struct vendor */
extern const struct parent_msr svm_parent_msrs[];

#endif
