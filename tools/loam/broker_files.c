/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tools/loam/broker_files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BACKUP_SUFFIX  ".repair-backup"
#define BACKUP_DIGITS  2u /* at most */
#define SIGNATURE_SIZE 8u
/* A VHD's footer, which has a byte less in old images. */
#define FOOTER_SIZE     512
#define OLD_FOOTER_SIZE 511

struct broker_file *broker_files_find(struct broker_file *files, const char *path)
{
    while (files && strcmp(files->path, path) != 0)
        files = files->next;
    return files;
}

struct broker_file *broker_files_add(struct broker_file **files, const char *path)
{
    struct broker_file *file = broker_files_find(*files, path);
    if (file)
        return file;
    file = malloc(sizeof(*file));
    char *copy = strdup(path);
    if (!file || !copy) {
        free(file);
        free(copy);
        return NULL;
    }
    *file = (struct broker_file){.next = *files, .path = copy};
    *files = file;
    return file;
}

void broker_files_free(struct broker_file *files)
{
    while (files) {
        struct broker_file *next = files->next;
        free(files->path);
        free(files);
        files = next;
    }
}

/* ---- Directories ---- */

/* Bytes of a path that are its directory's, with the slash. */
static size_t directory_length(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? (size_t)(slash - path) + 1 : 0;
}

/* Whether the first bytes of `path` are the file's directory. */
static bool is_directory_of(const struct broker_file *file, const char *path, size_t length)
{
    return directory_length(file->path) == length && memcmp(file->path, path, length) == 0;
}

bool broker_files_list(const struct broker_file *files, const char *path)
{
    size_t length = directory_length(path);
    const char *name = path + length;
    if (!*name || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return false;
    while (files && !((files->given | files->found) & BROKER_LIST && is_directory_of(files, path, length)))
        files = files->next;
    return files;
}

bool broker_files_know(const struct broker_file *files, const char *path)
{
    size_t length = strcmp(path, ".") == 0 ? 0 : strlen(path);
    if (broker_files_list(files, path))
        return true;
    while (files && strcmp(files->path, path) != 0 && !is_directory_of(files, path, length))
        files = files->next;
    return files;
}

/* ---- Backups ---- */

/* Whether it is what follows a path: the suffix, and a number or none. */
static bool is_backup_suffix(const char *text)
{
    if (strncmp(text, BACKUP_SUFFIX, strlen(BACKUP_SUFFIX)) != 0)
        return false;
    text += strlen(BACKUP_SUFFIX);
    if (!*text)
        return true;
    size_t digits = strspn(text + 1, "0123456789");
    return *text == '-' && digits >= 1 && digits <= BACKUP_DIGITS && !text[1 + digits];
}

bool broker_files_back_up(const struct broker_file *files, const char *path)
{
    for (; files; files = files->next) {
        size_t length = strlen(files->path);
        if (files->given & BROKER_BACKUP && strncmp(files->path, path, length) == 0 && is_backup_suffix(path + length))
            return true;
    }
    return false;
}

/* ---- Which file it is ---- */

void broker_file_note(struct broker_file *file, int descriptor)
{
    struct stat status;
    file->opened = fstat(descriptor, &status) == 0;
    if (file->opened) {
        file->device = status.st_dev;
        file->inode = status.st_ino;
    }
}

bool broker_file_is(const struct broker_file *file, int descriptor)
{
    struct stat status;
    return file->opened && fstat(descriptor, &status) == 0 && status.st_dev == file->device &&
           status.st_ino == file->inode;
}

int broker_file_open_again(const struct broker_file *file)
{
    int descriptor = open(file->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (descriptor < 0 || broker_file_is(file, descriptor))
        return descriptor;
    close(descriptor);
    errno = ESTALE;
    return -1;
}

static bool has_signature(int descriptor, const char *signature, off_t offset)
{
    char bytes[SIGNATURE_SIZE];
    return pread(descriptor, bytes, sizeof(bytes), offset) == sizeof(bytes) &&
           memcmp(bytes, signature, sizeof(bytes)) == 0;
}

bool broker_looks_like_image(int descriptor)
{
    struct stat status;
    return fstat(descriptor, &status) == 0 && S_ISREG(status.st_mode) && status.st_size >= FOOTER_SIZE &&
           (has_signature(descriptor, "vhdxfile", 0) || has_signature(descriptor, "conectix", 0) ||
            has_signature(descriptor, "conectix", status.st_size - FOOTER_SIZE) ||
            has_signature(descriptor, "conectix", status.st_size - OLD_FOOTER_SIZE));
}
