/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tools/loam/table.h"

#include <libsmartcols/libsmartcols.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "tools/loam/cli.h"

#define NAME_WIDTH 15

/* Of the terminal that tables go to; 0: to none. */
static unsigned terminal_width;

static void require(bool done)
{
    if (done)
        return;
    cli_complain("no memory");
    exit(CLI_REFUSED);
}

void table_look_at_terminal(void)
{
    struct winsize size;
    if (isatty(STDOUT_FILENO) && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0)
        terminal_width = size.ws_col;
}

struct libscols_table *table_create(const struct table_column *columns, size_t count)
{
    struct libscols_table *table = scols_new_table();
    require(table);
    if (terminal_width) {
        scols_table_set_termforce(table, SCOLS_TERMFORCE_ALWAYS);
        scols_table_set_termwidth(table, terminal_width);
    }
    for (size_t i = 0; i < count; i++)
        require(scols_table_new_column(table, columns[i].name, 0, columns[i].right ? SCOLS_FL_RIGHT : 0));
    return table;
}

struct libscols_line *table_add_line(struct libscols_table *table)
{
    struct libscols_line *line = scols_table_new_line(table, NULL);
    require(line);
    return line;
}

void table_set(struct libscols_line *line, size_t column, const char *format, ...)
{
    char *text;
    va_list arguments;
    va_start(arguments, format);
    int length = vasprintf(&text, format, arguments);
    va_end(arguments);
    require(length >= 0 && scols_line_refer_data(line, column, text) == 0);
}

void table_print(struct libscols_table *table)
{
    scols_print_table(table);
    scols_unref_table(table);
}

void table_describe(const char *name, const char *format, ...)
{
    va_list arguments;
    int gap = NAME_WIDTH - (int)strlen(name);
    printf("%s:%*s", name, gap > 1 ? gap : 1, "");
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    putchar('\n');
}
