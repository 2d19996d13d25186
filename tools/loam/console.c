/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tools/loam/console.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

#include "tools/loam/cli.h"

#define DETACH_KEY 0x1D /* Ctrl-] */
#define CHUNK      4096u
#define INPUT_SIZE 65536u /* typed, and not yet taken by the guest */

/* How long a virtual machine whose console has ended is given to become Off, in seconds. */
#define END_PATIENCE 3

struct console {
    int descriptor;
    bool terminal; /* standard input is one */
    bool reading;  /* standard input has not ended */
    char input[INPUT_SIZE];
    size_t input_length;
};

enum ending { ENDING_NOT_YET, ENDING_DETACHED, ENDING_CLOSED };

static struct termios original;
static volatile sig_atomic_t interrupted;

static void restore_terminal(void)
{
    tcsetattr(STDIN_FILENO, TCSADRAIN, &original);
}

static void on_signal(int number)
{
    interrupted = number;
}

/* Every key goes to the guest. A change of the window's size interrupts nothing: SIGWINCH is ignored by
 * default. */
static void make_raw(void)
{
    struct termios raw = original;
    cfmakeraw(&raw);
    atexit(restore_terminal);
    tcsetattr(STDIN_FILENO, TCSADRAIN, &raw);
}

static void catch_signals(void)
{
    static const int signals[] = {SIGTERM, SIGHUP, SIGINT, SIGQUIT};
    const struct sigaction action = {.sa_handler = on_signal}; /* no SA_RESTART: poll() ends */
    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
        sigaction(signals[i], &action, NULL);
    signal(SIGPIPE, SIG_IGN);
}

/* Writes all of it; false: nobody reads any more. */
static bool write_output(const char *bytes, size_t length)
{
    while (length > 0) {
        ssize_t count = write(STDOUT_FILENO, bytes, length);
        if (count < 0 && errno == EAGAIN) { /* the terminal is shared with one who made it so */
            struct pollfd wait = {.fd = STDOUT_FILENO, .events = POLLOUT};
            poll(&wait, 1, -1);
        }
        if (count < 0 && (errno == EAGAIN || (errno == EINTR && !interrupted)))
            continue;
        if (count < 0)
            return false;
        bytes += count;
        length -= (size_t)count;
    }
    return true;
}

static enum ending show(const struct console *console)
{
    char chunk[CHUNK];
    ssize_t count = recv(console->descriptor, chunk, sizeof(chunk), MSG_DONTWAIT);
    if (count < 0 && (errno == EAGAIN || errno == EINTR))
        return ENDING_NOT_YET;
    return count > 0 && write_output(chunk, (size_t)count) ? ENDING_NOT_YET : ENDING_CLOSED;
}

/*
 * Takes what was typed. A guest that does not listen must not keep its user here: when there is no room left,
 * a terminal's input is looked at for the key that leaves, and lost.
 */
static enum ending take_input(struct console *console)
{
    char scratch[CHUNK];
    const bool full = console->input_length == INPUT_SIZE;
    char *place = full ? scratch : console->input + console->input_length;
    ssize_t count = read(STDIN_FILENO, place, full ? sizeof(scratch) : INPUT_SIZE - console->input_length);
    if (count < 0 && (errno == EINTR || errno == EAGAIN))
        return ENDING_NOT_YET;
    if (count <= 0) {
        console->reading = false;
        return console->terminal ? ENDING_DETACHED : ENDING_NOT_YET;
    }
    const char *key = console->terminal ? memchr(place, DETACH_KEY, (size_t)count) : NULL;
    if (full)
        write_output("\a", 1);
    else
        console->input_length += key ? (size_t)(key - place) : (size_t)count;
    return key ? ENDING_DETACHED : ENDING_NOT_YET;
}

static enum ending pass_input(struct console *console)
{
    ssize_t count = send(console->descriptor, console->input, console->input_length, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (count < 0)
        return errno == EAGAIN || errno == EINTR ? ENDING_NOT_YET : ENDING_CLOSED;
    console->input_length -= (size_t)count;
    memmove(console->input, console->input + count, console->input_length);
    return ENDING_NOT_YET;
}

static enum ending turn(struct console *console)
{
    const bool room = console->terminal || console->input_length < INPUT_SIZE;
    /* clang-format off */
    struct pollfd sources[] = {
        {.fd = console->descriptor, .events = (short)(POLLIN | (console->input_length ? POLLOUT : 0))},
        {.fd = console->reading && room ? STDIN_FILENO : -1, .events = POLLIN},
    };
    /* clang-format on */
    enum ending ending = ENDING_NOT_YET;
    if (poll(sources, 2, -1) < 0)
        return errno == EINTR && !interrupted ? ENDING_NOT_YET : ENDING_DETACHED;
    if (sources[1].revents)
        ending = take_input(console);
    if (console->input_length) {
        enum ending passed = pass_input(console);
        ending = ending ? ending : passed;
    }
    if (!ending && (sources[0].revents & (POLLIN | POLLHUP | POLLERR)))
        ending = show(console);
    return ending;
}

/* What became of the virtual machine whose console has ended. */
static void explain_end(const char *name)
{
    json_t *result = cli_ask_quietly(
        "vm-wait", json_pack("{s:s, s:[s], s:i}", "name", name, "states", "Off", "timeout", END_PATIENCE));
    const char *detail = cli_text(result, "detail");
    fprintf(stderr, "\r\n[the console of %s has ended%s%s%s%s]\r\n", name, result ? ": it is " : "",
            result ? cli_text(result, "state") : "", detail[0] ? ", " : "", detail);
    json_decref(result);
}

int console_run(const char *name)
{
    static struct console console;
    enum ending ending = ENDING_NOT_YET;
    json_t *value = json_string(name);
    int status;
    json_t *result = cli_call_for_descriptor("vm-console", json_pack("{s:o}", "name", value ? value : json_string("?")),
                                             &console.descriptor, &status);
    if (!result)
        return status;
    json_decref(result);
    console.terminal = tcgetattr(STDIN_FILENO, &original) == 0;
    console.reading = true;
    catch_signals();
    if (console.terminal) {
        fprintf(stderr, "[console of %s; Ctrl-] leaves it]\n", name);
        make_raw();
    }
    while (!ending && !interrupted)
        ending = turn(&console);
    close(console.descriptor);
    if (ending == ENDING_CLOSED)
        explain_end(name);
    else if (console.terminal)
        fprintf(stderr, "\r\n[left the console of %s, which goes on]\r\n", name);
    return interrupted ? 128 + interrupted : CLI_DONE;
}
