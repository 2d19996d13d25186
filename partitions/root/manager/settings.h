/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What loamd is told on its command line, with the accounts looked up. */
#ifndef MANAGER_SETTINGS_H
#define MANAGER_SETTINGS_H

#include <stdbool.h>
#include <sys/types.h>

struct settings {
    const char *state_directory;
    const char *run_directory;
    const char *log_directory;
    const char *worker; /* programs */
    const char *switch_program;
    const char *fetch;
    const char *host_device;
    char worker_user[32]; /* "UID:GID" for the worker; empty: it stays who we are */
    char fetch_user[32];  /* the same for loam-fetch */
    char switch_user[64]; /* a name; empty: as above */
    uid_t switch_uid;     /* with switch_user */
    gid_t switch_gid;
    bool has_group; /* of those who may manage */
    gid_t group;
    bool shutdown_vms;     /* be a client of the loamd that runs */
    unsigned stop_timeout; /* seconds, for that */
};

/* Ends the program with a message if something is wrong. */
void settings_parse(int argc, char **argv, struct settings *settings);

#endif
