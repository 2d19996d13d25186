/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tools/loam/progress.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tools/loam/cli.h"

#define WIDTH 40

static volatile sig_atomic_t cancelled;
static int shown = -1; /* per cent */

static void on_signal(int number)
{
    cancelled = number;
}

static void draw(void *context, uint64_t done, uint64_t total)
{
    const char *what = context;
    int percent = total ? (int)((double)done * 100 / (double)total) : 100;
    char bar[WIDTH + 1];
    if (percent == shown)
        return;
    shown = percent;
    memset(bar, '-', WIDTH);
    memset(bar, '#', (size_t)(percent * WIDTH / 100));
    bar[WIDTH] = '\0';
    fprintf(stderr, "\r%s [%s] %3d %%", what, bar, percent);
    fflush(stderr);
}

struct disk_progress progress_begin(const char *what)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
    const struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    struct sigaction before;
    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
        if (sigaction(signals[i], NULL, &before) == 0 && before.sa_handler != SIG_IGN) /* nohup(1) */
            sigaction(signals[i], &action, NULL);
    struct disk_progress progress = {.context = (void *)what, .cancel = &cancelled};
    if (isatty(STDERR_FILENO) && !cli_options.json)
        progress.report = draw;
    return progress;
}

int progress_signal(void)
{
    return cancelled;
}

void progress_end(void)
{
    if (shown >= 0)
        fprintf(stderr, "\r\033[K");
    shown = -1;
}
