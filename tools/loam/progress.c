/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tools/loam/progress.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tools/loam/cli.h"
#include "tools/loam/confined.h"

#define WIDTH           40
#define PROGRESS_AT_END 101u

static volatile sig_atomic_t cancelled;
static int shown = -1; /* per cent */

/* ---- In the confined process ---- */

static void report(void *context, uint64_t done, uint64_t total)
{
    int percent = total ? (int)((double)done * 100 / (double)total) : 100;
    if (percent != shown)
        confined_show_progress(context, (unsigned)percent);
    shown = percent;
}

struct disk_progress progress_begin(const char *what)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
    const struct sigaction action = {.sa_handler = progress_cancel, .sa_flags = SA_RESTART};
    struct sigaction before;
    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
        if (sigaction(signals[i], NULL, &before) == 0 && before.sa_handler != SIG_IGN) /* nohup(1) */
            sigaction(signals[i], &action, NULL);
    return (struct disk_progress){.report = report, .context = (void *)what, .cancel = &cancelled};
}

void progress_cancel(int number)
{
    cancelled = number;
}

int progress_signal(void)
{
    return cancelled;
}

void progress_end(void)
{
    if (shown >= 0)
        confined_show_progress("", PROGRESS_AT_END);
    shown = -1;
}

/* ---- In its broker ---- */

void progress_draw(const char *what, unsigned percent)
{
    char bar[WIDTH + 1];
    if (!isatty(STDERR_FILENO) || cli_options.json)
        return;
    shown = (int)percent;
    memset(bar, '-', WIDTH);
    memset(bar, '#', (size_t)(percent * WIDTH / 100));
    bar[WIDTH] = '\0';
    fprintf(stderr, "\r%.32s [%s] %3u %%", what, bar, percent);
    fflush(stderr);
}

void progress_erase(void)
{
    if (shown >= 0)
        fprintf(stderr, "\r\033[K");
    shown = -1;
}
