/* SPDX-License-Identifier: GPL-2.0-or-later */
/* loamd's own messages, one line each, to standard error (the journal, when systemd has started it). */
#ifndef MANAGER_REPORT_H
#define MANAGER_REPORT_H

void report(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
