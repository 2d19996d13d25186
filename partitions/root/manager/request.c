/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/manager/request.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "partitions/root/manager/manager.h"
#include "partitions/root/manager/text.h"

#define MESSAGE_SIZE 1536

struct request *request_create(struct manager *manager, struct client *client, json_t *message)
{
    struct request *request = calloc(1, sizeof(*request));
    if (request && !identity_copy(&request->asker, &client->identity)) {
        free(request);
        request = NULL;
    }
    if (!request) {
        json_decref(message);
        return NULL;
    }
    request->manager = manager;
    request->client = client;
    request->message = message;
    request->arguments = json_object_get(message, "arguments");
    request->process = client->process;
    return request;
}

/* Sends the answer and ends the request. Takes the reference over. */
static void end(struct request *request, json_t *answer, int descriptor)
{
    json_t *id = json_object_get(request->message, "id");
    if (answer && id)
        json_object_set(answer, "id", id);
    alarm_cancel(&request->manager->alarms, &request->alarm);
    if (request->client)
        client_answer(request->client, answer, descriptor);
    json_decref(answer);
    json_decref(request->message);
    identity_clear(&request->asker);
    free(request);
}

static json_t *refusal(const char *code, const char *text)
{
    return json_pack("{s:{s:s, s:s}}", "error", "code", code, "message", text);
}

void request_answer_with(struct request *request, json_t *result, int descriptor)
{
    json_t *answer = result ? json_pack("{s:o}", "result", result) : refusal(REFUSED_FAILED, "no memory");
    end(request, answer, descriptor);
    if (descriptor >= 0)
        close(descriptor);
}

void request_answer(struct request *request, json_t *result)
{
    request_answer_with(request, result, -1);
}

void request_refuse(struct request *request, const char *code, const char *format, ...)
{
    char text[MESSAGE_SIZE];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    text_clean(text);
    end(request, refusal(code, text), -1);
}

void request_append(struct request **list, struct request *request)
{
    while (*list)
        list = &(*list)->next;
    request->next = NULL;
    *list = request;
}

bool request_unlink(struct request **list, struct request *request)
{
    while (*list && *list != request)
        list = &(*list)->next;
    if (!*list)
        return false;
    *list = request->next;
    request->next = NULL;
    return true;
}
