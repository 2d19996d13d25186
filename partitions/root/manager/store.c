/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/manager/store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "partitions/root/manager/name.h"
#include "partitions/root/manager/report.h"

#define SUFFIX           ".json"
#define TEMPORARY_SUFFIX ".new" /* a file that is being written: "NAME.json.new" */
#define FILE_NAME_SIZE   (NAME_SIZE + 16 + sizeof(SUFFIX TEMPORARY_SUFFIX))

static int write_text(int descriptor, const char *text, size_t length)
{
    while (length > 0) {
        ssize_t count = write(descriptor, text, length);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            return errno;
        text += count;
        length -= (size_t)count;
    }
    return fsync(descriptor) == 0 ? 0 : errno;
}

static int write_file(int directory, const char *file_name, const char *text)
{
    int descriptor =
        openat(directory, file_name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (descriptor < 0)
        return errno;
    int error = write_text(descriptor, text, strlen(text));
    if (close(descriptor) != 0 && !error)
        error = errno;
    return error;
}

int store_write(int directory, const char *name, const json_t *value)
{
    char file_name[FILE_NAME_SIZE], temporary[FILE_NAME_SIZE];
    snprintf(file_name, sizeof(file_name), "%s" SUFFIX, name);
    snprintf(temporary, sizeof(temporary), "%s" SUFFIX TEMPORARY_SUFFIX, name);
    char *text = json_dumps(value, JSON_INDENT(2));
    if (!text)
        return ENOMEM;
    int error = write_file(directory, temporary, text);
    free(text);
    if (!error && renameat(directory, temporary, directory, file_name) != 0)
        error = errno;
    if (error)
        unlinkat(directory, temporary, 0);
    else if (fsync(directory) != 0)
        error = errno;
    return error;
}

int store_remove(int directory, const char *name)
{
    char file_name[FILE_NAME_SIZE];
    snprintf(file_name, sizeof(file_name), "%s" SUFFIX, name);
    if (unlinkat(directory, file_name, 0) != 0 && errno != ENOENT)
        return errno;
    return fsync(directory) == 0 ? 0 : errno;
}

bool store_has(int directory, const char *name)
{
    char file_name[FILE_NAME_SIZE];
    snprintf(file_name, sizeof(file_name), "%s" SUFFIX, name);
    return faccessat(directory, file_name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

/* The whole file as text, to be freed; NULL and errno. */
static char *read_text(int descriptor)
{
    char *text = malloc(STORE_MAXIMUM_SIZE + 1);
    size_t length = 0;
    ssize_t count = 1;
    while (text && count != 0 && length <= STORE_MAXIMUM_SIZE) {
        count = read(descriptor, text + length, STORE_MAXIMUM_SIZE + 1 - length);
        if (count < 0 && errno != EINTR)
            break;
        if (count > 0)
            length += (size_t)count;
    }
    if (text && count >= 0 && length <= STORE_MAXIMUM_SIZE) {
        text[length] = '\0';
        return text;
    }
    if (text && count >= 0)
        errno = EFBIG;
    free(text);
    return NULL;
}

json_t *store_read(int directory, const char *name, char *error, size_t error_size)
{
    char file_name[FILE_NAME_SIZE];
    snprintf(file_name, sizeof(file_name), "%s" SUFFIX, name);
    int descriptor = openat(directory, file_name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    char *text = descriptor < 0 ? NULL : read_text(descriptor);
    json_t *value = NULL;
    if (text) {
        json_error_t where;
        value = json_loads(text, JSON_REJECT_DUPLICATES, &where);
        if (!value)
            snprintf(error, error_size, "%s: line %d: %s", file_name, where.line, where.text);
    } else {
        snprintf(error, error_size, "%s: %s", file_name, strerror(errno));
    }
    free(text);
    if (descriptor >= 0)
        close(descriptor);
    return value;
}

static bool ends_with(const char *text, const char *end)
{
    size_t length = strlen(text), end_length = strlen(end);
    return length > end_length && strcmp(text + length - end_length, end) == 0;
}

static void list_entry(int directory, const char *file_name, void (*found)(void *context, const char *name),
                       void *context)
{
    char name[NAME_MAX + 1];
    if (ends_with(file_name, SUFFIX TEMPORARY_SUFFIX)) {
        unlinkat(directory, file_name, 0);
    } else if (ends_with(file_name, SUFFIX)) {
        snprintf(name, sizeof(name), "%.*s", (int)(strlen(file_name) - strlen(SUFFIX)), file_name);
        if (name_is_valid(name))
            found(context, name);
        else
            report("%s: ignored, since \"%s\" cannot be a name", file_name, name);
    }
}

int store_list(int directory, void (*found)(void *context, const char *name), void *context)
{
    int descriptor = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *stream = descriptor < 0 ? NULL : fdopendir(descriptor);
    if (!stream) {
        int error = errno;
        if (descriptor >= 0)
            close(descriptor);
        return error;
    }
    struct dirent *entry;
    while ((errno = 0, entry = readdir(stream)) != NULL)
        list_entry(directory, entry->d_name, found, context);
    int error = errno;
    closedir(stream);
    return error;
}
