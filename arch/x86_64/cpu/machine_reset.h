/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Resets the machine, by whichever way works. */
#ifndef ARCH_CPU_MACHINE_RESET_H
#define ARCH_CPU_MACHINE_RESET_H

struct boot_information;

void machine_reset_initialize(const struct boot_information *information);
void machine_reset(void) __attribute__((noreturn));

#endif
