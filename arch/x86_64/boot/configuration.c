/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "arch/x86_64/boot/configuration.h"

struct parser {
    struct configuration *configuration;
    bool words; /* of a command line, not lines of the file */
    void (*report)(void *context, unsigned line, const char *problem);
    void *context;
};

/* A piece of the file: not terminated. */
struct piece {
    const char *text;
    size_t length;
};

struct word {
    const char *name;
    uint32_t value;
};

static const struct word log_levels[] = {{"quiet", 0}, {"normal", 1}, {"verbose", 2}, {NULL, 0}};
static const struct word serial_ports[] = {
    {"none", 0}, {"com1", 0x3F8}, {"com2", 0x2F8}, {"com3", 0x3E8}, {"com4", 0x2E8}, {NULL, 0}};
static const struct word booleans[] = {{"no", 0}, {"yes", 1}, {NULL, 0}};

#define PANIC_SECONDS_DEFAULT 30u
#define PANIC_SECONDS_MAXIMUM 86400u

void configuration_defaults(struct configuration *configuration)
{
    *configuration = (struct configuration){
        .log_level = 1, .serial_port = 0x3F8, .panic_seconds = PANIC_SECONDS_DEFAULT, .mp_services = true};
}

static bool blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static struct piece trim(struct piece piece)
{
    while (piece.length > 0 && blank(piece.text[0])) {
        piece.text++;
        piece.length--;
    }
    while (piece.length > 0 && blank(piece.text[piece.length - 1]))
        piece.length--;
    return piece;
}

static bool equal(struct piece piece, const char *name)
{
    size_t i = 0;

    while (i < piece.length && name[i] != '\0' && piece.text[i] == name[i])
        i++;
    return i == piece.length && name[i] == '\0';
}

static const struct word *find_word(const struct word *words, struct piece value)
{
    for (; words->name; words++)
        if (equal(value, words->name))
            return words;
    return NULL;
}

/* Decimal, or hexadecimal with 0x. */
static bool parse_number(struct piece value, uint32_t maximum, uint32_t *number)
{
    unsigned base = 10;
    uint64_t result = 0;

    if (value.length > 2 && value.text[0] == '0' && (value.text[1] | 0x20) == 'x') {
        base = 16;
        value.text += 2;
        value.length -= 2;
    }
    if (value.length == 0)
        return false;
    for (size_t i = 0; i < value.length; i++) {
        char c = value.text[i];
        unsigned digit = c >= '0' && c <= '9' ? (unsigned)(c - '0')
                         : (c | 0x20) >= 'a' && (c | 0x20) <= 'f' ? (unsigned)((c | 0x20) - 'a' + 10)
                                                                   : 16;
        if (digit >= base)
            return false;
        result = result * base + digit;
        if (result > maximum)
            return false;
    }
    *number = (uint32_t)result;
    return true;
}

static const char *set_text(char *target, struct piece value)
{
    if (value.length >= CONFIGURATION_TEXT)
        return "value is longer than 511 characters";
    for (size_t i = 0; i < value.length; i++)
        target[i] = value.text[i];
    target[value.length] = '\0';
    return NULL;
}

/* A path on the ESP: '/' is as good as '\', and it may begin with either or none. */
static const char *set_path(char *target, struct piece value)
{
    struct piece path = value;
    const char *problem;

    if (path.length > 0 && (path.text[0] == '/' || path.text[0] == '\\')) {
        path.text++;
        path.length--;
    }
    if (path.length == 0)
        return "path is empty";
    if (path.length + 1 >= CONFIGURATION_TEXT)
        return "value is longer than 510 characters";
    problem = set_text(target + 1, path);
    if (problem)
        return problem;
    target[0] = '\\';
    for (char *c = target; *c; c++)
        if (*c == '/')
            *c = '\\';
    return NULL;
}

static const char *set_next(struct configuration *configuration, struct piece value)
{
    return set_path(configuration->next, value);
}

static const char *set_initrd(struct configuration *configuration, struct piece value)
{
    return set_path(configuration->initrd, value);
}

static const char *set_cmdline(struct configuration *configuration, struct piece value)
{
    return set_text(configuration->cmdline, value);
}

static const char *set_log(struct configuration *configuration, struct piece value)
{
    const struct word *word = find_word(log_levels, value);

    if (!word)
        return "log must be quiet, normal or verbose; using normal";
    configuration->log_level = word->value;
    return NULL;
}

static const char *set_serial(struct configuration *configuration, struct piece value)
{
    const struct word *word = find_word(serial_ports, value);
    uint32_t port;

    if (word)
        port = word->value;
    else if (!parse_number(value, 0xFFF8, &port) || port < 0x100)
        return "serial must be none, com1 to com4, or a port from 0x100 to 0xfff8; using com1";
    configuration->serial_port = (uint16_t)port;
    return NULL;
}

static const char *set_panic(struct configuration *configuration, struct piece value)
{
    uint32_t seconds;

    if (!parse_number(value, PANIC_SECONDS_MAXIMUM, &seconds))
        return "panic must be a number of seconds from 0 (never reset) to 86400; using 30";
    configuration->panic_seconds = seconds;
    return NULL;
}

static const char *set_mp_services(struct configuration *configuration, struct piece value)
{
    const struct word *word = find_word(booleans, value);

    if (!word)
        return "mp-services must be yes or no; using yes";
    configuration->mp_services = word->value != 0;
    return NULL;
}

static const struct {
    const char *name;
    const char *(*set)(struct configuration *configuration, struct piece value);
    bool everywhere; /* in a command line, too */
} keys[] = {
    {"next",        set_next,        false},
    {"cmdline",     set_cmdline,     false},
    {"initrd",      set_initrd,      false},
    {"log",         set_log,         true },
    {"serial",      set_serial,      true },
    {"panic",       set_panic,       true },
    {"mp-services", set_mp_services, false},
};

static const char *parse_setting(const struct parser *parser, struct piece setting)
{
    struct piece name = setting, value;
    size_t at = 0;

    while (at < setting.length && setting.text[at] != '=')
        at++;
    if (at == setting.length)
        return "there is no '='";
    name.length = at;
    value = trim((struct piece){setting.text + at + 1, setting.length - at - 1});
    name = trim(name);
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        if (equal(name, keys[i].name) && (keys[i].everywhere || !parser->words))
            return keys[i].set(parser->configuration, value);
    return parser->words ? "unknown key; known are log, serial and panic"
                         : "unknown key; known are next, cmdline, initrd, log, serial, panic and mp-services";
}

static bool separates(const struct parser *parser, char c)
{
    return c == '\n' || (parser->words && blank(c));
}

static void parse(const struct parser *parser, const char *text, size_t size)
{
    unsigned number = 0;
    size_t at = 0;

    while (at < size) {
        size_t end = at;
        struct piece setting;
        const char *problem;

        while (end < size && !separates(parser, text[end]))
            end++;
        setting = trim((struct piece){text + at, end - at});
        at = end + 1;
        if (setting.length > 0 || !parser->words)
            number++;
        if (setting.length == 0 || (setting.text[0] == '#' && !parser->words))
            continue;
        problem = parse_setting(parser, setting);
        if (problem && parser->report)
            parser->report(parser->context, number, problem);
    }
}

void configuration_parse(struct configuration *configuration, const char *text, size_t size,
                         void (*report)(void *context, unsigned line, const char *problem), void *context)
{
    parse(&(struct parser){configuration, false, report, context}, text, size);
}

void configuration_parse_words(struct configuration *configuration, const char *text, size_t size,
                               void (*report)(void *context, unsigned word, const char *problem), void *context)
{
    parse(&(struct parser){configuration, true, report, context}, text, size);
}
