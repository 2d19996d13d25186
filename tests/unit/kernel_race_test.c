/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Several processors at once, each a thread that makes random hypercalls about the same partitions, pages and
 * VPs. Whatever the order, no assertion fails, every call ends, and in the end everything comes back.
 */
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

#include "kernel/frame.h"
#include "kernel/hypercall.h"
#include "kernel/parent_map.h"
#include "kernel/partition.h"
#include "tests/unit/kernel_fixture.h"

#define PROCESSORS 3u
#define CALLS      12000u
#define PARTITIONS 2u
#define FIRST_PFN  0x200u
#define PFNS       0x600u
#define VPS        2u

static uint64_t ids[PARTITIONS]; /* atomic */

struct processor {
    unsigned index;
    unsigned seed;
    uint64_t *input;
    uint64_t *output;
    uint64_t pages; /* of hypercalls and state: first pfn */
};

static unsigned random_below(struct processor *self, unsigned limit)
{
    return (unsigned)rand_r(&self->seed) % limit;
}

static uint64_t random_pfn(struct processor *self)
{
    return FIRST_PFN + random_below(self, PFNS);
}

static enum hv_status call(struct processor *self, uint16_t code, unsigned reps)
{
    uint64_t control = code | (uint64_t)reps << HV_CONTROL_REP_COUNT_SHIFT, result;

    while (
        !hypercall_once(&control, self->pages << HV_PAGE_SHIFT, (self->pages + 1) << HV_PAGE_SHIFT, &result))
        sched_yield();
    return HV_RESULT_STATUS(result);
}

static void create(struct processor *self, unsigned which)
{
    const struct hv_input_create_partition input = {.creation_flags = HV_CREATE_LAPIC | HV_CREATE_X2APIC};

    self->input[0] = HV_PARTITION_ID_SELF;
    self->input[1] = random_pfn(self);
    self->input[2] = random_pfn(self);
    call(self, HVCALL_DEPOSIT_MEMORY, 2);
    memcpy(self->input, &input, sizeof(input));
    if (call(self, HVCALL_CREATE_PARTITION, 0) == HV_STATUS_SUCCESS)
        __atomic_store_n(&ids[which], self->output[0], __ATOMIC_RELAXED);
}

static void deposit_some(struct processor *self)
{
    unsigned count = 1 + random_below(self, 30);

    for (unsigned i = 0; i < count; i++)
        self->input[1 + i] = random_pfn(self);
    call(self, HVCALL_DEPOSIT_MEMORY, count);
}

static void map_some(struct processor *self)
{
    unsigned count = 1 + random_below(self, 10);
    bool large = random_below(self, 4) == 0;

    self->input[1] = large ? random_below(self, 8) * 512 : random_below(self, 4096);
    self->input[2] = HV_MAP_GPA_READABLE | (large ? HV_MAP_GPA_LARGE_PAGE : 0);
    for (unsigned i = 0; i < count; i++)
        self->input[3 + i] = large ? random_pfn(self) & ~511ull : random_pfn(self);
    call(self, HVCALL_MAP_GPA_PAGES, count);
}

static void map_state_page(struct processor *self, uint64_t vp)
{
    uint64_t type = random_below(self, 2);

    self->input[1] = vp | type << 32 | (uint64_t)HV_MAP_VP_STATE_PAGE_LOCATION_PROVIDED << 56;
    self->input[2] = random_below(self, 8) ? self->pages + 2 + type : random_pfn(self);
    call(self, HVCALL_MAP_VP_STATE_PAGE, 0);
}

static void one_call(struct processor *self)
{
    unsigned which = random_below(self, PARTITIONS);
    uint64_t vp = random_below(self, VPS);

    memset(self->input, 0, 512);
    self->input[0] = __atomic_load_n(&ids[which], __ATOMIC_RELAXED);
    switch (random_below(self, 25)) {
    case 0:
        create(self, which);
        break;
    case 1:
        call(self, HVCALL_INITIALIZE_PARTITION, 0);
        break;
    case 2:
    case 3:
    case 4:
        deposit_some(self);
        break;
    case 5:
        call(self, HVCALL_WITHDRAW_MEMORY, 1 + random_below(self, 40));
        break;
    case 6:
    case 7:
    case 8:
        self->input[1] = vp;
        call(self, HVCALL_CREATE_VP, 0);
        break;
    case 9:
        self->input[1] = vp;
        if (random_below(self, 4) == 0)
            call(self, HVCALL_DELETE_VP, 0);
        break;
    case 10:
    case 11:
        map_state_page(self, vp);
        break;
    case 12:
    case 13:
        map_some(self);
        break;
    case 14:
        self->input[1] = random_below(self, 4096);
        call(self, HVCALL_UNMAP_GPA_PAGES, 1 + random_below(self, 600));
        break;
    case 24:
        self->input[1] = HV_GPA_PAGES_CLEAR_ACCESSED | HV_GPA_PAGES_CLEAR_DIRTY;
        self->input[2] = random_below(self, 4096);
        call(self, HVCALL_GET_GPA_PAGES_ACCESS_STATES, 1 + random_below(self, 4095));
        break;
    case 15:
    case 16:
        self->input[1] = vp;
        self->input[2] = random_below(self, 2) ? HV_X64_REGISTER_RAX : HV_X64_REGISTER_CS;
        call(self, HVCALL_SET_VP_REGISTERS, 1);
        break;
    case 17:
        self->input[2] = vp;
        self->input[3] = 0x30 + random_below(self, 100);
        call(self, HVCALL_ASSERT_VIRTUAL_INTERRUPT, 0);
        break;
    case 18:
    case 19:
    case 20:
        self->input[1] = vp | (uint64_t)HV_DISPATCH_VP_CLEAR_INTERCEPT_SUSPEND << 32;
        call(self, HVCALL_DISPATCH_VP, 0);
        break;
    case 21:
        self->input[1] = HV_PARTITION_PROPERTY_TIME_FREEZE;
        self->input[2] = random_below(self, 2);
        call(self, HVCALL_SET_PARTITION_PROPERTY, 0);
        break;
    case 22:
        if (random_below(self, 30) == 0)
            call(self, HVCALL_FINALIZE_PARTITION, 0);
        break;
    case 23:
        if (random_below(self, 4) == 0)
            call(self, HVCALL_DELETE_PARTITION, 0);
        else if (random_below(self, 100) == 0)
            call(self, LOAM_HVCALL_RECLAIM_CHILDREN, 0);
        break;
    }
}

/* A guest that is sometimes told to leave, sometimes has something to say. */
static void guest(struct vp *vp, struct vp_exit *exit)
{
    (void)vp;
    sched_yield();
    switch (fake_vendor_record.runs % 4) {
    case 0:
        exit->reason = LOAM_EXIT_IO_PORT;
        exit->instruction_length = 1;
        break;
    case 1:
        exit->reason = LOAM_EXIT_HLT;
        break;
    default:
        exit->reason = LOAM_EXIT_EXTERNAL_INTERRUPT;
        break;
    }
}

static void yield(void)
{
    sched_yield();
}

static void *processor_main(void *argument)
{
    struct processor *self = argument;

    fake_machine_become(self->index);
    for (unsigned i = 0; i < CALLS; i++)
        one_call(self);
    return NULL;
}

static void random_processors(void **state)
{
    struct processor processors[PROCESSORS];
    pthread_t threads[PROCESSORS];
    size_t before_count, after_count;
    uint64_t *before, *after;

    (void)state;
    fake_machine_start(PROCESSORS, true);
    fake_guest = guest;
    fake_elsewhere = yield;
    before = fake_parent_map_copy(&before_count);
    for (unsigned i = 0; i < PROCESSORS; i++) {
        uint64_t pages = 0x100 + 4 * i;

        processors[i] = (struct processor){i, i + 1, page(pages), page(pages + 1), pages};
        assert_int_equal(pthread_create(&threads[i], NULL, processor_main, &processors[i]), 0);
    }
    for (unsigned i = 0; i < PROCESSORS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);

    fake_machine_become(0);
    assert_int_equal(call(&processors[0], LOAM_HVCALL_RECLAIM_CHILDREN, 0), HV_STATUS_SUCCESS);
    assert_int_equal(partition_count(), 1);
    assert_int_equal(parent_map_deposited_pages(), 0);
    for (uint64_t pfn = 0x100; pfn < FAKE_OWN_PFN; pfn++) {
        assert_int_equal(frame_find(pfn)->state, FRAME_PARENT);
        assert_int_equal(frame_find(pfn)->maps, 0);
    }
    after = fake_parent_map_copy(&after_count);
    assert_int_equal(before_count, after_count);
    assert_memory_equal(before, after, before_count * sizeof(*before));
    free(before);
    free(after);
    fake_machine_stop();
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(random_processors)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
