/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdarg.h>
#include <string.h>

#include "drivers/host/uart.h"
#include "kernel/arch.h"
#include "kernel/lock.h"
#include "kernel/log.h"

#define LINE_MAXIMUM 200u
#define RING_BYTES   32768u
#define LIMIT_BURST  10u

static struct spinlock ring_lock;
static uint8_t ring[RING_BYTES];
static uint32_t level = 1;
static bool ignore_lock;  /* set once, by the processor that panics */
static uint64_t ring_end; /* bytes written since boot; under ring_lock */

struct sink {
    char *buffer;
    size_t size;
    size_t length;
};

static void put(struct sink *sink, char c)
{
    if (sink->length + 1 < sink->size)
        sink->buffer[sink->length++] = c;
}

static void put_number(struct sink *sink, uint64_t value, unsigned base, unsigned width, char fill, bool negative)
{
    char digits[20];
    unsigned count = 0;

    do {
        digits[count++] = "0123456789abcdef"[value % base];
        value /= base;
    } while (value > 0);
    if (negative && fill == '0')
        put(sink, '-');
    for (unsigned i = count + negative; i < width; i++)
        put(sink, fill);
    if (negative && fill != '0')
        put(sink, '-');
    while (count > 0)
        put(sink, digits[--count]);
}

/* How many l and z modifiers: 64-bit when there is any, for both mean that here. */
static bool take_long(const char **format)
{
    bool is_long = false;

    while (**format == 'l' || **format == 'z') {
        is_long = true;
        (*format)++;
    }
    return is_long;
}

static const char *format_item(struct sink *sink, const char *format, va_list *arguments)
{
    char fill = ' ';
    unsigned width = 0;
    bool is_long;
    int64_t number;
    const char *text;

    if (*format == '0') {
        fill = '0';
        format++;
    }
    while (*format >= '0' && *format <= '9')
        width = width * 10 + (unsigned)(*format++ - '0');
    is_long = take_long(&format);
    switch (*format) {
    case 's':
        for (text = va_arg(*arguments, const char *); *text; text++)
            put(sink, *text);
        break;
    case 'c':
        put(sink, (char)va_arg(*arguments, int));
        break;
    case 'd':
        number = is_long ? va_arg(*arguments, int64_t) : va_arg(*arguments, int);
        put_number(sink, number < 0 ? 0 - (uint64_t)number : (uint64_t)number, 10, width, fill, number < 0);
        break;
    case 'u':
        put_number(sink, is_long ? va_arg(*arguments, uint64_t) : va_arg(*arguments, unsigned), 10, width, fill, false);
        break;
    case 'x':
        put_number(sink, is_long ? va_arg(*arguments, uint64_t) : va_arg(*arguments, unsigned), 16, width, fill, false);
        break;
    case 'p':
        put_number(sink, (uintptr_t)va_arg(*arguments, void *), 16, 16, '0', false);
        break;
    case '\0':
        return format;
    default:
        put(sink, *format);
        break;
    }
    return format + 1;
}

static size_t format_list(char *buffer, size_t size, const char *format, va_list *arguments)
{
    struct sink sink = {buffer, size, 0};

    while (*format) {
        if (*format == '%')
            format = format_item(&sink, format + 1, arguments);
        else
            put(&sink, *format++);
    }
    if (size > 0)
        buffer[sink.length] = '\0';
    return sink.length;
}

size_t format_text_list(char *buffer, size_t size, const char *format, va_list arguments)
{
    va_list copy;
    size_t length;

    va_copy(copy, arguments);
    length = format_list(buffer, size, format, &copy);
    va_end(copy);
    return length;
}

size_t format_text(char *buffer, size_t size, const char *format, ...)
{
    va_list arguments;
    size_t length;

    va_start(arguments, format);
    length = format_text_list(buffer, size, format, arguments);
    va_end(arguments);
    return length;
}

void log_initialize(uint32_t wanted_level)
{
    level = wanted_level;
}

void log_panicking(void)
{
    ignore_lock = true;
}

static void write_line(const char *text, size_t length)
{
    if (!ignore_lock)
        lock_acquire(&ring_lock);
    for (size_t i = 0; i <= length; i++)
        ring[ring_end++ % RING_BYTES] = i < length ? (uint8_t)text[i] : '\n';
    if (level > 0 || ignore_lock) {
        uart_write("(loam) ", 7);
        uart_write(text, length);
        uart_write("\r\n", 2);
    }
    lock_release(&ring_lock);
}

void log_line(const char *format, ...)
{
    char line[LINE_MAXIMUM];
    va_list arguments;

    va_start(arguments, format);
    write_line(line, format_text_list(line, sizeof line, format, arguments));
    va_end(arguments);
}

void log_detail(const char *format, ...)
{
    char line[LINE_MAXIMUM];
    va_list arguments;

    if (level < 2)
        return;
    va_start(arguments, format);
    write_line(line, format_text_list(line, sizeof line, format, arguments));
    va_end(arguments);
}

void log_limited(const char *format, ...)
{
    static uint64_t second_began; /* atomic, like the two below: a count that is off by one harms nobody */
    static uint32_t lines, dropped;
    uint64_t now = arch_tsc();
    char line[LINE_MAXIMUM];
    va_list arguments;

    if (now - __atomic_load_n(&second_began, __ATOMIC_RELAXED) >= arch_tsc_frequency()) {
        uint32_t missed = __atomic_exchange_n(&dropped, 0, __ATOMIC_RELAXED);

        __atomic_store_n(&second_began, now, __ATOMIC_RELAXED);
        __atomic_store_n(&lines, 0, __ATOMIC_RELAXED);
        if (missed > 0)
            log_line("%u more lines like these were dropped", missed);
    }
    if (__atomic_add_fetch(&lines, 1, __ATOMIC_RELAXED) > LIMIT_BURST) {
        __atomic_add_fetch(&dropped, 1, __ATOMIC_RELAXED);
        return;
    }
    va_start(arguments, format);
    write_line(line, format_text_list(line, sizeof line, format, arguments));
    va_end(arguments);
}

void log_read(uint64_t position, uint32_t size, struct loam_output_read_log *output)
{
    uint64_t oldest;

    lock_acquire(&ring_lock);
    oldest = ring_end > RING_BYTES ? ring_end - RING_BYTES : 0;
    if (position < oldest)
        position = oldest;
    if (position > ring_end)
        position = ring_end;
    if (size > LOAM_LOG_CHUNK)
        size = LOAM_LOG_CHUNK;
    if (size > ring_end - position)
        size = (uint32_t)(ring_end - position);
    output->position = position;
    output->end = ring_end;
    output->size = size;
    for (uint32_t i = 0; i < size; i++)
        output->text[i] = ring[(position + i) % RING_BYTES];
    lock_release(&ring_lock);
}
