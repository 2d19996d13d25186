/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The differences between kernels 6.1 and 7.x that the driver meets, and nothing else. */
#ifndef DRIVER_COMPAT_H
#define DRIVER_COMPAT_H

#include <linux/hrtimer.h>
#include <linux/smp.h>
#include <linux/version.h>
#include <asm/processor.h>

/* cpuid() has left <asm/processor.h>. */
#ifdef __has_include
#if __has_include(<asm/cpuid/api.h>)
#include <asm/cpuid/api.h>
#endif
#endif

/* smp_send_reschedule() has become a macro that traces and does not bring the declaration. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 4, 0)
#include <trace/events/ipi.h>
#endif

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 13, 0)
static inline void hrtimer_setup(struct hrtimer *timer, enum hrtimer_restart (*function)(struct hrtimer *),
                                 clockid_t clock, enum hrtimer_mode mode)
{
    hrtimer_init(timer, clock, mode);
    timer->function = function;
}
#endif

#endif
