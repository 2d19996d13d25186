/* SPDX-License-Identifier: GPL-2.0-or-later */
/* loam.conf: what is understood, and what is reported with which line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "arch/x86_64/boot/configuration.h"

struct reports {
    unsigned count;
    unsigned line;       /* of the last */
    const char *problem; /* the last */
};

static void report(void *context, unsigned line, const char *problem)
{
    struct reports *reports = context;

    assert_null(strchr(problem, '\n'));
    reports->count++;
    reports->line = line;
    reports->problem = problem;
}

typedef void parser(struct configuration *configuration, const char *text, size_t size,
                    void (*report)(void *context, unsigned line, const char *problem), void *context);

static struct reports parse_by(parser *parse_text, struct configuration *configuration, const char *text, size_t size)
{
    /* Exactly as long as it is: a byte more that is read is found by the address sanitizer. */
    char *copy = malloc(size ? size : 1);
    struct reports reports = {0};

    assert_non_null(copy);
    memcpy(copy, text, size);
    configuration_defaults(configuration);
    parse_text(configuration, copy, size, report, &reports);
    free(copy);
    return reports;
}

static struct reports parse(struct configuration *configuration, const char *text, size_t size)
{
    return parse_by(configuration_parse, configuration, text, size);
}

static void reads_every_key(void **state)
{
    static const char text[] = "# a comment\r\n"
                               "\n"
                               "next = /EFI/debian/grubx64.efi\r\n"
                               "\tcmdline=root=/dev/sda1 quiet  \n"
                               "initrd = initrd.img\n"
                               "log = verbose\n"
                               "serial = 0x2e8\n"
                               "panic = 0\n"
                               "mp-services = no";
    struct configuration configuration;

    (void)state;
    assert_int_equal(parse(&configuration, text, sizeof text - 1).count, 0);
    assert_string_equal(configuration.next, "\\EFI\\debian\\grubx64.efi");
    assert_string_equal(configuration.cmdline, "root=/dev/sda1 quiet");
    assert_string_equal(configuration.initrd, "\\initrd.img");
    assert_int_equal(configuration.log_level, 2);
    assert_int_equal(configuration.serial_port, 0x2E8);
    assert_int_equal(configuration.panic_seconds, 0);
    assert_false(configuration.mp_services);
}

static void an_empty_file_means_defaults(void **state)
{
    struct configuration configuration;

    (void)state;
    assert_int_equal(parse(&configuration, "", 0).count, 0);
    assert_string_equal(configuration.next, "");
    assert_int_equal(configuration.log_level, 1);
    assert_int_equal(configuration.serial_port, 0x3F8);
    assert_int_equal(configuration.panic_seconds, 30);
    assert_true(configuration.mp_services);
}

static void reports_mistakes_and_keeps_defaults(void **state)
{
    static const struct {
        const char *text, *problem;
        unsigned line;
    } cases[] = {
        {"\n\ncolour = blue\n",            "unknown key",         3},
        {"next\n",                         "no '='",              1},
        {"= value\n",                      "unknown key",         1},
        {"next = \n",                      "path is empty",       1},
        {"initrd = /\n",                   "path is empty",       1},
        {"log = loud\n",                   "log must be",         1},
        {"serial = com5\n",                "serial must be",      1},
        {"serial = 0xff\n",                "serial must be",      1},
        {"serial = 0xfff9\n",              "serial must be",      1},
        {"#\npanic = -1\n",                "panic must be",       2},
        {"panic = 86401\n",                "panic must be",       1},
        {"panic = 0x\n",                   "panic must be",       1},
        {"panic = \n",                     "panic must be",       1},
        {"panic = 99999999999999999999\n", "panic must be",       1},
        {"mp-services = maybe\n",          "mp-services must be", 1},
    };
    struct configuration configuration, defaults;

    (void)state;
    configuration_defaults(&defaults);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct reports reports = parse(&configuration, cases[i].text, strlen(cases[i].text));

        assert_int_equal(reports.count, 1);
        assert_int_equal(reports.line, cases[i].line);
        assert_non_null(strstr(reports.problem, cases[i].problem));
        assert_memory_equal(&configuration, &defaults, sizeof defaults);
    }
}

static void values_have_a_limit(void **state)
{
    char text[2 * CONFIGURATION_TEXT] = "cmdline = ";
    size_t begin = strlen(text);
    struct configuration configuration;
    struct reports reports;

    (void)state;
    memset(text + begin, 'x', CONFIGURATION_TEXT);
    assert_int_equal(parse(&configuration, text, begin + CONFIGURATION_TEXT - 1).count, 0);
    assert_int_equal(strlen(configuration.cmdline), CONFIGURATION_TEXT - 1);
    reports = parse(&configuration, text, begin + CONFIGURATION_TEXT);
    assert_int_equal(reports.count, 1);
    assert_non_null(strstr(reports.problem, "longer than"));
    assert_string_equal(configuration.cmdline, "");

    memcpy(text, "next    = ", begin);
    assert_int_equal(parse(&configuration, text, begin + CONFIGURATION_TEXT - 2).count, 0);
    assert_int_equal(strlen(configuration.next), CONFIGURATION_TEXT - 1);
    reports = parse(&configuration, text, begin + CONFIGURATION_TEXT - 1);
    assert_non_null(strstr(reports.problem, "longer than"));
    assert_string_equal(configuration.next, "");
}

static void reads_a_command_line(void **state)
{
    static const char text[] = "  log=verbose\tserial=0x2e8 panic=5 ", wrong[] = "log=quiet colour=blue #panic=3 =\n";
    struct configuration configuration;
    struct reports reports;

    (void)state;
    assert_int_equal(parse_by(configuration_parse_words, &configuration, text, sizeof text - 1).count, 0);
    assert_int_equal(configuration.log_level, 2);
    assert_int_equal(configuration.serial_port, 0x2E8);
    assert_int_equal(configuration.panic_seconds, 5);
    reports = parse_by(configuration_parse_words, &configuration, wrong, sizeof wrong - 1);
    assert_int_equal(reports.count, 3);
    assert_int_equal(reports.line, 4);
    assert_int_equal(configuration.log_level, 0);
    assert_int_equal(configuration.panic_seconds, 30);
}

static void a_command_line_knows_fewer_keys(void **state)
{
    static const char *const others[] = {"next=/x", "cmdline=x", "initrd=/x", "mp-services=no"};
    struct configuration configuration, defaults;

    (void)state;
    configuration_defaults(&defaults);
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        struct reports reports =
            parse_by(configuration_parse_words, &configuration, others[i], strlen(others[i]));

        assert_int_equal(reports.count, 1);
        assert_string_equal(reports.problem, "unknown key; known are log, serial and panic");
        assert_memory_equal(&configuration, &defaults, sizeof defaults);
        configuration_parse_words(&configuration, others[i], strlen(others[i]), NULL, NULL);
    }
}

/* Any bytes: no access outside the text or the values (the sanitizers judge), and values stay terminated. */
static void survives_any_bytes(void **state)
{
    static const char alphabet[] = "next=cmdlinitrd panic\n\r\t#0x9/\\";
    struct configuration configuration;
    char text[200];

    (void)state;
    srand(1);
    for (unsigned round = 0; round < 20000; round++) {
        size_t size = (size_t)rand() % sizeof text;

        for (size_t i = 0; i < size; i++)
            text[i] = rand() % 16 ? alphabet[(size_t)rand() % sizeof alphabet] : (char)rand();
        parse_by(configuration_parse_words, &configuration, text, size);
        parse(&configuration, text, size);
        assert_non_null(memchr(configuration.next, 0, CONFIGURATION_TEXT));
        assert_non_null(memchr(configuration.cmdline, 0, CONFIGURATION_TEXT));
        assert_non_null(memchr(configuration.initrd, 0, CONFIGURATION_TEXT));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_every_key),
        cmocka_unit_test(an_empty_file_means_defaults),
        cmocka_unit_test(reports_mistakes_and_keeps_defaults),
        cmocka_unit_test(values_have_a_limit),
        cmocka_unit_test(reads_a_command_line),
        cmocka_unit_test(a_command_line_knows_fewer_keys),
        cmocka_unit_test(survives_any_bytes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
