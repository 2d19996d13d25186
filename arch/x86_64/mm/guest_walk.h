/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A walk of a guest's own page tables in software (APM vol. 2 chapter 5, SDM vol. 3A chapter 4), in every
 * paging mode: none, 32-bit, PAE, 4-level, 5-level. Besides guest_translate() of kernel/arch.h. The caller
 * holds the VP's claim.
 */
#ifndef ARCH_MM_GUEST_WALK_H
#define ARCH_MM_GUEST_WALK_H

#include "hv/types.h"
#include "hv/hypercall.h"

struct guest_code;
struct vp;
struct vp_code;

#define GUEST_WALK_LEVELS 5u

/* Page table entry bits. */
#define PTE_PRESENT    0x1ull
#define PTE_WRITABLE   0x2ull
#define PTE_USER       0x4ull
#define PTE_ACCESSED   0x20ull
#define PTE_DIRTY      0x40ull
#define PTE_LARGE      0x80ull
#define PTE_NO_EXECUTE (1ull << 63)

/*
 * Copies `length` bytes from a guest virtual address; `access` as for guest_translate(). Returns how many
 * bytes came before the first page that cannot be read.
 */
size_t guest_read(struct vp *vp, uint64_t gva, void *buffer, size_t length, uint64_t access);

/*
 * The same for code at the VP's RIP, whose linear address (32 bits outside long mode) the caller has
 * computed; `code` is the VP's as it is now. Up to `length` bytes, at most GUEST_CODE_BYTES, of a buffer that
 * always has room for so many. No permissions are checked: the processor has fetched these bytes already.
 * Fills *kept with the way there, but for what the caller found out about the bytes.
 */
#define GUEST_CODE_BYTES 16u
size_t guest_read_code(struct vp *vp, const struct vp_code *code, uint64_t linear, uint8_t buffer[GUEST_CODE_BYTES],
                       size_t length, struct guest_code *kept);

/* The four entries that PAE paging with this CR3 begins with. False: there is no memory. */
bool guest_read_pointers(struct vp *vp, uint64_t cr3, uint64_t entries[4]);

/* Whether the VP would read the same bytes in the same way now. Quick; false also if that is not known. */
bool guest_code_is(struct vp *vp, const struct guest_code *kept);

#endif
