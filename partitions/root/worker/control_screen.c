/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The control socket's requests about the screen, keyboard and mouse (docs/worker-protocol.md). */
#include "partitions/root/worker/control_answer.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "partitions/root/worker/key_name.h"
#include "partitions/root/worker/key_queue.h"
#include "partitions/root/worker/screen.h"

/* The screen, or a refusal. */
static struct screen *find_screen(const struct control_connection *connection, struct answer *answer)
{
    struct screen *screen = connection->control->screen;

    if (!screen)
        control_refuse(answer, "wrong-state", "the virtual machine has no graphics adapter");
    return screen;
}

/* ---- Viewers and pictures ---- */

static void take_viewer(struct control *control, int descriptor, pid_t peer, const json_t *request)
{
    (void)peer;
    (void)request;
    screen_attach(control->screen, descriptor, SCREEN_VIEWER);
}

static void take_picture(struct control *control, int descriptor, pid_t peer, const json_t *request)
{
    (void)peer;
    (void)request;
    screen_attach(control->screen, descriptor, SCREEN_PICTURE);
}

void control_answer_screen(struct control_connection *connection, const json_t *request, struct answer *answer)
{
    struct screen *screen = find_screen(connection, answer);

    (void)request;
    if (!screen)
        return;
    if (!screen_has_room(screen, SCREEN_VIEWER)) {
        control_refuse(answer, "busy", "too many viewers look at the screen");
        return;
    }
    answer->take = take_viewer;
    answer->result = json_object();
}

void control_answer_screenshot(struct control_connection *connection, const json_t *request, struct answer *answer)
{
    struct screen *screen = find_screen(connection, answer);

    (void)request;
    if (!screen)
        return;
    if (!screen_has_room(screen, SCREEN_PICTURE)) {
        control_refuse(answer, "busy", "other screenshots are being taken");
        return;
    }
    answer->take = take_picture;
    answer->result = json_pack("{s:s}", "type", "image/png");
}

void control_answer_screen_text(struct control_connection *connection, const json_t *request, struct answer *answer)
{
    struct screen *screen = find_screen(connection, answer);
    const struct screen_text_source *source;
    struct screen_text *text;

    (void)request;
    if (!screen)
        return;
    source = &screen_machine(screen)->text;
    text = malloc(sizeof *text);
    if (text && source->read && source->read(source->context, text))
        answer->result = screen_text_json(text);
    else if (text)
        control_refuse(answer, "wrong-state", "the screen is not in a text mode: take a screenshot");
    free(text);
}

/* ---- Keys ---- */

static bool add_keys(const json_t *keys, struct key_events *events, struct answer *answer)
{
    char error[KEY_NAME_ERROR_SIZE] = "\"keys\" must be a list of names";
    bool good = !keys || json_is_array(keys);

    for (size_t i = 0; good && i < json_array_size(keys); i++) {
        const char *name = json_string_value(json_array_get(keys, i));

        good = name && key_name_press(name, events, error);
    }
    if (!good)
        control_refuse(answer, "bad-request", error);
    return good;
}

static bool add_text(const json_t *text, struct key_events *events, struct answer *answer)
{
    char error[KEY_NAME_ERROR_SIZE] = "\"text\" must be a string";

    if (!text || (json_is_string(text) && key_name_type(json_string_value(text), events, error)))
        return true;
    control_refuse(answer, "bad-request", error);
    return false;
}

void control_answer_keys(struct control_connection *connection, const json_t *request, struct answer *answer)
{
    struct screen *screen = find_screen(connection, answer);
    struct key_events events = {.capacity = KEY_QUEUE_SIZE};
    unsigned waiting;

    if (!screen)
        return;
    events.events = malloc(events.capacity * sizeof *events.events);
    if (events.events && add_keys(json_object_get(request, "keys"), &events, answer) &&
        add_text(json_object_get(request, "text"), &events, answer)) {
        waiting = screen_type(screen, events.events, (unsigned)events.count);
        if (waiting || events.count == 0)
            answer->result = json_pack("{s:i}", "waiting", (int)waiting);
        else
            control_refuse(answer, "busy", "the keys before these are still being typed");
    }
    free(events.events);
}
