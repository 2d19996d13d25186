/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The verbs about a virtual machine's screen and keyboard. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tools/loam/cli.h"
#include "tools/loam/screen.h"
#include "tools/loam/verbs.h"

#define CHUNK    65536u
#define PATIENCE 30000 /* milliseconds for the next bytes of a picture */

enum { OPTION_TEXT = 0x100, OPTION_LISTEN };

/* A name that is not UTF-8 is none that exists, and a text is none that can be typed. */
static json_t *string_json(const char *text)
{
    json_t *value = json_string(text);
    return value ? value : json_string("?");
}

/* ---- Screen ---- */

struct screen_arguments {
    const char *name;
    bool text;
    const char *listen;
};

/* clang-format off */
static const struct argp_option screen_options[] = {
    {"text", OPTION_TEXT, NULL, 0, "Print what a screen in text mode shows", 0},
    {"listen", OPTION_LISTEN, "ADDRESS:PORT|PATH", 0,
     "Where viewers connect to: an address of this machine's own, 127.0.0.1 or [::1], or a Unix socket that is "
     "only yours (default 127.0.0.1 and the first port from 5900 on that is free)", 0},
    {0},
};
/* clang-format on */

static error_t parse_screen(int key, char *text, struct argp_state *state)
{
    struct screen_arguments *arguments = state->input;
    switch (key) {
    case OPTION_TEXT:
        arguments->text = true;
        return 0;
    case OPTION_LISTEN:
        arguments->listen = text;
        return 0;
    default:
        return cli_take_argument(key, text, state, &arguments->name, "NAME");
    }
}

static int show_text(const char *name)
{
    int status;
    json_t *line, *result = cli_call("vm-screen-text", json_pack("{s:o}", "name", string_json(name)), &status);
    size_t index;
    if (!result)
        return status;
    if (cli_options.json) {
        cli_print_json(result);
        return CLI_DONE;
    }
    json_array_foreach(json_object_get(result, "lines"), index, line)
    {
        puts(json_string_value(line));
    }
    json_decref(result);
    return CLI_DONE;
}

int vm_screen(int argc, char **argv)
{
    struct screen_arguments arguments = {0};
    cli_parse(argc, argv, screen_options, parse_screen, "NAME",
              "Shows a virtual machine's screen to VNC viewers that connect to this command, until Ctrl-C.\vEverybody "
              "on this machine can connect to a port; to a Unix socket, only you can.",
              &arguments);
    return arguments.text ? show_text(arguments.name) : screen_serve(arguments.name, arguments.listen);
}

/* ---- Screenshot ---- */

struct screenshot_arguments {
    const char *name, *file;
};

static error_t parse_screenshot(int key, char *text, struct argp_state *state)
{
    struct screenshot_arguments *arguments = state->input;
    if (key == ARGP_KEY_ARG && !arguments->name) {
        arguments->name = text;
        return 0;
    }
    if (key == ARGP_KEY_END && !arguments->name)
        argp_error(state, "NAME is missing");
    return cli_take_argument(key, text, state, &arguments->file, "FILE");
}

static bool write_fully(int file, const char *bytes, size_t length)
{
    while (length > 0) {
        ssize_t count = write(file, bytes, length);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            return false;
        bytes += count;
        length -= (size_t)count;
    }
    return true;
}

/* The last bytes of every PNG: an empty IEND and its checksum. */
static const char png_end[12] = {0, 0, 0, 0, 'I', 'E', 'N', 'D', '\xAE', 'B', '`', '\x82'};

/* Copies a picture up to its end. NULL: done; otherwise what is wrong. */
static const char *copy_picture(int from, int file)
{
    char bytes[sizeof(png_end) + CHUNK]; /* behind the last bytes of what came before */
    size_t kept = 0;
    for (;;) {
        struct pollfd wait = {.fd = from, .events = POLLIN};
        ssize_t count = poll(&wait, 1, PATIENCE) == 1 ? read(from, bytes + kept, CHUNK) : -1;
        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0)
            break;
        if (!write_fully(file, bytes + kept, (size_t)count))
            return strerror(errno);
        kept += (size_t)count;
        if (kept > sizeof(png_end)) {
            memmove(bytes, bytes + kept - sizeof(png_end), sizeof(png_end));
            kept = sizeof(png_end);
        }
    }
    if (kept == sizeof(png_end) && memcmp(bytes, png_end, sizeof(png_end)) == 0)
        return NULL;
    return "the picture has not come to its end";
}

/* Beside the file that is to be, and then in its place, so that there is never half of one. */
static const char *save_picture(int from, const char *path)
{
    char *part = NULL;
    mode_t mask = umask(0);
    const char *problem = NULL;
    umask(mask);
    if (asprintf(&part, "%s.XXXXXX", path) < 0)
        return "no memory";
    int file = mkostemp(part, 0);
    if (file < 0) {
        problem = strerror(errno);
        free(part);
        return problem;
    }
    problem = copy_picture(from, file);
    if (!problem && (fchmod(file, 0666 & ~mask) != 0 || fsync(file) != 0))
        problem = strerror(errno);
    close(file);
    if (!problem && rename(part, path) != 0)
        problem = strerror(errno);
    if (problem)
        unlink(part);
    free(part);
    return problem;
}

int vm_screenshot(int argc, char **argv)
{
    struct screenshot_arguments arguments = {0};
    int descriptor, status;
    cli_parse(argc, argv, NULL, parse_screenshot, "NAME FILE",
              "Writes a picture (PNG) of a virtual machine's screen to a file; - is standard output.", &arguments);
    bool output = strcmp(arguments.file, "-") == 0;
    if (output && isatty(STDOUT_FILENO))
        cli_refuse("a picture is not for a terminal: name a file, or lead standard output to one");
    json_t *result = cli_call_for_descriptor("vm-screenshot", json_pack("{s:o}", "name", string_json(arguments.name)),
                                             &descriptor, &status);
    if (!result)
        return status;
    json_decref(result);
    const char *problem = output ? copy_picture(descriptor, STDOUT_FILENO) : save_picture(descriptor, arguments.file);
    close(descriptor);
    if (!problem)
        return CLI_DONE;
    cli_complain("%s: %s", output ? "standard output" : arguments.file, problem);
    return CLI_REFUSED;
}

/* ---- Keys ---- */

struct keys_arguments {
    const char *name;
    json_t *keys;
    char *text;
};

/* clang-format off */
static const struct argp_option keys_options[] = {
    {"text", OPTION_TEXT, "TEXT", 0, "Then type a text, in which \\n is Enter, \\t Tab, \\e Escape and \\\\ a backslash",
     0},
    {0},
};
/* clang-format on */

/* In place. */
static void resolve_escapes(char *text)
{
    static const char names[] = "nte\\", characters[] = "\n\t\x1B\\";
    char *place = text;
    for (; *text; text++) {
        const char *name = text[0] == '\\' && text[1] ? strchr(names, text[1]) : NULL;
        *place++ = name ? characters[name - names] : *text;
        text += name != NULL;
    }
    *place = '\0';
}

static error_t parse_keys(int key, char *text, struct argp_state *state)
{
    struct keys_arguments *arguments = state->input;
    switch (key) {
    case OPTION_TEXT:
        resolve_escapes(text);
        arguments->text = text;
        return 0;
    case ARGP_KEY_ARG:
        if (arguments->name)
            json_array_append_new(arguments->keys, string_json(text));
        else
            arguments->name = text;
        return 0;
    case ARGP_KEY_END:
        if (!arguments->name)
            argp_error(state, "NAME is missing");
        if (json_array_size(arguments->keys) == 0 && !arguments->text)
            argp_error(state, "which keys? Name some, or give --text");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

int vm_send_keys(int argc, char **argv)
{
    struct keys_arguments arguments = {.keys = json_array()};
    cli_parse(argc, argv, keys_options, parse_keys, "NAME [KEY...]",
              "Presses keys of a virtual machine, one after the other; keys with hyphens between them together.\vKeys "
              "are named by their character, or ctrl, shift, alt, win, rctrl, rshift, ralt, rwin, menu, enter, esc, "
              "tab, space, backspace, delete, insert, home, end, pageup, pagedown, up, down, left, right, capslock, "
              "numlock, scrolllock, print, pause, f1 to f12, minus, kp0 to kp9, kpdot, kpplus, kpminus, kpstar, "
              "kpslash, kpenter. For example: ctrl-alt-delete",
              &arguments);
    json_t *values = json_pack("{s:o, s:o}", "name", string_json(arguments.name), "keys", arguments.keys);
    if (arguments.text)
        json_object_set_new(values, "text", string_json(arguments.text));
    return cli_do("vm-keys", values);
}
