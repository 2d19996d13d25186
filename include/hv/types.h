/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fixed-width integers for headers that the hypervisor, the parent's kernel driver and its programs share.
 */
#ifndef HV_TYPES_H
#define HV_TYPES_H

#ifdef __KERNEL__
#include <linux/types.h>
#include <linux/stddef.h>
#else
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#endif

#define HV_PACKED __attribute__((packed))

/* The size of a structure that an ABI fixes. */
#define HV_ASSERT_SIZE(type, size) _Static_assert(sizeof(type) == (size), #type)
#define HV_ASSERT_OFFSET(type, member, offset)                                                              \
    _Static_assert(__builtin_offsetof(type, member) == (offset), #type "." #member)

#define HV_PAGE_SHIFT 12
#define HV_PAGE_SIZE 4096u
#define HV_LARGE_PAGE_SHIFT 21
#define HV_LARGE_PAGE_SIZE (1u << HV_LARGE_PAGE_SHIFT)
/* 4 KiB pages in a large page. */
#define HV_PAGES_PER_LARGE_PAGE 512u

#endif
