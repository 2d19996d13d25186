/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The hypervisor's log: a ring in memory, readable from the parent (LOAM_HVCALL_READ_LOG), and a serial port. */
#ifndef KERNEL_LOG_H
#define KERNEL_LOG_H

#include "hv/types.h"

struct loam_output_read_log;

/* 0: nothing on the serial port but a panic; 1: what is worth knowing; 2: and every step (log_detail). */
void log_initialize(uint32_t level);

/*
 * One line (the newline is added), cut at 200 bytes. Formats: %s %c %% and %d %u %x %p with l, ll, z, field width and
 * zero fill. Callable from any processor at any time.
 */
void log_line(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The same, only with `log = verbose`. */
void log_detail(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* For what a guest can cause at will: at most LOG_LIMIT_BURST lines a second, then one that counts the rest. */
void log_limited(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Fills `output` from byte `position` of the log on, at most `size` bytes. */
void log_read(uint64_t position, uint32_t size, struct loam_output_read_log *output);

/* The one processor that still runs panics: no lock of the log is waited for any more. */
void log_panicking(void);

/* Formats into `buffer` (always terminated if size > 0); returns the length that was written. */
size_t format_text(char *buffer, size_t size, const char *format, ...) __attribute__((format(printf, 3, 4)));
size_t format_text_list(char *buffer, size_t size, const char *format, __builtin_va_list arguments);

/* Stops the machine with a message, registers and a backtrace; resets it after the configured time. */
void panic(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

#define ASSERT(condition)                                                                                              \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            panic("%s:%d: assertion failed: %s", __FILE__, __LINE__, #condition);                                      \
    } while (0)

#endif
