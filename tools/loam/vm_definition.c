/* SPDX-License-Identifier: GPL-2.0-or-later */
/* loam vm create and loam vm set: the options that make a definition. */
#include <stdio.h>
#include <string.h>

#include "tools/loam/cli.h"
#include "tools/loam/path.h"
#include "tools/loam/size.h"
#include "tools/loam/verbs.h"

enum {
    OPTION_NO_KERNEL = 0x100,
    OPTION_NO_INITRD,
    OPTION_NO_DISKS,
    OPTION_NO_NICS,
    OPTION_DVD,
    OPTION_NO_DVDS,
    OPTION_FLOPPY,
    OPTION_NO_FLOPPIES,
    OPTION_BOOT,
    OPTION_GRAPHICS,
    OPTION_NO_GRAPHICS,
    OPTION_COM2,
    OPTION_UUID,
};

struct definition_arguments {
    const char *name;
    json_t *values; /* the request's arguments */
};

/* What can be written; how many a virtual machine can have, loamd knows. */
#define MOST_PROCESSORS 65535u

#define MEMORY_DOC     "Memory, as 512M or 2G"
#define PROCESSORS_DOC "Virtual processors"
#define KERNEL_DOC     "Linux kernel to start directly (a bzImage), instead of the firmware and what is on the disks"
#define INITRD_DOC     "Its initial RAM disk"
#define CMDLINE_DOC    "Its command line"
#define DISK_DOC                                                                                                       \
    "Disk: a VHD; FILE,raw for a raw image or a block device; FILE,read-only for one that must not be "                \
    "written. Up to four: IDE 0:0, 0:1, 1:0, 1:1"
#define DVD_DOC                                                                                                        \
    "DVD drive with this ISO image or host drive in it; `none` for one that is empty. Up to two, from IDE 1:0 on"
#define FLOPPY_DOC                                                                                                     \
    "Floppy drive with this image in it (160K to 2.88M); FILE,read-only for a write-protected one; `none` "            \
    "for a drive that is empty. Up to two"
#define BOOT_DOC                                                                                                       \
    "Where the firmware looks for a system, in this order, of dvd, disk, network and floppy with commas "              \
    "between them"
#define GRAPHICS_DOC "A graphics adapter, and so a screen"
#define COM2_DOC                                                                                                       \
    "What COM2 is connected to: `none`, file:PATH (appended to), pipe:PATH (a FIFO) or socket:PATH (a Unix "           \
    "socket that is listened on)"
#define UUID_DOC "What the firmware says of the machine"
#define NIC_DOC                                                                                                        \
    "Network adapter on this switch; SWITCH,mac=00-15-5D-01-02-03 to choose its address (default: one that "           \
    "nobody has). Up to eight"

/* clang-format off */
static const struct argp_option create_options[] = {
    {"memory", 'm', "SIZE", 0, MEMORY_DOC " (default 512M)", 0},
    {"processors", 'p', "NUMBER", 0, PROCESSORS_DOC " (default 1)", 0},
    {"kernel", 'k', "FILE", 0, KERNEL_DOC " (default none)", 0},
    {"initrd", 'i', "FILE", 0, INITRD_DOC " (default none)", 0},
    {"cmdline", 'a', "TEXT", 0, CMDLINE_DOC " (default empty)", 0},
    {"disk", 'd', "FILE", 0, DISK_DOC " (default none)", 0},
    {"dvd", OPTION_DVD, "FILE", 0, DVD_DOC " (default an empty one without --kernel)", 0},
    {"no-dvds", OPTION_NO_DVDS, NULL, 0, "No DVD drive", 0},
    {"floppy", OPTION_FLOPPY, "FILE", 0, FLOPPY_DOC " (default an empty one without --kernel)", 0},
    {"no-floppies", OPTION_NO_FLOPPIES, NULL, 0, "No floppy drive", 0},
    {"boot", OPTION_BOOT, "LIST", 0, BOOT_DOC " (default dvd,disk,network,floppy)", 0},
    {"graphics", OPTION_GRAPHICS, NULL, 0, GRAPHICS_DOC " (default without --kernel)", 0},
    {"no-graphics", OPTION_NO_GRAPHICS, NULL, 0, "None (default with --kernel)", 0},
    {"com2", OPTION_COM2, "KIND:PATH", 0, COM2_DOC " (default none)", 0},
    {"uuid", OPTION_UUID, "UUID", 0, UUID_DOC " (default a random one)", 0},
    {"nic", 'n', "SWITCH", 0, NIC_DOC " (default none)", 0},
    {0},
};
/* clang-format on */

/* clang-format off */
static const struct argp_option set_options[] = {
    {"memory", 'm', "SIZE", 0, MEMORY_DOC, 0},
    {"processors", 'p', "NUMBER", 0, PROCESSORS_DOC, 0},
    {"kernel", 'k', "FILE", 0, KERNEL_DOC, 0},
    {"initrd", 'i', "FILE", 0, INITRD_DOC, 0},
    {"no-kernel", OPTION_NO_KERNEL, NULL, 0, "None any more: the firmware starts the machine", 0},
    {"no-initrd", OPTION_NO_INITRD, NULL, 0, "None any more", 0},
    {"cmdline", 'a', "TEXT", 0, CMDLINE_DOC, 0},
    {"disk", 'd', "FILE", 0, DISK_DOC ". Those given take the place of all that were", 0},
    {"no-disks", OPTION_NO_DISKS, NULL, 0, "None any more", 0},
    {"dvd", OPTION_DVD, "FILE", 0, DVD_DOC ". Those given take the place of all that were", 0},
    {"no-dvds", OPTION_NO_DVDS, NULL, 0, "No DVD drive any more", 0},
    {"floppy", OPTION_FLOPPY, "FILE", 0, FLOPPY_DOC ". Those given take the place of all that were", 0},
    {"no-floppies", OPTION_NO_FLOPPIES, NULL, 0, "No floppy drive any more", 0},
    {"boot", OPTION_BOOT, "LIST", 0, BOOT_DOC, 0},
    {"graphics", OPTION_GRAPHICS, NULL, 0, GRAPHICS_DOC, 0},
    {"no-graphics", OPTION_NO_GRAPHICS, NULL, 0, "None any more", 0},
    {"com2", OPTION_COM2, "KIND:PATH", 0, COM2_DOC, 0},
    {"uuid", OPTION_UUID, "UUID", 0, UUID_DOC, 0},
    {"nic", 'n', "SWITCH", 0, NIC_DOC ". Those given take the place of all that were; addresses stay", 0},
    {"no-nics", OPTION_NO_NICS, NULL, 0, "None any more", 0},
    {0},
};
/* clang-format on */

static void set(const struct definition_arguments *arguments, const char *key, json_t *value)
{
    json_object_set_new(arguments->values, key, value);
}

static json_t *file_value(const char *path)
{
    return json_pack("{s:o}", "path", path_absolute(path));
}

/* Cuts `suffix` off the end; false: it is not there. */
static bool cut(char *text, const char *suffix)
{
    size_t length = strlen(text), suffix_length = strlen(suffix);
    if (length <= suffix_length || strcmp(text + length - suffix_length, suffix) != 0)
        return false;
    text[length - suffix_length] = '\0';
    return true;
}

/* A list of the request, which begins with the first element. */
static json_t *list(const struct definition_arguments *arguments, const char *key)
{
    if (!json_object_get(arguments->values, key))
        set(arguments, key, json_array());
    return json_object_get(arguments->values, key);
}

static void add_disk(const struct definition_arguments *arguments, char *text)
{
    bool raw = false, read_only = false, found = true;
    while (found) {
        found = false;
        if (cut(text, ",raw"))
            raw = found = true;
        if (cut(text, ",read-only"))
            read_only = found = true;
    }
    json_array_append_new(list(arguments, "disks"), json_pack("{s:o, s:s, s:b}", "path", path_absolute(text), "format",
                                                              raw ? "raw" : "vhd", "read_only", read_only));
}

static json_t *text_value(const char *option, const char *text)
{
    json_t *value = json_string(text);
    if (!value)
        cli_refuse("%s: what is given is not UTF-8", option);
    return value;
}

static void add_nic(const struct definition_arguments *arguments, char *text)
{
    char *mac = strstr(text, ",mac=");
    if (mac) {
        *mac = '\0';
        mac += strlen(",mac=");
    }
    json_array_append_new(list(arguments, "nics"), json_pack("{s:o, s:o*}", "switch", text_value("--nic", text), "mac",
                                                             mac ? text_value("--nic", mac) : NULL));
}

/* A drive; "none" is one that is empty. */
static void add_drive(const struct definition_arguments *arguments, const char *key, char *text, bool writable)
{
    bool read_only = writable && cut(text, ",read-only");
    json_t *drive = strcmp(text, "none") == 0 ? json_object() : file_value(text);
    if (read_only)
        json_object_set_new(drive, "read_only", json_true());
    json_array_append_new(list(arguments, key), drive);
}

static void set_boot(const struct definition_arguments *arguments, char *text)
{
    char *rest = NULL;
    json_t *order = json_array();
    for (char *name = strtok_r(text, ",", &rest); name; name = strtok_r(NULL, ",", &rest))
        json_array_append_new(order, text_value("--boot", name));
    set(arguments, "boot", order);
}

static void set_com2(const struct definition_arguments *arguments, char *text)
{
    char *colon = strchr(text, ':');
    if (colon)
        *colon = '\0';
    json_t *value = json_pack("{s:o}", "kind", text_value("--com2", text));
    if (colon)
        json_object_set_new(value, "path", path_absolute(colon + 1));
    set(arguments, "com2", value);
}

static error_t parse_values(int key, char *text, struct argp_state *state)
{
    const struct definition_arguments *arguments = state->input;
    uint64_t size;
    switch (key) {
    case 'm':
        if (!size_parse(text, &size))
            cli_refuse("--memory: '%s' is not a size: write it as 512M or 2G", text);
        set(arguments, "memory", json_integer((json_int_t)size));
        return 0;
    case 'p':
        set(arguments, "processors", json_integer(cli_parse_number("--processors", text, MOST_PROCESSORS)));
        return 0;
    case 'k':
        set(arguments, "kernel", file_value(text));
        return 0;
    case 'i':
        set(arguments, "initrd", file_value(text));
        return 0;
    case OPTION_NO_KERNEL:
        set(arguments, "kernel", json_null());
        return 0;
    case OPTION_NO_INITRD:
        set(arguments, "initrd", json_null());
        return 0;
    case 'a':
        set(arguments, "command_line", text_value("--cmdline", text));
        return 0;
    case 'd':
        add_disk(arguments, text);
        return 0;
    case OPTION_NO_DISKS:
        set(arguments, "disks", json_array());
        return 0;
    case OPTION_DVD:
        add_drive(arguments, "dvds", text, false);
        return 0;
    case OPTION_NO_DVDS:
        set(arguments, "dvds", json_array());
        return 0;
    case OPTION_FLOPPY:
        add_drive(arguments, "floppies", text, true);
        return 0;
    case OPTION_NO_FLOPPIES:
        set(arguments, "floppies", json_array());
        return 0;
    case OPTION_BOOT:
        set_boot(arguments, text);
        return 0;
    case OPTION_GRAPHICS:
    case OPTION_NO_GRAPHICS:
        set(arguments, "graphics", json_boolean(key == OPTION_GRAPHICS));
        return 0;
    case OPTION_COM2:
        set_com2(arguments, text);
        return 0;
    case OPTION_UUID:
        set(arguments, "uuid", text_value("--uuid", text));
        return 0;
    case 'n':
        add_nic(arguments, text);
        return 0;
    case OPTION_NO_NICS:
        set(arguments, "nics", json_array());
        return 0;
    default:
        return cli_take_argument(key, text, state, &((struct definition_arguments *)state->input)->name, "NAME");
    }
}

/* Whoever attaches a disk from elsewhere learns here where it goes for what it lacks. */
static void print_sources(const json_t *definition)
{
    json_t *disk;
    size_t index;
    json_array_foreach(json_object_get(definition, "disks"), index, disk)
    {
        if (cli_text(disk, "source")[0])
            printf("%s fetches what it lacks from %s\n", cli_text(disk, "path"), cli_text(disk, "source"));
    }
}

static int change(const char *request, const struct definition_arguments *arguments)
{
    int status;
    set(arguments, "name", text_value("NAME", arguments->name));
    json_t *definition = cli_call(request, arguments->values, &status);
    if (!definition)
        return status;
    if (cli_options.json) {
        cli_print_json(definition);
        return CLI_DONE;
    }
    print_sources(definition);
    json_decref(definition);
    return CLI_DONE;
}

int vm_create(int argc, char **argv)
{
    struct definition_arguments arguments = {.values = json_object()};
    cli_parse(
        argc, argv, create_options, parse_values, "NAME",
        "Defines a new virtual machine, which is Off.\vThe files must be open to you, now and at each start, "
        "whoever starts it. Without --kernel it is a whole PC, whose firmware starts what is on a DVD, a disk, the "
        "network or a floppy disk. Examples:\n"
        "  loam vm create lab --memory 512M --disk lab.vhd --dvd install.iso --nic default\n"
        "  loam vm create web1 --memory 256M --disk web1.vhd --nic default \\\n"
        "      --kernel /boot/vmlinuz --initrd /boot/initrd.img \\\n"
        "      --cmdline 'console=ttyS0 root=/dev/sda'",
        &arguments);
    return change("vm-create", &arguments);
}

int vm_set(int argc, char **argv)
{
    struct definition_arguments arguments = {.values = json_object()};
    cli_parse(argc, argv, set_options, parse_values, "NAME",
              "Changes a virtual machine that is Off. What is not named stays as it is.\vAll of its files must be "
              "open to you, also those that stay.",
              &arguments);
    if (json_object_size(arguments.values) == 0) {
        json_decref(arguments.values);
        cli_complain("nothing to change: loam vm set --help shows what can be");
        return CLI_USAGE;
    }
    return change("vm-set", &arguments);
}
