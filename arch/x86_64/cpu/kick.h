/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Kicks: physical NMIs that make another processor leave its guest. A processor that has one outstanding gets no
 * second, so that every NMI that finds none outstanding is the parent's.
 */
#ifndef ARCH_CPU_KICK_H
#define ARCH_CPU_KICK_H

#include "hv/types.h"

/*
 * After an NMI exit: takes the NMI that is still pending, and notes whether it was the parent's (lp->parent_nmi).
 * False: it was a kick.
 */
bool kick_take_nmi(void);

/* Sleeps until *word is not 0; whoever changes it kicks this processor. SMIs and NMIs are served, interrupts are not. */
void kick_wait(uint32_t *word);

/* Stops every other processor for ever (panic). */
void kick_stop_others(void);

#endif
