/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The harness of mshv_test. Every test runs in a process of its own, which a watchdog ends, and must leave
 * the driver and the hypervisor as it found them: that is checked after it, however it ended.
 */
#ifndef TESTS_DRIVER_TEST_H
#define TESTS_DRIVER_TEST_H

#include <stdbool.h>
#include <stdint.h>

struct test {
    const char *name; /* NULL ends a list */
    void (*run)(void);
    bool needs_fake; /* uses the fake hypervisor's parameters */
};

extern const struct test partition_tests[], memory_tests[], run_tests[], interrupt_tests[], hvcall_tests[],
    access_tests[], state_tests[], host_tests[], life_tests[], ipi_tests[], smp_tests[];

/* Ends the test's process as failed, with the message and errno. */
_Noreturn void test_fail(const char *file, int line, const char *format, ...) __attribute__((format(printf, 3, 4)));

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            test_fail(__FILE__, __LINE__, "%s", #condition);                                                           \
    } while (0)

#define CHECK_EQUAL(value, expected)                                                                                   \
    do {                                                                                                               \
        long long value_ = (long long)(value), expected_ = (long long)(expected);                                      \
                                                                                                                       \
        if (value_ != expected_)                                                                                       \
            test_fail(__FILE__, __LINE__, "%s is %lld (%#llx), not %lld (%#llx)", #value, value_,                      \
                      (unsigned long long)value_, expected_, (unsigned long long)expected_);                           \
    } while (0)

/* The expression returns -1 and sets this errno. */
#define CHECK_ERRNO(expression, expected)                                                                              \
    do {                                                                                                               \
        long result_;                                                                                                  \
                                                                                                                       \
        errno = 0;                                                                                                     \
        result_ = (long)(expression);                                                                                  \
        if (result_ != -1 || errno != (expected))                                                                      \
            test_fail(__FILE__, __LINE__, "%s returned %ld, errno %d, not errno %d", #expression, result_, errno,      \
                      (expected));                                                                                     \
    } while (0)

/* Gives the watchdog's whole time again to a test that gets on, and says so from time to time: a line with a dot. */
void test_restart_watchdog(void);

/* The driver's counters (/sys/class/misc/loam) and the hypervisor's; all are 0 without a VM. */
struct test_counters {
    long partitions;
    long virtual_processors;
    long deposited_pages;
    long pinned_pages;
    long hypervisor_partitions; /* without the parent */
    long hypervisor_deposited_pages;
};

void test_read_counters(struct test_counters *counters);
void test_check_no_leak(const char *what);

/* A module parameter of the fake hypervisor. */
void test_set_parameter(const char *name, long value);
long test_get_parameter(const char *name);

#endif
