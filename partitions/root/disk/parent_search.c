/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/disk/parent_search.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

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

static bool visit_path(const char *path, parent_search_visit *visit, void *context)
{
    char found[PATH_MAX];
    strcpy(found, path);
    return (exists(found) || find_any_case(found)) && visit(context, found);
}

/* A name in the directory of the child. */
static bool visit_in(const char *directory, const char *name, parent_search_visit *visit, void *context)
{
    char path[PATH_MAX];
    int length = snprintf(path, sizeof(path), "%s/%s", directory, name);
    return length > 0 && (size_t)length < sizeof(path) && visit_path(path, visit, context);
}

static bool find_directory(const char *child, char directory[PATH_MAX])
{
    if (!realpath(child, directory))
        return false;
    char *slash = strrchr(directory, '/');
    slash[slash == directory] = '\0';
    return true;
}

bool parent_search(const char *child, const struct parent_link *link, parent_search_visit *visit, void *context)
{
    char directory[PATH_MAX];
    if (!find_directory(child, directory))
        return false;
    for (unsigned i = 0; i < link->names; i++)
        if (link->name[i][0] == '/' ? visit_path(link->name[i], visit, context)
                                    : visit_in(directory, link->name[i], visit, context))
            return true;
    for (unsigned i = 0; i < link->names; i++) {
        const char *slash = strrchr(link->name[i], '/');
        if (slash && visit_in(directory, slash + 1, visit, context))
            return true;
    }
    return false;
}
