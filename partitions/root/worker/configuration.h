/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a virtual machine is made of, as loamd or a person writes it down in JSON (docs/worker-protocol.md).
 * Reading it checks form and ranges; whether files exist and are what they should be is found out by who
 * opens them.
 */
#ifndef WORKER_CONFIGURATION_H
#define WORKER_CONFIGURATION_H

#include <stdbool.h>
#include <stdint.h>

#include "partitions/root/disk/remote_source.h"
#include "partitions/root/fields.h"

#define CONFIGURATION_VERSION  1
#define CONFIGURATION_DISKS    4 /* two IDE channels with two drives */
#define CONFIGURATION_DVDS     2
#define CONFIGURATION_FLOPPIES 2
#define CONFIGURATION_SERIAL   2 /* COM1, COM2 */
#define CONFIGURATION_NICS     8
#define CONFIGURATION_PARENTS  256 /* of a disk: as many images beneath it */
/* VPs are threads, so this is all that limits them. */
#define CONFIGURATION_PROCESSORS   8
#define CONFIGURATION_NAME_SIZE    64
#define CONFIGURATION_PASSWORD     8          /* characters; VNC looks at no more */
#define CONFIGURATION_MAXIMUM_SIZE (1u << 20) /* bytes of JSON */

/* A file by path, by descriptor, or by both: then the descriptor counts, and the path is its name. */
struct configuration_file {
    char *path;     /* NULL: not given */
    int descriptor; /* -1: not given */
};

/* An image beneath a disk: a file, or what is at a URL. */
struct configuration_parent {
    struct configuration_file file; /* of a source: the socket of its loam-fetch */
    struct remote_source *source;   /* NULL: a file */
};

enum configuration_disk_format { CONFIGURATION_DISK_VHD, CONFIGURATION_DISK_RAW };

struct configuration_disk {
    struct configuration_file file;
    struct configuration_parent *parents; /* of a differencing disk, its own first; none: they are looked for */
    unsigned parent_count;
    enum configuration_disk_format format;
    bool read_only;
};

/* A drive; without a file it is empty. */
struct configuration_drive {
    struct configuration_file file;
    bool read_only;
};

/* What the firmware starts a machine from. */
enum configuration_boot {
    CONFIGURATION_BOOT_FLOPPY,
    CONFIGURATION_BOOT_DVD,
    CONFIGURATION_BOOT_DISK,
    CONFIGURATION_BOOT_NETWORK,
    CONFIGURATION_BOOT_DEVICES
};

enum configuration_serial_kind {
    CONFIGURATION_SERIAL_NONE,
    CONFIGURATION_SERIAL_CONSOLE,
    CONFIGURATION_SERIAL_FILE,
    CONFIGURATION_SERIAL_PIPE,
    CONFIGURATION_SERIAL_SOCKET,
    CONFIGURATION_SERIAL_KINDS
};

/* What these are called, and the usual order. */
extern const char *const configuration_boot_names[CONFIGURATION_BOOT_DEVICES];
extern const char *const configuration_serial_names[CONFIGURATION_SERIAL_KINDS];
extern const enum configuration_boot configuration_boot_default[CONFIGURATION_BOOT_DEVICES];

/* There is one place on the IDE channels for each drive; DVD drives begin at 1:0. */
bool configuration_drives_fit(unsigned disks, unsigned dvds);

struct configuration_serial {
    enum configuration_serial_kind kind;
    struct configuration_file file;
};

struct configuration_nic {
    uint8_t mac[6];
    struct configuration_file network; /* socket of the switch, or a connected descriptor; neither: no cable */
};

/* Where viewers of the screen may connect, beside the control socket. */
struct configuration_screen {
    struct configuration_file local; /* a Unix socket; optional */
    char *address;                   /* of a TCP port, "127.0.0.1:5901" or "[::1]:5901"; NULL: none */
    char *password;                  /* of those who come by TCP; NULL: none */
};

struct configuration {
    char name[CONFIGURATION_NAME_SIZE];
    uint64_t memory; /* bytes */
    unsigned processors;
    uint8_t uuid[16];                 /* as text has it; all zero: none */
    struct configuration_file kernel; /* neither: the machine starts by its firmware */
    struct configuration_file initrd; /* optional */
    char *command_line;
    char *firmware, *graphics_firmware, *network_firmware; /* paths; NULL: as the packages install them */
    unsigned boot_count;
    enum configuration_boot boot[CONFIGURATION_BOOT_DEVICES]; /* each at most once */
    bool boot_menu;
    bool graphics; /* there is a graphics adapter */
    unsigned disk_count;
    struct configuration_disk disks[CONFIGURATION_DISKS]; /* IDE 0:0, 0:1, 1:0, 1:1 */
    unsigned dvd_count;
    struct configuration_drive dvds[CONFIGURATION_DVDS]; /* behind the disks, from IDE 1:0 on */
    unsigned floppy_count;
    struct configuration_drive floppies[CONFIGURATION_FLOPPIES]; /* A, B */
    struct configuration_serial serial[CONFIGURATION_SERIAL];
    uint16_t debug_exit; /* port by which a guest ends the machine; 0: none */
    unsigned nic_count;
    struct configuration_nic nics[CONFIGURATION_NICS];
    struct configuration_file control;      /* listening socket; optional */
    struct configuration_file log;          /* of the console; optional */
    struct configuration_file previous_log; /* takes the log when it is full; the log's path with ".1" by default */
    struct configuration_screen screen;
    bool reboot; /* a reset by the guest starts it again; false: it turns the machine off */
};

/*
 * Reads a configuration from `text`, or from a file descriptor that can be read to its end. NULL: `error` is
 * one line that begins with `name` and says where and what.
 */
struct configuration *configuration_parse(const char *text, const char *name, char error[FIELDS_ERROR_SIZE]);
struct configuration *configuration_read(int descriptor, const char *name, char error[FIELDS_ERROR_SIZE]);
void configuration_free(struct configuration *configuration);

/* For messages: the path, or which descriptor it is. */
const char *configuration_file_name(const struct configuration_file *file);
bool configuration_file_given(const struct configuration_file *file);

#endif
