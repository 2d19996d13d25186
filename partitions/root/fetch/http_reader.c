/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reads parts of a file of a web server (RFC 9110 section 14), with libcurl. */
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "partitions/root/fetch/http_answer.h"

#define CONNECT_SECONDS 10L
#define STALLED_SECONDS 10L /* without a byte: the connection is given up */
#define REDIRECTIONS    5L
#define RANGE_TEXT_SIZE 64u
#define HTTPS           "https"

struct transfer {
    CURL *easy; /* stays for the next read */
    struct http_reader *reader;
    struct fetch_read *read; /* NULL: none */
    struct http_answer answer;
    uint32_t received;
    bool accepted; /* what the headers say is as it has to be */
    char range[RANGE_TEXT_SIZE];
    char problem[CURL_ERROR_SIZE];
};

struct http_reader {
    struct reader reader;
    CURLM *multi;
    struct transfer transfers[READER_READS];
};

/* ---- What comes ---- */

static size_t take_header(char *line, size_t size, size_t count, void *context)
{
    struct transfer *transfer = context;
    return http_answer_add(&transfer->answer, line, size * count) ? count : 0;
}

/* Nothing is taken but what was asked for: other answers are ended here. */
static size_t take_body(char *bytes, size_t size, size_t count, void *context)
{
    struct transfer *transfer = context;
    struct fetch_read *read = transfer->read;
    char reason[FETCH_TEXT_SIZE];
    if (!transfer->accepted)
        transfer->accepted =
            http_answer_judge(&transfer->answer, read, &transfer->reader->reader, reason) == READER_DONE;
    if (!transfer->accepted || size * count > read->length - transfer->received)
        return 0;
    memcpy(read->buffer + transfer->received, bytes, size * count);
    transfer->received += (uint32_t)(size * count);
    read->progress_at = reader_now();
    return count;
}

/* ---- A read ---- */

static bool is_secure(const char *url)
{
    return strncmp(url, HTTPS, strlen(HTTPS)) == 0;
}

/* All that is the same for every read. False without memory. */
static bool prepare(struct transfer *transfer, const char *url)
{
    CURL *easy = transfer->easy = curl_easy_init();
    return easy && curl_easy_setopt(easy, CURLOPT_URL, url) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK &&
           /* Who asked for a secure connection is not led to another. */
           curl_easy_setopt(easy, CURLOPT_REDIR_PROTOCOLS_STR, is_secure(url) ? HTTPS : "http,https") == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 1L) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_MAXREDIRS, REDIRECTIONS) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_DISALLOW_USERNAME_IN_URL, 1L) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_USERAGENT, "loam-fetch") == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT, CONNECT_SECONDS) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, 1L) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, STALLED_SECONDS) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, transfer->problem) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, take_header) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_HEADERDATA, transfer) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take_body) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_WRITEDATA, transfer) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_PRIVATE, transfer) == CURLE_OK;
}

static void http_start(struct reader *reader, struct fetch_read *read)
{
    struct http_reader *http = (struct http_reader *)reader;
    struct transfer *transfer = http->transfers;
    while (transfer->read)
        transfer++; /* there are as many as there are reads */
    transfer->read = read;
    transfer->answer = (struct http_answer){0};
    transfer->received = 0;
    transfer->accepted = false;
    transfer->problem[0] = '\0';
    snprintf(transfer->range, sizeof(transfer->range), "%llu-%llu", (unsigned long long)read->offset,
             (unsigned long long)read->offset + read->length - 1);
    read->state = READ_UNDER_WAY;
    curl_easy_setopt(transfer->easy, CURLOPT_RANGE, transfer->range);
    curl_multi_add_handle(http->multi, transfer->easy);
}

/* ---- Its end ---- */

static bool is_redirection(unsigned status)
{
    return status >= 300 && status <= 399;
}

/* Of a transfer that libcurl has ended otherwise than with an answer. */
static enum reader_verdict judge_failure(const struct transfer *transfer, CURLcode code, char reason[FETCH_TEXT_SIZE])
{
    const char *problem = transfer->problem[0] ? transfer->problem : curl_easy_strerror(code);
    if (code == CURLE_UNSUPPORTED_PROTOCOL && is_redirection(transfer->answer.status)) {
        snprintf(reason, FETCH_TEXT_SIZE, "the server leads to where nothing is fetched from: %s", problem);
        return READER_REFUSED;
    }
    snprintf(reason, FETCH_TEXT_SIZE, "%s", problem);
    return READER_RETRY;
}

static enum reader_verdict judge(const struct transfer *transfer, CURLcode code, char reason[FETCH_TEXT_SIZE])
{
    enum reader_verdict verdict;
    /* Writing errors are take_body's. */
    if (code != CURLE_OK && (code != CURLE_WRITE_ERROR || !transfer->answer.status))
        return judge_failure(transfer, code, reason);
    verdict = http_answer_judge(&transfer->answer, transfer->read, &transfer->reader->reader, reason);
    if (verdict != READER_DONE || (code == CURLE_OK && transfer->received == transfer->read->length))
        return verdict;
    snprintf(reason, FETCH_TEXT_SIZE, "the server has sent %s bytes than it has announced",
             code == CURLE_OK ? "less" : "more");
    return READER_RETRY;
}

static void end(struct http_reader *http, CURL *easy, CURLcode code)
{
    struct transfer *transfer;
    char reason[FETCH_TEXT_SIZE];
    curl_easy_getinfo(easy, CURLINFO_PRIVATE, &transfer);
    curl_multi_remove_handle(http->multi, easy);
    enum reader_verdict verdict = judge(transfer, code, reason);
    struct fetch_read *read = transfer->read;
    transfer->read = NULL;
    read->data = read->buffer;
    http->reader.ended(http->reader.owner, read, verdict, reason);
}

/* Carries the transfers on. Whether one has ended. */
static bool carry_on(struct http_reader *http)
{
    int running, left;
    bool ended = false;
    const CURLMsg *message;
    curl_multi_perform(http->multi, &running);
    while ((message = curl_multi_info_read(http->multi, &left)))
        if (message->msg == CURLMSG_DONE) {
            end(http, message->easy_handle, message->data.result);
            ended = true;
        }
    return ended;
}

static void http_wait(struct reader *reader, struct pollfd *other, int timeout)
{
    struct http_reader *http = (struct http_reader *)reader;
    struct curl_waitfd wait = {.fd = other->fd,
                               .events = (short)((other->events & POLLIN ? CURL_WAIT_POLLIN : 0) |
                                                 (other->events & POLLOUT ? CURL_WAIT_POLLOUT : 0))};
    /* What has ended is told without waiting for anything else. */
    bool ended = carry_on(http);
    curl_multi_poll(http->multi, &wait, 1, ended ? 0 : timeout, NULL);
    other->revents = wait.revents;
    carry_on(http);
}

struct reader *http_reader_create(const char *url)
{
    static const struct reader_operations operations = {http_start, http_wait};
    struct http_reader *http = calloc(1, sizeof(*http));
    bool ready = http && curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK && (http->multi = curl_multi_init());
    if (!http)
        return NULL;
    http->reader = (struct reader){.operations = &operations, .url = url};
    for (unsigned i = 0; i < READER_READS && ready; i++) {
        http->transfers[i].reader = http;
        ready = prepare(&http->transfers[i], url);
    }
    return ready ? &http->reader : NULL; /* the process ends then, with all that it has */
}
