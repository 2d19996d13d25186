// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Lends the hypervisor the second of two neighbouring pages and looks at it as a kernel may: it reads as
 * zeros, also by a load that begins in the page before and by load_unaligned_zeropad(), and a write faults.
 * It stays lent until the module goes; its physical address is the module's parameter `page`. Loading fails
 * with EIO where the page is not hidden as it should be. Not beside a driver that has lent pages for the
 * parent itself.
 */
#define pr_fmt(format) KBUILD_MODNAME ": " format

#include <linux/gfp.h>
#include <linux/io.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/string.h>
#include <asm/asm.h>
#include <asm/unaligned.h>
#include <asm/word-at-a-time.h>

#include "hv/hypercall.h"
#include "hv/status.h"
#include "hypervisor.h"

#define PATTERN 0x5A

static unsigned long page;
module_param(page, ulong, 0444);

static u8 *neighbour; /* two pages */
static u64 *call_page;

static u8 *lent_page(void)
{
    return neighbour + PAGE_SIZE;
}

static int lend(void)
{
    struct hv_input_deposit_memory *input = (void *)call_page;
    u64 result;

    input->partition_id = HV_PARTITION_ID_SELF;
    input->pfn[0] = page >> PAGE_SHIFT;
    result =
        hypervisor_call(HVCALL_DEPOSIT_MEMORY | 1ull << HV_CONTROL_REP_COUNT_SHIFT, virt_to_phys(input), 0);
    if (HV_RESULT_STATUS(result) == HV_STATUS_SUCCESS)
        return 0;
    pr_err("the page is not taken: status %#x\n", HV_RESULT_STATUS(result));
    return -EIO;
}

/* False: the hypervisor gave back nothing, or something else. */
static bool take_back(void)
{
    struct hv_input_withdraw_memory *input = (void *)call_page;
    u64 *pages = call_page + PAGE_SIZE / sizeof(u64);
    u64 result;

    *input = (struct hv_input_withdraw_memory){.partition_id = HV_PARTITION_ID_SELF};
    result = hypervisor_call(HVCALL_WITHDRAW_MEMORY | 2ull << HV_CONTROL_REP_COUNT_SHIFT, virt_to_phys(input),
                             virt_to_phys(pages));
    return HV_RESULT_REPS(result) == 1 && pages[0] == page >> PAGE_SHIFT;
}

/* Whether a write to `address` faults. */
static bool write_faults(u8 *address)
{
    bool faulted = true;

    asm volatile("1: movb $1, %1\n"
                 "   movb $0, %0\n"
                 "2:\n" _ASM_EXTABLE(1b, 2b)
                 : "+q"(faulted), "=m"(*address));
    return faulted;
}

static bool is_hidden(void)
{
    const u8 *end = lent_page();
    unsigned int before;

    for (before = 1; before < sizeof(u64); before++) {
        u64 expected = GENMASK_ULL(8 * before - 1, 0) & (~0ull / 0xFF * PATTERN);

        if (get_unaligned((const u64 *)(end - before)) != expected ||
            load_unaligned_zeropad(end - before) != expected) {
            pr_err("a load of which %u bytes are before the page is wrong\n", before);
            return false;
        }
    }
    if (memchr_inv(end, 0, PAGE_SIZE)) {
        pr_err("the page is not zeros\n");
        return false;
    }
    if (!write_faults(lent_page())) {
        pr_err("a write to the page went through\n");
        return false;
    }
    return true;
}

static void free_pages_of_test(void)
{
    free_pages((unsigned long)neighbour, 1);
    free_pages((unsigned long)call_page, 1);
}

static int __init hidden_page_start(void)
{
    struct hypervisor_identity identity;
    int error;

    if (!hypervisor_identify(&identity))
        return -ENODEV;
    neighbour = (u8 *)__get_free_pages(GFP_KERNEL, 1);
    call_page = (u64 *)__get_free_pages(GFP_KERNEL | __GFP_ZERO, 1);
    page = neighbour ? virt_to_phys(lent_page()) : 0;
    error = neighbour && call_page ? 0 : -ENOMEM;
    if (!error) {
        memset(neighbour, PATTERN, 2 * PAGE_SIZE);
        error = lend();
    }
    if (error) {
        free_pages_of_test();
        return error;
    }
    if (is_hidden())
        return 0;
    if (take_back())
        free_pages_of_test();
    return -EIO;
}

static void __exit hidden_page_end(void)
{
    bool good = take_back();

    /* What does not come back stays out of use. */
    if (!good) {
        pr_err("the page does not come back\n");
        return;
    }
    if (memchr_inv(lent_page(), 0, PAGE_SIZE) || write_faults(lent_page()))
        pr_err("the page came back neither scrubbed nor writable\n");
    else
        pr_info("the page came back\n");
    free_pages_of_test();
}

module_init(hidden_page_start);
module_exit(hidden_page_end);
MODULE_DESCRIPTION("Test of pages that are hidden from Loam's parent");
MODULE_LICENSE("GPL");
