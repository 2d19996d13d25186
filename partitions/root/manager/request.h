/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One request of a client, from its arrival to its answer, which may be given much later. Whoever has it
 * answers it or refuses it, once, and it is gone. It outlives its client; then the answer goes nowhere.
 */
#ifndef MANAGER_REQUEST_H
#define MANAGER_REQUEST_H

#include <jansson.h>
#include <stdbool.h>
#include <sys/types.h>

#include "partitions/root/manager/alarm.h"
#include "partitions/root/manager/identity.h"

struct client;
struct manager;

#define REQUEST_VERSION 1

/* Why a request is refused, for programs. */
#define REFUSED_BAD_REQUEST "bad-request" /* not understood: the client's mistake */
#define REFUSED_NOT_FOUND   "not-found"   /* no such virtual machine, switch, ... */
#define REFUSED_EXISTS      "exists"      /* the name is taken */
#define REFUSED_WRONG_STATE "wrong-state" /* not while it is as it is */
#define REFUSED_DENIED      "denied"      /* the one who asks may not */
#define REFUSED_FILE        "file"        /* a file cannot be used */
#define REFUSED_VALUE       "value"       /* a value is out of range */
#define REFUSED_BUSY        "busy"        /* somebody else has it */
#define REFUSED_FAILED      "failed"      /* it was tried, and went wrong */

struct request {
    struct manager *manager;
    struct client *client;   /* NULL: gone */
    json_t *message;         /* the whole request */
    const json_t *arguments; /* an object, part of it */
    struct identity asker;
    pid_t process; /* of the asker */

    /* For who keeps it. */
    struct request *next;
    struct alarm alarm;
    void *context;
};

/* A request from a message, which it takes over. NULL: no memory. */
struct request *request_create(struct manager *manager, struct client *client, json_t *message);

/* The result's reference is taken over; NULL stands for "no memory". */
void request_answer(struct request *request, json_t *result);
/* The same with a descriptor, which is closed afterwards. */
void request_answer_with(struct request *request, json_t *result, int descriptor);
void request_refuse(struct request *request, const char *code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Lists of waiting requests. */
void request_append(struct request **list, struct request *request);
bool request_unlink(struct request **list, struct request *request);

#endif
