/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a child records of a remote parent: anything may stand in an image that came from elsewhere. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "partitions/root/disk/remote_source.h"

static void urls_are_checked(void **state)
{
    static const char *const good[] = {
        "http://h/a.vhd",  "https://example.org:8443/d/a%20b.vhdx?x=1&y=2",
        "nbd://h",         "nbd://[::1]:10809/export",
        "nbds://h/export", "nbd+unix:///export?socket=/run/nbd",
        "http://h",
    };
    static const char *const bad[] = {
        "",
        "http",
        "http:/h/a",
        "http://",
        "http:///a",
        "http://:80/a",
        "http://u@h/a",
        "http://u:p@h/a",
        "HTTP://h/a",
        "ftp://h/a",
        "file:///etc/passwd",
        "http://h/a b",
        "http://h/a#b",
        "http://h/\n",
        "http://h/\x7f",
        "http://h/\xc3\xa4",
        "http://h/\\a",
        "http://h/\"a",
        "nbd+unix://h/?socket=/run/nbd",
        "nbd+unix:///",
        "nbd+unix:///?socket=",
        "nbd+vsock://2/",
    };
    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        assert_null(remote_source_check_url(good[i]));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_non_null(remote_source_check_url(bad[i]));
    /* A user is one in the authority only. */
    assert_null(remote_source_check_url("http://h/a@b"));
}

static void long_urls_are_refused(void **state)
{
    char url[FETCH_URL_SIZE + 1];
    (void)state;
    memset(url, 'a', sizeof(url));
    memcpy(url, "http://", 7);
    url[FETCH_URL_SIZE] = '\0';
    assert_non_null(remote_source_check_url(url));
    url[FETCH_URL_SIZE - 1] = '\0';
    assert_null(remote_source_check_url(url));
}

static void urls_are_told_from_paths(void **state)
{
    (void)state;
    assert_true(remote_source_is_url("http://h/a"));
    assert_true(remote_source_is_url("nbd+unix:///?socket=/a"));
    assert_true(remote_source_is_url("ftp://h"));
    assert_false(remote_source_is_url("a.vhd"));
    assert_false(remote_source_is_url("./http://h"));
    assert_false(remote_source_is_url("://h"));
    assert_false(remote_source_is_url("a/b://h"));
    assert_false(remote_source_is_url("http:/h"));
    assert_false(remote_source_is_url(""));
}

static void a_source_is_encoded_and_decoded(void **state)
{
    struct remote_source source = {.raw = true, .size = INT64_MAX}, decoded;
    char text[REMOTE_SOURCE_TEXT_SIZE];
    (void)state;
    /* The longest there is. */
    memset(source.url, 'a', sizeof(source.url) - 1);
    memcpy(source.url, "https://", 8);
    memset(source.validator, '"', sizeof(source.validator) - 1);
    remote_source_encode(&source, text);
    assert_true(strlen(text) < sizeof(text) - 1);
    assert_true(remote_source_decode(text, strlen(text), &decoded));
    assert_memory_equal(&source, &decoded, sizeof(source));

    source = (struct remote_source){.url = "nbd://h/e", .size = 1};
    remote_source_encode(&source, text);
    assert_string_equal(text, "nbd://h/e\nimage\n1\n\n");
    assert_true(remote_source_decode(text, strlen(text), &decoded));
    assert_memory_equal(&source, &decoded, sizeof(source));
}

/* A text in memory of its own, so that reading behind it is found. */
static bool decode(const char *text, size_t length)
{
    static const struct remote_source none;
    struct remote_source source;
    char *copy = malloc(length + 1);
    memcpy(copy + 1, text, length);
    bool valid = remote_source_decode(copy + 1, length, &source);
    free(copy);
    if (!valid)
        assert_memory_equal(&source, &none, sizeof(none));
    return valid;
}

static void hostile_texts_are_refused(void **state)
{
    static const char *const bad[] = {
        "http://h/a",
        "http://h/a\n",
        "http://h/a\nraw",
        "http://h/a\nraw\n512",
        "http://h/a\nraw\n512\n",
        "http://h/a\nraw\n512\n\"e\"",
        "http://h/a\nraw\n512\n\"e\"\n\n",
        "http://h/a\nraw\n512\n\"e\"\nmore",
        "http://u:p@h/a\nraw\n512\n\n",
        "file:///etc/shadow\nraw\n512\n\n",
        "\nraw\n512\n\n",
        "http://h/a\nRAW\n512\n\n",
        "http://h/a\nraw \n512\n\n",
        "http://h/a\nrawrawrawrawrawrawraw\n512\n\n",
        "http://h/a\nraw\n\n\n",
        "http://h/a\nraw\n0\n\n",
        "http://h/a\nraw\n0512\n\n",
        "http://h/a\nraw\n-512\n\n",
        "http://h/a\nraw\n+512\n\n",
        "http://h/a\nraw\n 512\n\n",
        "http://h/a\nraw\n0x200\n\n",
        "http://h/a\nraw\n9223372036854775808\n\n",
        "http://h/a\nraw\n18446744073709552128\n\n",
        "http://h/a\nraw\n99999999999999999999999999\n\n",
        "http://h/a\nraw\n512\n\"\x1b[2J\"\n",
        "http://h/a\nraw\n512\n\"\xc3\xa4\"\n",
        "http://h/a\r\nraw\r\n512\r\n\r\n",
    };
    static const char zeros[] = "http://h/a\0b\nraw\n512\n\n", late[] = "http://h/a\nraw\n512\n\"\0\"\n";
    (void)state;
    assert_false(decode("", 0));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(decode(bad[i], strlen(bad[i])));
    assert_false(decode(zeros, sizeof(zeros) - 1));
    assert_false(decode(late, sizeof(late) - 1));
    assert_true(decode("http://h/a\nraw\n512\n\n", 20));
    assert_true(decode("http://h/a\nraw\n9223372036854775807\n\n", 36));
}

static void sources_have_names(void **state)
{
    static const struct {
        const char *url, *name;
    } names[] = {
        {"http://h/d/a.vhd?x=/y",        "a.vhd"},
        {"http://h:80/d/",               "d"    },
        {"http://h:80",                  "h:80" },
        {"http://h/?q",                  "h"    },
        {"nbd://h/e",                    "e"    },
        {"nbd+unix:///e?socket=/run/n",  "e"    },
        {"nbd+unix:///?socket=/run/nbd", ""     },
    };
    char name[REMOTE_SOURCE_NAME_SIZE], url[FETCH_URL_SIZE];
    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        remote_source_name(names[i].url, name);
        assert_string_equal(name, names[i].name);
    }
    memset(url, 'a', sizeof(url) - 1);
    url[sizeof(url) - 1] = '\0';
    memcpy(url, "http://h/", 9);
    remote_source_name(url, name);
    assert_int_equal(strlen(name), sizeof(name) - 1);
}

/* Children that exist have it: it stays as it is. */
static void raw_sources_have_identifiers(void **state)
{
    static const uint8_t plain[16] = {0, 0, 0, 0, 0, 0, 2, 0, 0xcb, 0xf2, 0x9c, 0xe4, 0x84, 0x22, 0x23, 0x25};
    static const uint8_t tagged[16] = {1, 2, 3, 4, 5, 6, 7, 8, 0xaf, 0x63, 0xdc, 0x4c, 0x86, 0x01, 0xec, 0x8c};
    uint8_t identifier[16];
    (void)state;
    remote_source_identifier(&(struct remote_source){.size = 512}, identifier);
    assert_memory_equal(identifier, plain, sizeof(plain));
    remote_source_identifier(&(struct remote_source){.size = 0x0102030405060708, .validator = "a"}, identifier);
    assert_memory_equal(identifier, tagged, sizeof(tagged));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(urls_are_checked),
        cmocka_unit_test(long_urls_are_refused),
        cmocka_unit_test(urls_are_told_from_paths),
        cmocka_unit_test(a_source_is_encoded_and_decoded),
        cmocka_unit_test(hostile_texts_are_refused),
        cmocka_unit_test(sources_have_names),
        cmocka_unit_test(raw_sources_have_identifiers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
