/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Tables for people, by libsmartcols. */
#ifndef LOAM_TABLE_H
#define LOAM_TABLE_H

#include <stdbool.h>
#include <stddef.h>

struct libscols_table;
struct libscols_line;

struct table_column {
    const char *name;
    bool right; /* numbers */
};

/* Remembers how wide standard output is, for a process that has it no more when it prints a table. */
void table_look_at_terminal(void);

/* Ends the program if there is no memory. */
struct libscols_table *table_create(const struct table_column *columns, size_t count);
struct libscols_line *table_add_line(struct libscols_table *table);
void table_set(struct libscols_line *line, size_t column, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Prints and frees. */
void table_print(struct libscols_table *table);

/* A line "Name:   value" of a description. */
void table_describe(const char *name, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
