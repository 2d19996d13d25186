/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/disk/parent_search.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "partitions/root/disk/host_files.h"

/* ---- Finding a file ---- */

static bool exists(const char *path)
{
    return access(path, F_OK) == 0;
}

/* Replaces the last component, which is not there, by one that differs in case only. */
static bool match_case(char *path)
{
    char *slash = strrchr(path, '/');
    char *name = slash ? slash + 1 : path;
    char directory[PATH_MAX];
    snprintf(directory, sizeof(directory), "%.*s", slash ? (int)(slash - path) + 1 : 1, slash ? path : ".");
    DIR *entries = opendir(directory);
    const struct dirent *entry = NULL;
    while (entries && (entry = readdir(entries)) && strcasecmp(entry->d_name, name) != 0)
        ;
    if (entry)
        memcpy(name, entry->d_name, strlen(name)); /* as long as what it replaces */
    if (entries)
        closedir(entries);
    return entry != NULL;
}

/* Finds each component of the path, in any case. False: there is none. */
static bool find_any_case(char *path)
{
    for (char *end = path + 1; *end; end++) {
        end = strchrnul(end, '/');
        char after = *end;
        *end = '\0';
        bool found = exists(path) || match_case(path);
        *end = after;
        if (!found)
            return false;
        if (!after)
            break;
    }
    return exists(path);
}

static bool find_directory(const char *child, char directory[PATH_MAX])
{
    if (!realpath(child, directory))
        return false;
    char *slash = strrchr(directory, '/');
    slash[slash == directory] = '\0';
    return true;
}

bool parent_find_directly(const char *child, const char *name, char found[PATH_MAX])
{
    char directory[PATH_MAX];
    if (!name[0] || !find_directory(child, directory))
        return false;
    int length =
        name[0] == '/' ? snprintf(found, PATH_MAX, "%s", name) : snprintf(found, PATH_MAX, "%s/%s", directory, name);
    return length > 0 && length < PATH_MAX && (exists(found) || find_any_case(found));
}

/* ---- Which names ---- */

bool parent_search(const char *child, const struct parent_link *link, parent_search_visit *visit, void *context)
{
    char found[PATH_MAX];
    for (unsigned i = 0; i < link->names; i++)
        if (host_files->find_parent(child, link->name[i], found) && visit(context, found))
            return true;
    for (unsigned i = 0; i < link->names; i++) {
        const char *slash = strrchr(link->name[i], '/');
        if (slash && host_files->find_parent(child, slash + 1, found) && visit(context, found))
            return true;
    }
    return false;
}
