/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The kick of a VP's thread: whichever instruction of the way into RUN_VP the signal meets, the thread comes
 * back with EINTR or is inside the system call. Each instruction is tried, by single steps.
 */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "partitions/root/worker/mshv.h"

#define RFLAGS_TF 0x100

static struct {
    struct mshv mshv;
    volatile unsigned steps;   /* instructions in run_vp's stub so far */
    volatile unsigned kick_at; /* the step at which the signal comes */
    volatile bool inside;      /* the step was in the stub */
    volatile uintptr_t kicked_rip;
} test;

extern const char mshv_enter_vp_inside[];
long mshv_enter_vp(int descriptor, void *buffer, size_t size, const void *attention);

/* Single steps count only between the stub's first instruction and its system call. */
static void stepped(int number, siginfo_t *information, void *context)
{
    uintptr_t rip = (uintptr_t)((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];

    (void)number;
    (void)information;
    if (rip < (uintptr_t)mshv_enter_vp || rip >= (uintptr_t)mshv_enter_vp_inside)
        return;
    if (test.steps++ == test.kick_at) {
        test.inside = true;
        test.kicked_rip = rip;
        raise(SIGUSR1); /* blocked here: it arrives when this handler returns to the stub */
    }
}

static void set_trap_flag(bool on)
{
    unsigned long flags;

    __asm__ volatile("pushfq\n pop %0" : "=r"(flags));
    flags = on ? flags | RFLAGS_TF : flags & ~(unsigned long)RFLAGS_TF;
    __asm__ volatile("push %0\n popfq" ::"r"(flags) : "cc");
}

static int run(const atomic_uint *attention)
{
    struct hypervisor *hypervisor = &test.mshv.hypervisor;

    return hypervisor->operations->run_vp(hypervisor, 0, attention);
}

static int set_up(void **state)
{
    struct sigaction action = {.sa_sigaction = stepped, .sa_flags = SA_SIGINFO};

    (void)state;
    sigaddset(&action.sa_mask, SIGUSR1);
    assert_int_equal(sigaction(SIGTRAP, &action, NULL), 0);
    assert_int_equal(mshv_open(&test.mshv, "/dev/null"), 0);
    test.mshv.vps[0].descriptor = -1; /* a read that is made fails with EBADF */
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    mshv_close(&test.mshv);
    return 0;
}

static void test_attention_keeps_out(void **state)
{
    atomic_uint attention = 0;

    (void)state;
    assert_int_equal(run(&attention), -EBADF);
    attention = 1;
    assert_int_equal(run(&attention), -EINTR);
    attention = 0x80000000;
    assert_int_equal(run(&attention), -EINTR);
}

static void test_kick_at_every_instruction(void **state)
{
    const atomic_uint attention = 0; /* the test has found nothing yet */
    unsigned kicks = 0;
    bool at_system_call = false;
    int result;

    (void)state;
    do {
        test.steps = 0;
        test.kick_at = kicks;
        test.inside = false;
        set_trap_flag(true);
        result = run(&attention);
        set_trap_flag(false);
        if (!test.inside)
            break;
        assert_int_equal(result, -EINTR);
        at_system_call = test.kicked_rip == (uintptr_t)mshv_enter_vp_inside - 2;
        kicks++;
    } while (1);
    assert_int_equal(result, -EBADF);
    assert_in_range(kicks, 4, 6); /* test, branch, load, system call; perhaps a landing pad */
    assert_true(at_system_call);
}

static void test_signal_elsewhere_changes_nothing(void **state)
{
    (void)state;
    raise(SIGUSR1);
}

static void test_device_that_is_not_there(void **state)
{
    struct mshv mshv;

    (void)state;
    assert_int_equal(mshv_open(&mshv, "/nonexistent"), -ENOENT);
    mshv_close(&mshv);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_attention_keeps_out, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_kick_at_every_instruction, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_signal_elsewhere_changes_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_device_that_is_not_there, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
