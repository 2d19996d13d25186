/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is made of a web server's headers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "partitions/root/fetch/http_answer.h"

static void add(struct http_answer *answer, const char *text)
{
    while (*text) {
        size_t length = strcspn(text, "\n") + 1;
        char *line = malloc(length); /* so that reading behind it is found */
        memcpy(line, text, length);
        assert_true(http_answer_add(answer, line, length));
        free(line);
        text += length;
    }
}

static struct http_answer parse(const char *text)
{
    struct http_answer answer = {0};
    add(&answer, text);
    return answer;
}

static void headers_are_understood(void **state)
{
    (void)state;
    struct http_answer answer = parse("HTTP/1.1 206 Partial Content\r\n"
                                      "content-range:   bytes 5-9/100\r\n"
                                      "ETAG: \"a b\" \r\n"
                                      "Last-Modified: Tue\r\n"
                                      "Content-Encoding: identity\r\n\r\n");
    assert_int_equal(answer.status, 206);
    assert_true(answer.has_range);
    assert_int_equal(answer.first, 5);
    assert_int_equal(answer.last, 9);
    assert_int_equal(answer.total, 100);
    assert_string_equal(answer.tag, "\"a b\"");
    assert_string_equal(answer.modified, "Tue");
    assert_false(answer.encoded);
}

/* What was before it belongs to a redirection, or to "100 Continue". */
static void the_last_answer_counts(void **state)
{
    (void)state;
    struct http_answer answer = parse("HTTP/1.1 302 Found\nETag: \"a\"\nContent-Range: bytes 0-1/2\n"
                                      "Content-Encoding: gzip\n\nHTTP/2 206\n\n");
    assert_int_equal(answer.status, 206);
    assert_string_equal(answer.tag, "");
    assert_false(answer.has_range);
    assert_false(answer.encoded);
    assert_true(parse("HTTP/1.1 206 P\nContent-Encoding: gzip\n").encoded);
}

static void odd_lines_are_left_out(void **state)
{
    static const char *const ranges[] = {
        "bytes 0-1/*",
        "bytes */2",
        "bytes 1-0/2",
        "bytes 0-2/2",
        "bytes -1-1/2",
        "bytes 0 -1/2",
        "bytes 0-1/2x",
        "bytes 0-1",
        "bytes=0-1/2",
        "lines 0-1/2",
        "bytes 0-1/9223372036854775808",
        "bytes 0-18446744073709551616/18446744073709551617",
        "",
    };
    static const char *const statuses[] = {
        "HTTP/1.1\n",    "HTTP/1.1 \n", "HTTP/1.1 x\n", "HTTP/1.1 99999999999999999999\n",
        "HTTP/1.1 12\n", "ICY 200\n",   "HTTP 200\n"};
    static const char zero[] = "ETag: \"a\0b\"\n";
    char line[128], longest[2000];
    (void)state;
    for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
        strcpy(stpcpy(line, "Content-Range: "), ranges[i]);
        strcat(line, "\n");
        assert_false(parse(line).has_range);
    }
    for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++)
        assert_int_equal(parse(statuses[i]).status, 0);
    assert_string_equal(parse("ETag: W/\"a\"\n").tag, "");
    assert_string_equal(parse("ETag: \"\x01\"\n").tag, "");
    assert_string_equal(parse("ETag: \"\xff\"\n").tag, "");
    struct http_answer answer = {0};
    assert_true(http_answer_add(&answer, zero, sizeof(zero) - 1));
    assert_string_equal(answer.tag, "");
    memset(longest, '"', sizeof(longest));
    memcpy(longest, "ETag: ", 6);
    assert_true(http_answer_add(&answer, longest, sizeof(longest)));
    assert_true(http_answer_add(&answer, longest, 6 + FETCH_TEXT_SIZE));
    assert_string_equal(answer.tag, "");
    assert_true(http_answer_add(&answer, longest, 6 + FETCH_TEXT_SIZE - 1));
    assert_int_equal(strlen(answer.tag), FETCH_TEXT_SIZE - 1);
}

static void headers_without_an_end_are_refused(void **state)
{
    struct http_answer answer = {0};
    char line[1024] = {0};
    unsigned lines = 0;
    (void)state;
    memset(line, 'a', sizeof(line));
    while (http_answer_add(&answer, line, sizeof(line)))
        lines++;
    assert_int_equal(lines, HTTP_HEADERS_MAXIMUM / sizeof(line));
}

/* ---- Judging ---- */

#define GOOD "HTTP/1.1 206 P\nContent-Range: bytes 10-19/100\nETag: \"a\"\n"

static enum reader_verdict judge(const char *text, struct reader *reader)
{
    static const struct fetch_read read = {.offset = 10, .length = 10};
    struct http_answer answer = parse(text);
    char reason[FETCH_TEXT_SIZE] = "";
    enum reader_verdict verdict = http_answer_judge(&answer, &read, reader, reason);
    assert_true((verdict == READER_DONE) == (reason[0] == '\0'));
    return verdict;
}

static void the_first_answer_tells_what_is_there(void **state)
{
    static const char *const useless[] = {
        "HTTP/1.1 200 OK\nETag: \"a\"\n",
        "HTTP/1.1 206 P\nETag: \"a\"\n",
        "HTTP/1.1 206 P\nContent-Range: bytes 10-18/100\n",
        "HTTP/1.1 206 P\nContent-Range: bytes 9-19/100\n",
        GOOD "Content-Encoding: gzip\n",
        "HTTP/1.1 416 R\nContent-Range: bytes */0\n",
    };
    struct reader reader = {0};
    (void)state;
    for (size_t i = 0; i < sizeof(useless) / sizeof(useless[0]); i++) {
        assert_int_equal(judge(useless[i], &reader), READER_REFUSED);
        assert_false(reader.size_known);
    }
    assert_int_equal(judge("HTTP/1.1 404 N\n", &reader), READER_RETRY);
    assert_int_equal(judge("HTTP/1.1 500 E\n", &reader), READER_RETRY);
    assert_int_equal(judge(GOOD, &reader), READER_DONE);
    assert_int_equal(reader.source.size, 100);
    assert_string_equal(reader.source.validator, "\"a\"");
}

static void later_answers_have_to_be_of_the_same(void **state)
{
    struct reader reader = {0};
    (void)state;
    assert_int_equal(judge(GOOD, &reader), READER_DONE);
    assert_int_equal(judge(GOOD, &reader), READER_DONE);
    assert_int_equal(judge(GOOD "ETag: \"b\"\n", &reader), READER_REFUSED);
    assert_int_equal(judge("HTTP/1.1 206 P\nContent-Range: bytes 10-19/100\n", &reader), READER_REFUSED);
    assert_int_equal(judge("HTTP/1.1 206 P\nContent-Range: bytes 10-19/101\nETag: \"a\"\n", &reader), READER_REFUSED);
    assert_int_equal(judge("HTTP/1.1 206 P\nContent-Range: bytes 0-9/101\nETag: \"a\"\n", &reader), READER_REFUSED);
    assert_int_equal(judge("HTTP/1.1 416 R\n", &reader), READER_REFUSED);
    /* A passing fault. */
    assert_int_equal(judge("HTTP/1.1 200 OK\nETag: \"a\"\n", &reader), READER_RETRY);
    assert_int_equal(judge("HTTP/1.1 206 P\nContent-Range: bytes 0-9/100\nETag: \"a\"\n", &reader), READER_RETRY);
    assert_int_equal(judge("HTTP/1.1 206 P\nETag: \"a\"\n", &reader), READER_RETRY);
    assert_int_equal(judge("", &reader), READER_RETRY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(headers_are_understood),
        cmocka_unit_test(the_last_answer_counts),
        cmocka_unit_test(odd_lines_are_left_out),
        cmocka_unit_test(headers_without_an_end_are_refused),
        cmocka_unit_test(the_first_answer_tells_what_is_there),
        cmocka_unit_test(later_answers_have_to_be_of_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
