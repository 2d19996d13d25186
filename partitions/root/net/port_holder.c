/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/net/port_holder.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TCP_STATE_LISTEN 0x0A

/* Looks through one of /proc/net/{tcp,tcp6,udp,udp6}: the socket's inode and its owner. */
static bool find_socket(const char *path, bool listening, in_addr_t address, in_port_t port,
                        unsigned long *inode, unsigned *user)
{
    FILE *file = fopen(path, "re");
    char line[512];
    bool found = false;
    while (file && !found && fgets(line, sizeof(line), file)) {
        char local[33];
        unsigned local_port, state;
        if (sscanf(line, " %*u: %32[0-9A-F]:%x %*[0-9A-F]:%*x %x %*s %*s %*s %u %*u %lu", local, &local_port,
                   &state, user, inode) != 5 ||
            local_port != ntohs(port) || (listening && state != TCP_STATE_LISTEN))
            continue;
        /* The last eight digits are the IPv4 address, also in an IPv6 one that maps it; all zero is any. */
        in_addr_t bound = (in_addr_t)strtoul(local + strlen(local) - 8, NULL, 16);
        bool any = strspn(local, "0") == strlen(local);
        found = any || address == INADDR_ANY || bound == address;
    }
    if (file)
        fclose(file);
    return found;
}

/* Whether a process has the socket among its descriptors. */
static bool has_socket(const char *process, unsigned long inode)
{
    char path[300], wanted[64], target[64];
    snprintf(wanted, sizeof(wanted), "socket:[%lu]", inode);
    snprintf(path, sizeof(path), "/proc/%s/fd", process);
    DIR *directory = opendir(path);
    bool found = false;
    struct dirent *entry;
    while (directory && !found && (entry = readdir(directory))) {
        ssize_t length = readlinkat(dirfd(directory), entry->d_name, target, sizeof(target) - 1);
        if (length > 0) {
            target[length] = '\0';
            found = strcmp(target, wanted) == 0;
        }
    }
    if (directory)
        closedir(directory);
    return found;
}

static void read_command(const char *process, char command[32])
{
    char path[300];
    snprintf(path, sizeof(path), "/proc/%s/comm", process);
    FILE *file = fopen(path, "re");
    if (!file || !fgets(command, 32, file))
        strcpy(command, "?");
    command[strcspn(command, "\n")] = '\0';
    if (file)
        fclose(file);
}

bool port_holder_describe(int protocol, in_addr_t address, in_port_t port, char text[PORT_HOLDER_TEXT])
{
    const bool tcp = protocol == IPPROTO_TCP;
    unsigned long inode;
    unsigned user;
    if (!find_socket(tcp ? "/proc/net/tcp" : "/proc/net/udp", tcp, address, port, &inode, &user) &&
        !find_socket(tcp ? "/proc/net/tcp6" : "/proc/net/udp6", tcp, address, port, &inode, &user))
        return false;
    DIR *directory = opendir("/proc");
    bool found = false;
    struct dirent *entry;
    while (directory && !found && (entry = readdir(directory))) {
        if (entry->d_name[0] < '1' || entry->d_name[0] > '9' || !has_socket(entry->d_name, inode))
            continue;
        char command[32];
        read_command(entry->d_name, command);
        snprintf(text, PORT_HOLDER_TEXT, "%s (process %.20s)", command, entry->d_name);
        found = true;
    }
    if (directory)
        closedir(directory);
    if (!found)
        snprintf(text, PORT_HOLDER_TEXT, "a process of user id %u", user);
    return true;
}
