/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/worker/firmware_image.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BIOS_PATH   "/usr/share/seabios/bios-256k.bin"
#define VGA_PATH    "/usr/share/seabios/vgabios-stdvga.bin"
#define IPXE_PATH   "/boot/ipxe.lkrn"
#define IPXE_PATH_2 "/usr/lib/ipxe/ipxe.lkrn"

#define KIB          1024u
#define MIB          (1024u * KIB)
#define BIOS_UNIT    (64 * KIB)
#define ROM_BLOCK    512
#define ROM_LENGTH   2 /* in blocks: offset in an option ROM */
#define SETUP_SECTOR 512
/* As far as the option ROM of netboot.asm goes. */
#define MOST_SETUP_SECTORS 63

static bool __attribute__((format(printf, 3, 4)))
refuse(char error[FIRMWARE_ERROR_SIZE], const char *path, const char *format, ...)
{
    int length = snprintf(error, FIRMWARE_ERROR_SIZE, "%.120s: ", path);
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(error + length, FIRMWARE_ERROR_SIZE - (size_t)length, format, arguments);
    va_end(arguments);
    return false;
}

static bool is_bios(const uint8_t *data, size_t length)
{
    (void)data;
    return length % BIOS_UNIT == 0;
}

static bool is_video_bios(const uint8_t *data, size_t length)
{
    uint8_t sum = 0;
    size_t rom_length;

    if (length < ROM_BLOCK || data[0] != 0x55 || data[1] != 0xaa)
        return false;
    rom_length = data[ROM_LENGTH] * (size_t)ROM_BLOCK;
    if (rom_length == 0 || rom_length > length)
        return false;
    for (size_t i = 0; i < rom_length; i++)
        sum += data[i];
    return sum == 0;
}

/* A bzImage (Linux: Documentation/arch/x86/boot.rst). */
static bool is_kernel(const uint8_t *data, size_t length)
{
    unsigned sectors;

    if (length < 2 * SETUP_SECTOR || memcmp(data + 0x202, "HdrS", 4) != 0 || !(data[0x211] & 0x01))
        return false;
    sectors = data[0x1f1];
    return sectors >= 1 && sectors <= MOST_SETUP_SECTORS && (sectors + 1) * (size_t)SETUP_SECTOR < length;
}

static const struct {
    const char *paths[2];
    const char *package;
    const char *what;
    size_t largest;
    bool (*check)(const uint8_t *data, size_t length); /* of a file that is not empty */
} files[FIRMWARE_FILES] = {
    [FIRMWARE_BIOS] = {{BIOS_PATH},              "seabios", "a BIOS (64 KiB to 1 MiB)", MIB,      is_bios      },
    [FIRMWARE_VGA] = {{VGA_PATH},               "seabios", "a video BIOS",             64 * KIB, is_video_bios},
    [FIRMWARE_NETWORK] = {{IPXE_PATH, IPXE_PATH_2}, "ipxe",    "a Linux kernel image",     16 * MIB, is_kernel    },
};

/* Reads what the descriptor has, up to one byte more than is allowed. */
static bool read_image(struct firmware_image *image, int descriptor, const char *path, size_t largest,
                       char error[FIRMWARE_ERROR_SIZE])
{
    struct stat status;
    size_t room;

    if (fstat(descriptor, &status) != 0)
        return refuse(error, path, "cannot be examined: %s", strerror(errno));
    if (!S_ISREG(status.st_mode))
        return refuse(error, path, "is not a regular file");
    room = (uint64_t)status.st_size > largest ? largest + 1 : (size_t)status.st_size + 1;
    image->data = malloc(room);
    if (!image->data)
        return refuse(error, path, "no memory");
    while (image->length < room) {
        ssize_t count = read(descriptor, image->data + image->length, room - image->length);

        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            return refuse(error, path, "cannot be read: %s", strerror(errno));
        if (count == 0)
            break;
        image->length += (size_t)count;
    }
    return true;
}

/* The first file that is there. */
static int open_file(enum firmware_file file, const char **path)
{
    int descriptor;

    if (*path)
        return open(*path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    *path = files[file].paths[0];
    descriptor = open(*path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (descriptor >= 0 || errno != ENOENT || !files[file].paths[1])
        return descriptor;
    descriptor = open(files[file].paths[1], O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (descriptor >= 0 || errno != ENOENT)
        *path = files[file].paths[1];
    return descriptor;
}

bool firmware_load(struct firmware_image *image, enum firmware_file file, const char *path,
                   char error[FIRMWARE_ERROR_SIZE])
{
    int descriptor = open_file(file, &path);
    bool ok;

    *image = (struct firmware_image){0};
    if (descriptor < 0 && errno == ENOENT)
        return refuse(error, path, "is missing; install the package %s", files[file].package);
    if (descriptor < 0)
        return refuse(error, path, "cannot be opened: %s", strerror(errno));
    ok = read_image(image, descriptor, path, files[file].largest, error);
    close(descriptor);
    if (ok &&
        (image->length == 0 || image->length > files[file].largest || !files[file].check(image->data, image->length)))
        ok = refuse(error, path, "is not %s", files[file].what);
    if (!ok)
        firmware_unload(image);
    return ok;
}

void firmware_unload(struct firmware_image *image)
{
    free(image->data);
    *image = (struct firmware_image){0};
}
