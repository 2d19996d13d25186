/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The parent of the fake machine: calls the hypervisor the way a driver does, and sets up partitions. */
#ifndef TESTS_KERNEL_FIXTURE_H
#define TESTS_KERNEL_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "hv/hypercall.h"
#include "hv/loam.h"
#include "hv/message.h"
#include "hv/status.h"
#include "tests/unit/fake_machine.h"

/* The parent's pages for hypercalls, and where the pages begin that tests may deposit, map and so on. */
#define FIXTURE_INPUT_PFN  0x100ull
#define FIXTURE_OUTPUT_PFN 0x101ull
#define FIXTURE_FREE_PFN   0x200ull

/* cmocka set-up and tear-down: a machine with two processors. */
int fixture_start(void **state);
int fixture_stop(void **state);

/* Physical memory of the parent at a pfn. */
void *page(uint64_t pfn);

/* One execution of the hypercall instruction with these registers. True: finished; *result is RAX. */
bool hypercall_once(uint64_t *control, uint64_t rdx, uint64_t r8, uint64_t *result);
/* The same until it is finished; `continuations` counts the repetitions (may be NULL). */
uint64_t hypercall_registers(uint64_t control, uint64_t rdx, uint64_t r8, unsigned *continuations);

/* A slow call from the input page to the output page, with `reps` elements (0: not a rep call). Returns RAX.
 */
uint64_t hypercall_slow(uint16_t code, unsigned reps, const void *input, size_t size);
/* Its status. */
enum hv_status hypercall_status(uint16_t code, unsigned reps, const void *input, size_t size);
enum hv_status hypercall_fast(uint16_t code, uint64_t first, uint64_t second);

/* Depositing hands out pages from FIXTURE_FREE_PFN on, in order. The call has to succeed. */
void deposit(uint64_t partition, unsigned count);
/* Withdraws all there is; returns the number of pages. Fails the test if a page comes twice or is not the
 * parent's. */
unsigned withdraw_all(uint64_t partition);
/* The next `count` pages that nobody uses; aligned to `alignment` pages. */
uint64_t take_pages(unsigned count, unsigned alignment);

/* A partition in these states; deposits what it needs and `extra` pages for more. */
uint64_t create_partition(void);
uint64_t create_active_partition(unsigned extra);
/* With VP `index`, and its message and register pages if `pages`. */
enum hv_status create_vp(uint64_t partition, uint32_t index);
struct vp *create_vp_with_pages(uint64_t partition, uint32_t index);
struct hv_message *message_page(uint32_t vp_index);
struct hv_vp_register_page *register_page(uint32_t vp_index);
/* Finalizes, withdraws, deletes. */
void remove_partition(uint64_t partition);

enum hv_status set_property(uint64_t partition, uint32_t code, uint64_t value);
enum hv_status get_property(uint64_t partition, uint32_t code, uint64_t *value);
enum hv_status set_register(uint64_t partition, uint32_t vp, uint32_t name, uint64_t low, uint64_t high);
enum hv_status get_register(uint64_t partition, uint32_t vp, uint32_t name, union hv_register_value *value);
/* Of a register that must exist. */
uint64_t register_low(uint64_t partition, uint32_t vp, uint32_t name);

enum hv_status map_pages(uint64_t partition, uint64_t target, uint32_t flags, const uint64_t *pfns,
                         unsigned count, unsigned *done);
enum hv_status unmap_pages(uint64_t partition, uint64_t target, uint32_t flags, unsigned count,
                           unsigned *done);

enum hv_status dispatch(uint64_t partition, uint32_t vp, uint32_t flags,
                        struct loam_output_dispatch_vp *output);

/* A counter of LOAM_HVCALL_GET_STATISTICS. */
uint64_t statistic(uint64_t partition, uint32_t type, uint32_t vp, unsigned counter);

#endif
