// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * mshv_test [NAME...]: tests of /dev/mshv and /dev/loam, all or the named ones. They run on the real
 * hypervisor and on the driver's fake one (recognised by its module parameters). Ends with "N passed, N
 * failed"; exit status 0 or 1.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/driver/test.h"
#include "uapi/loam.h"

#define WATCHDOG_SECONDS 120
#define PROGRESS_SECONDS 5
#define PARAMETERS       "/sys/module/mshv_loam/parameters/"
#define COUNTERS         "/sys/class/misc/loam/"

static long read_number(const char *directory, const char *name)
{
    char path[128];
    long value;
    FILE *file;

    snprintf(path, sizeof(path), "%s%s", directory, name);
    file = fopen(path, "re");
    CHECK(file);
    CHECK_EQUAL(fscanf(file, "%ld", &value), 1);
    fclose(file);
    return value;
}

long test_get_parameter(const char *name)
{
    return read_number(PARAMETERS, name);
}

void test_set_parameter(const char *name, long value)
{
    char path[128];
    FILE *file;

    snprintf(path, sizeof(path), PARAMETERS "%s", name);
    file = fopen(path, "we");
    CHECK(file);
    CHECK(fprintf(file, "%ld", value) > 0);
    CHECK_EQUAL(fclose(file), 0);
}

void test_read_counters(struct test_counters *counters)
{
    struct loam_statistics statistics = {.partition_id = HV_PARTITION_ID_SELF, .type = LOAM_STATISTICS_HYPERVISOR};
    int host = open("/dev/loam", O_RDONLY | O_CLOEXEC);

    CHECK(host >= 0);
    CHECK_EQUAL(ioctl(host, LOAM_GET_STATISTICS, &statistics), 0);
    close(host);
    *counters = (struct test_counters){
        .partitions = read_number(COUNTERS, "partitions"),
        .virtual_processors = read_number(COUNTERS, "virtual_processors"),
        .deposited_pages = read_number(COUNTERS, "deposited_pages"),
        .pinned_pages = read_number(COUNTERS, "pinned_pages"),
        .hypervisor_partitions = (long)statistics.result.counter[LOAM_COUNTER_PARTITIONS] - 1,
        .hypervisor_deposited_pages = (long)statistics.result.counter[LOAM_COUNTER_DEPOSITED_PAGES],
    };
}

void test_check_no_leak(const char *what)
{
    struct test_counters counters;

    test_read_counters(&counters);
    if (counters.partitions || counters.virtual_processors || counters.deposited_pages || counters.pinned_pages ||
        counters.hypervisor_partitions || counters.hypervisor_deposited_pages)
        test_fail(__FILE__, __LINE__,
                  "after %s: %ld partitions, %ld VPs, %ld deposited and %ld pinned pages; in the hypervisor %ld "
                  "partitions, %ld deposited pages",
                  what, counters.partitions, counters.virtual_processors, counters.deposited_pages,
                  counters.pinned_pages, counters.hypervisor_partitions, counters.hypervisor_deposited_pages);
}

void test_restart_watchdog(void)
{
    static time_t shown;
    time_t now = time(NULL);

    alarm(WATCHDOG_SECONDS);
    if (now - shown < PROGRESS_SECONDS)
        return;
    shown = now;
    puts(".");
    fflush(stdout);
}

/* True: the function returned, within the time allowed. */
static bool run_in_process(void (*run)(void), const char *name, bool is_check)
{
    int status;
    pid_t child;

    fflush(stdout);
    child = fork();
    if (child == 0) {
        alarm(WATCHDOG_SECONDS);
        if (is_check)
            test_check_no_leak(name);
        else
            run();
        fflush(stdout);
        _exit(0);
    }
    if (child < 0 || waitpid(child, &status, 0) != child)
        return false;
    if (WIFSIGNALED(status))
        printf("  %s: ended by signal %d%s\n", name, WTERMSIG(status),
               WTERMSIG(status) == SIGALRM ? " (watchdog)" : "");
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static bool is_selected(const char *name, int count, char **names)
{
    int i;

    for (i = 0; i < count; i++)
        if (strcmp(names[i], name) == 0)
            return true;
    return count == 0;
}

/* More than the fake one has. */
static bool needs_processor(const struct test *list)
{
    return list == state_tests || list == ipi_tests || list == smp_tests;
}

int main(int argument_count, char **arguments)
{
    static const struct test *const lists[] = {partition_tests, memory_tests, run_tests,   interrupt_tests,
                                               hvcall_tests,    access_tests, state_tests, host_tests,
                                               life_tests,      ipi_tests,    smp_tests};
    bool fake = access(PARAMETERS "violations", F_OK) == 0;
    unsigned passed = 0, failed = 0, list;

    for (list = 0; list < sizeof(lists) / sizeof(lists[0]); list++) {
        const struct test *test;

        if (fake && needs_processor(lists[list]))
            continue;
        for (test = lists[list]; test->name; test++) {
            bool good;

            if (!is_selected(test->name, argument_count - 1, arguments + 1) || (test->needs_fake && !fake))
                continue;
            good = run_in_process(test->run, test->name, false);
            good = run_in_process(NULL, test->name, true) && good;
            if (good && fake && test_get_parameter("violations")) {
                printf("  %s: the driver broke a rule of the hypervisor's interface\n", test->name);
                good = false;
            }
            printf("%s %s\n", good ? "ok  " : "FAIL", test->name);
            *(good ? &passed : &failed) += 1;
        }
    }
    printf("%u passed, %u failed\n", passed, failed);
    return failed || !passed;
}
