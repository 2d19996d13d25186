/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Kicks: physical NMIs that make another processor leave its guest. A processor that has one outstanding gets no
 * second, so that every NMI that finds none outstanding is the parent's.
 */
#ifndef ARCH_CPU_KICK_H
#define ARCH_CPU_KICK_H

#include "hv/types.h"

/*
 * NMIs that this processor has taken since the last call: true if one was not a kick and so the parent's
 * (lp->parent_nmi is set). Whoever opens a window for NMIs calls this after it: a kick that is not accounted for keeps
 * the next ones from being sent.
 */
bool kick_account(void);

/* Sleeps until *word is not 0; whoever changes it kicks this processor. SMIs and NMIs are served, interrupts are not.
 */
void kick_wait(const uint32_t *word);

/* Stops every other processor for ever (panic). */
void kick_stop_others(void);

#endif
