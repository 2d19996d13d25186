/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the answers to requests on the control socket are made with. */
#ifndef WORKER_CONTROL_ANSWER_H
#define WORKER_CONTROL_ANSWER_H

#include <jansson.h>

#include "partitions/root/worker/control.h"

/* A request that is neither done nor refused with words has run out of memory. */
struct answer {
    json_t *result;
    const char *code; /* of an error */
    char message[LIFE_CYCLE_TEXT];
    /* Behind the answer the connection is no more the control's: `take` gets the descriptor. NULL: it stays. */
    void (*take)(struct control *control, int descriptor, pid_t peer, const json_t *request);
};

void control_refuse(struct answer *answer, const char *code, const char *message);

/* The requests about the screen (control_screen.c) */
void control_answer_screen(struct control_connection *connection, const json_t *request, struct answer *answer);
void control_answer_screenshot(struct control_connection *connection, const json_t *request, struct answer *answer);
void control_answer_screen_text(struct control_connection *connection, const json_t *request, struct answer *answer);
void control_answer_keys(struct control_connection *connection, const json_t *request, struct answer *answer);

/* The requests about what is in the drives, and what is told of it (control_media.c) */
void control_answer_media(struct control_connection *connection, const json_t *request, struct answer *answer);
void control_answer_insert(struct control_connection *connection, const json_t *request, struct answer *answer);
void control_answer_eject(struct control_connection *connection, const json_t *request, struct answer *answer);
json_t *control_media_event(const struct storage_drive *drive);

/* Disks whose parent is fetched (control_source.c) */
void control_answer_source(struct control_connection *connection, const json_t *request, struct answer *answer);
json_t *control_sources(const struct storage *storage);

#endif
