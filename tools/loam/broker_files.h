/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Files that a broker may be asked for, and what may be done with them. Paths are compared as texts. */
#ifndef LOAM_BROKER_FILES_H
#define LOAM_BROKER_FILES_H

#include <stdbool.h>
#include <sys/types.h>

/* What may be done with a file; with any of them it may be asked where and what it is. */
enum {
    BROKER_LOOK = 1u << 0, /* nothing else */
    BROKER_READ = 1u << 1,
    BROKER_WRITE = 1u << 2,  /* open it for writing and reading, and set its times */
    BROKER_CREATE = 1u << 3, /* make it */
    BROKER_REPLACE = 1u << 4,
    BROKER_REMOVE = 1u << 5, /* after it was opened, while it is the same file */
    BROKER_BACKUP = 1u << 6, /* make PATH.repair-backup, or that with a number behind it */
    BROKER_LIST = 1u << 7,   /* list its directory, and read the images in there */
    BROKER_CHANGE = BROKER_READ | BROKER_WRITE,
};

struct broker_file {
    struct broker_file *next;
    char *path;
    unsigned given; /* rights by what the user has said */
    unsigned found; /* rights as a parent that an image names: it has to look like an image, too */
    bool opened;    /* then it was this one: */
    dev_t device;
    ino_t inode;
};

/* The file of that path; NULL: there is none. */
struct broker_file *broker_files_find(struct broker_file *files, const char *path);
/* The same, made without rights if there is none; NULL without memory. */
struct broker_file *broker_files_add(struct broker_file **files, const char *path);
void broker_files_free(struct broker_file *files);

/* Whether the path is of something in the directory of a file that may be listed. */
bool broker_files_list(const struct broker_file *files, const char *path);
/* Whether it may be asked what is at that path: one of the files, or their directories, or what these list. */
bool broker_files_know(const struct broker_file *files, const char *path);
/* Whether it is the name of a backup that may be made. */
bool broker_files_back_up(const struct broker_file *files, const char *path);

/* Remembers which file was opened; whether this is it; and opens it again for reading, or returns -1 with errno. */
void broker_file_note(struct broker_file *file, int descriptor);
bool broker_file_is(const struct broker_file *file, int descriptor);
int broker_file_open_again(const struct broker_file *file);

/* Whether it is a regular file with the signature of a VHD or a VHDX, of which nothing else is looked at. */
bool broker_looks_like_image(int descriptor);

#endif
