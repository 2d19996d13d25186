/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/fetch/http_answer.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "partitions/root/disk/remote_source.h"

enum { HTTP_OK = 200, HTTP_PARTIAL = 206, HTTP_NOT_SATISFIABLE = 416 };

/* ---- Lines ---- */

/* Digits, and moves behind them. False: there are none, or the number is above INT64_MAX. */
static bool take_number(const char **at, uint64_t *number)
{
    const char *begin = *at;
    *number = 0;
    for (; **at >= '0' && **at <= '9'; (*at)++) {
        uint64_t digit = (uint64_t)(**at - '0');
        if (*number > ((uint64_t)INT64_MAX - digit) / 10)
            return false;
        *number = *number * 10 + digit;
    }
    return *at > begin;
}

static bool take_text(const char **at, const char *text)
{
    bool there = strncasecmp(*at, text, strlen(text)) == 0;
    if (there)
        *at += strlen(text);
    return there;
}

/* RFC 9110 14.4: "bytes FIRST-LAST/TOTAL". */
static void take_range(struct http_answer *answer, const char *at)
{
    answer->has_range = take_text(&at, "bytes ") && take_number(&at, &answer->first) && take_text(&at, "-") &&
                        take_number(&at, &answer->last) && take_text(&at, "/") && take_number(&at, &answer->total) &&
                        !*at && answer->first <= answer->last && answer->last < answer->total;
}

/* RFC 9110 8.8.3: only a strong tag says that files are the same byte for byte. */
static void take_tag(struct http_answer *answer, const char *at)
{
    if (at[0] == '"' && remote_source_check_validator(at))
        strcpy(answer->tag, at);
}

static void take_modified(struct http_answer *answer, const char *at)
{
    if (remote_source_check_validator(at))
        strcpy(answer->modified, at);
}

static void take_encoding(struct http_answer *answer, const char *at)
{
    answer->encoded = strcasecmp(at, "identity") != 0;
}

static const struct {
    const char *name;
    void (*take)(struct http_answer *answer, const char *value);
} headers[] = {
    {"Content-Range:",    take_range   },
    {"ETag:",             take_tag     },
    {"Last-Modified:",    take_modified},
    {"Content-Encoding:", take_encoding},
};

/* The first line of an answer, "HTTP/1.1 206 Partial Content"; what was before is that of a redirection. */
static bool take_status(struct http_answer *answer, const char *line)
{
    uint64_t status;
    const char *at = line + strcspn(line, " ");
    if (strncmp(line, "HTTP/", strlen("HTTP/")) != 0)
        return false;
    size_t bytes = answer->header_bytes;
    *answer = (struct http_answer){.header_bytes = bytes};
    if (take_text(&at, " ") && take_number(&at, &status) && status >= 100 && status <= 999)
        answer->status = (unsigned)status;
    return true;
}

bool http_answer_add(struct http_answer *answer, const char *line, size_t length)
{
    char text[2 * FETCH_TEXT_SIZE];
    answer->header_bytes += length;
    if (answer->header_bytes > HTTP_HEADERS_MAXIMUM)
        return false;
    while (length > 0 && strchr("\r\n\t ", line[length - 1]))
        length--;
    if (length >= sizeof(text) || memchr(line, '\0', length))
        return true; /* none that matters here */
    memcpy(text, line, length);
    text[length] = '\0';
    if (take_status(answer, text))
        return true;
    for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
        const char *at = text;
        if (take_text(&at, headers[i].name))
            headers[i].take(answer, at + strspn(at, "\t "));
    }
    return true;
}

/* ---- Judging ---- */

/* For statuses that are an answer of their own. */
static const struct {
    unsigned status;
    const char *text;
} reasons[] = {
    {401,     "the server wants a password, which Loam has none of"},
    {403,     "the server does not allow to read it"               },
    {404,     "the server has no such file"                        },
    {410,     "the server has no such file any more"               },
    {429,     "the server is asked too much"                       },
    {502,     "the server cannot reach the one behind it"          },
    {503,     "the server is not available now"                    },
    {504,     "the server gets no answer from the one behind it"   },
    {HTTP_OK, "the server has sent all of the file, not the part"  },
};

static enum reader_verdict judge_status(unsigned status, char reason[FETCH_TEXT_SIZE])
{
    for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
        if (reasons[i].status == status) {
            snprintf(reason, FETCH_TEXT_SIZE, "%s (HTTP status %u)", reasons[i].text, status);
            return READER_RETRY;
        }
    snprintf(reason, FETCH_TEXT_SIZE, "the server does not send it (HTTP status %u)", status);
    return READER_RETRY;
}

static enum reader_verdict refuse(char reason[FETCH_TEXT_SIZE], const char *text)
{
    snprintf(reason, FETCH_TEXT_SIZE, "%s", text);
    return READER_REFUSED;
}

static enum reader_verdict judge_range(const struct http_answer *answer, const struct fetch_read *read, bool first,
                                       char reason[FETCH_TEXT_SIZE])
{
    if (answer->has_range && !answer->encoded && answer->first == read->offset &&
        answer->last == read->offset + read->length - 1)
        return READER_DONE;
    if (first)
        return refuse(reason, "the server does not serve parts of files");
    snprintf(reason, FETCH_TEXT_SIZE, "the server has sent other bytes than it was asked for");
    return READER_RETRY;
}

enum reader_verdict http_answer_judge(const struct http_answer *answer, const struct fetch_read *read,
                                      struct reader *reader, char reason[FETCH_TEXT_SIZE])
{
    /* With a source that is known to serve them, what is wrong with parts may be a passing fault. */
    bool first = !reader->size_known || !reader->validator_known;
    const char *validator = answer->tag[0] ? answer->tag : answer->modified;
    enum reader_verdict verdict;
    switch (answer->status) {
    case HTTP_PARTIAL:
        if (answer->has_range && reader->size_known && answer->total != reader->source.size)
            return reader_check_source(reader, answer->total, validator, reason);
        verdict = judge_range(answer, read, first, reason);
        return verdict != READER_DONE ? verdict : reader_check_source(reader, answer->total, validator, reason);
    case HTTP_NOT_SATISFIABLE:
        return reader->size_known ? refuse(reason, "what is there is not what it was: it is shorter now")
                                  : refuse(reason, "there is an empty file");
    case HTTP_OK:
        if (first)
            return refuse(reason, "the server does not serve parts of files");
        /* fall through */
    default:
        return judge_status(answer->status, reason);
    }
}
