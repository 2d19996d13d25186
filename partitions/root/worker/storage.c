/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/worker/storage.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "partitions/root/disk/floppy_image.h"
#include "partitions/root/disk/open.h"
#include "partitions/root/disk/streaming.h"

#define DRIVES_PER_CHANNEL 2u
#define FLOPPY_IRQ         6

/* A longer name is cut, so that the reason is always there. */
#define LONGEST_NAME 256

static bool __attribute__((format(printf, 2, 3))) report(char error[STORAGE_ERROR_SIZE], const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(error, STORAGE_ERROR_SIZE, format, arguments);
    va_end(arguments);
    return false;
}

/* ---- Images ---- */

static unsigned disk_flags(const struct configuration_disk *disk)
{
    return (disk->read_only ? DISK_OPEN_READ_ONLY : 0) | (disk->format == CONFIGURATION_DISK_RAW ? DISK_OPEN_RAW : 0);
}

static struct disk *open_image(enum storage_kind kind, const struct configuration_file *file, unsigned flags,
                               struct disk_error *error)
{
    const char *name = configuration_file_name(file);
    bool given = file->descriptor >= 0;

    if (kind == STORAGE_FLOPPY)
        return given ? floppy_image_open_descriptor(file->descriptor, name, flags, error)
                     : floppy_image_open(file->path, flags, error);
    return given ? disk_open_descriptor(file->descriptor, name, flags, error) : disk_open(file->path, flags, error);
}

/* A differencing disk, with the images beneath it. */
static struct disk *open_chain(const struct configuration_disk *configuration, unsigned flags, struct disk_error *error)
{
    unsigned count = 1 + configuration->parent_count;
    struct disk_link *links = calloc(count, sizeof(*links));
    struct disk *disk = NULL;

    if (!links) {
        disk_error_set(error, ENOMEM, configuration_file_name(&configuration->file), "no memory");
        return NULL;
    }
    for (unsigned i = 0; i < count; i++) {
        const struct configuration_file *file = i ? &configuration->parents[i - 1].file : &configuration->file;

        links[i].name = file->path ? file->path : "image";
        links[i].remote = i ? configuration->parents[i - 1].source : NULL;
        links[i].descriptor = file->descriptor;
        if (file->descriptor < 0)
            links[i].descriptor =
                open(file->path, (i || flags & DISK_OPEN_READ_ONLY ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NONBLOCK);
    }
    disk = disk_open_chain(links, count, flags, error);
    free(links);
    return disk;
}

static void set_disk(struct storage *storage, struct storage_drive *drive, struct disk *disk)
{
    pthread_mutex_lock(storage->device_lock);
    drive->disk = disk;
    pthread_mutex_unlock(storage->device_lock);
}

static void close_descriptor(const struct configuration_file *file)
{
    if (file->descriptor >= 0)
        close(file->descriptor);
}

/* Puts an image beside the drive, or says why there is none; nothing is attached yet. */
static bool keep(struct storage *storage, struct storage_drive *drive, struct disk *disk,
                 const struct disk_error *disk_error, char error[STORAGE_ERROR_SIZE])
{
    if (disk) {
        set_disk(storage, drive, disk);
        return true;
    }
    if (strncmp(disk_error->text, drive->name, strlen(drive->name)) == 0)
        report(error, "%.*s: %s", LONGEST_NAME, drive->name, disk_error->text + disk_error->reason);
    else
        report(error, "%.*s: its parent %s", LONGEST_NAME, drive->name, disk_error->text);
    free(drive->name);
    drive->name = NULL;
    return false;
}

static bool set_name(struct storage_drive *drive, const struct configuration_file *file, char error[STORAGE_ERROR_SIZE])
{
    drive->name = strdup(configuration_file_name(file));
    if (drive->name)
        return true;
    close_descriptor(file);
    return report(error, "no memory");
}

static bool load(struct storage *storage, struct storage_drive *drive, const struct configuration_file *file,
                 unsigned flags, char error[STORAGE_ERROR_SIZE])
{
    struct disk_error disk_error;

    return set_name(drive, file, error) &&
           keep(storage, drive, open_image(drive->kind, file, flags, &disk_error), &disk_error, error);
}

static bool load_disk(struct storage *storage, struct storage_drive *drive,
                      const struct configuration_disk *configuration, char error[STORAGE_ERROR_SIZE])
{
    struct disk_error disk_error;
    unsigned flags = disk_flags(configuration);

    if (!configuration->parent_count)
        return load(storage, drive, &configuration->file, flags, error);
    return set_name(drive, &configuration->file, error) &&
           keep(storage, drive, open_chain(configuration, flags, &disk_error), &disk_error, error);
}

/* Closes what is beside the drive, and is attached no more. False: it could not be put in order. */
static bool unload(struct storage *storage, struct storage_drive *drive, char error[STORAGE_ERROR_SIZE])
{
    struct disk *disk = drive->disk;
    int result;

    if (!disk)
        return true;
    if (drive->started)
        disk_queue_serve(&drive->queue, NULL);
    set_disk(storage, drive, NULL);
    result = disk_close(disk);
    if (result)
        report(error, "%.*s: cannot be put in order: %s", LONGEST_NAME, drive->name, strerror(result));
    free(drive->name);
    drive->name = NULL;
    return !result;
}

/* ---- Drives ---- */

static unsigned channel_of(unsigned place)
{
    return place / DRIVES_PER_CHANNEL;
}

static unsigned unit_of(unsigned place)
{
    return place % DRIVES_PER_CHANNEL;
}

static void serial_of(unsigned place, char serial[IDE_SERIAL_LENGTH + 1])
{
    snprintf(serial, IDE_SERIAL_LENGTH + 1, "LOAM%04u", place);
}

static bool add_disk(struct storage *storage, unsigned place, const struct configuration_disk *configuration,
                     char error[STORAGE_ERROR_SIZE])
{
    struct storage_drive *drive = &storage->drives[place];
    char serial[IDE_SERIAL_LENGTH + 1];

    drive->kind = STORAGE_DISK;
    if (!load_disk(storage, drive, configuration, error))
        return false;
    serial_of(place, serial);
    return ide_attach(&storage->ide, channel_of(place), unit_of(place), drive->disk, serial) ||
           report(error, "%s: the IDE controller has no place for it", drive->name);
}

static bool insert(struct storage *storage, unsigned place)
{
    struct storage_drive *drive = &storage->drives[place];

    if (drive->kind == STORAGE_FLOPPY)
        return floppy_insert(&storage->floppy, place - STORAGE_FLOPPY_A, drive->disk);
    return ide_insert_medium(&storage->ide, channel_of(place), unit_of(place), drive->disk);
}

static bool load_medium(struct storage *storage, struct storage_drive *drive, const struct configuration_drive *medium,
                        unsigned flags, char error[STORAGE_ERROR_SIZE])
{
    flags |= drive->kind == STORAGE_DVD ? DISK_OPEN_ISO : medium->read_only ? DISK_OPEN_READ_ONLY : 0;
    return load(storage, drive, &medium->file, flags, error);
}

static bool report_unfit(const struct storage_drive *drive, char error[STORAGE_ERROR_SIZE])
{
    return report(error, "%.*s: the drive cannot read it", LONGEST_NAME, drive->name);
}

static bool add_dvd(struct storage *storage, unsigned place, unsigned number,
                    const struct configuration_drive *configuration, char error[STORAGE_ERROR_SIZE])
{
    struct storage_drive *drive = &storage->drives[place];
    char serial[IDE_SERIAL_LENGTH + 1];

    drive->kind = STORAGE_DVD;
    drive->number = number;
    serial_of(place, serial);
    if (!ide_attach_dvd(&storage->ide, channel_of(place), unit_of(place), serial))
        return report(error, "the IDE controller has no place for the DVD drive");
    if (!configuration_file_given(&configuration->file))
        return true;
    return load_medium(storage, drive, configuration, 0, error) &&
           (insert(storage, place) || report_unfit(drive, error));
}

static bool add_ide(struct storage *storage, const struct configuration *machine, char error[STORAGE_ERROR_SIZE])
{
    unsigned place = 0;

    for (unsigned i = 0; i < machine->disk_count; i++)
        if (!add_disk(storage, place++, &machine->disks[i], error))
            return false;
    if (place < CONFIGURATION_DISKS / 2)
        place = CONFIGURATION_DISKS / 2;
    for (unsigned i = 0; i < machine->dvd_count; i++)
        if (!add_dvd(storage, place + i, i, &machine->dvds[i], error))
            return false;
    return true;
}

/* The kind of drive follows from what is in it first. */
static bool add_floppies(struct storage *storage, const struct storage_configuration *configuration,
                         char error[STORAGE_ERROR_SIZE])
{
    const struct configuration *machine = configuration->machine;
    struct platform *platform = configuration->platform;
    struct floppy_configuration floppy = {
        .dma = &platform->dma, .timers = platform->timers, .line = irq_router_isa_line(&platform->router, FLOPPY_IRQ)};

    for (unsigned i = 0; i < machine->floppy_count; i++) {
        struct storage_drive *drive = &storage->drives[STORAGE_FLOPPY_A + i];

        drive->kind = STORAGE_FLOPPY;
        drive->number = i;
        if (configuration_file_given(&machine->floppies[i].file) &&
            !load_medium(storage, drive, &machine->floppies[i], 0, error))
            return false;
        floppy.drives[i] = floppy_drive_type_for(drive->disk);
    }
    storage->has_floppies = machine->floppy_count > 0;
    if (storage->has_floppies && !floppy_initialize(&storage->floppy, platform->bus, &floppy))
        return report(error, "the bus has no place for the floppy disk controller");
    for (unsigned i = STORAGE_FLOPPY_A; i < STORAGE_DRIVES; i++)
        if (storage->drives[i].disk && !insert(storage, i))
            return report_unfit(&storage->drives[i], error);
    return true;
}

/* The IDE controller lets go of a medium. */
static void medium_released(void *context, struct disk *disk)
{
    struct storage *storage = context;

    for (unsigned i = 0; i < STORAGE_DRIVES; i++)
        if (storage->drives[i].disk == disk)
            storage->drives[i].released = true;
    storage->ejected(storage->context);
}

static void no_space(void *context, struct disk *disk)
{
    struct storage *storage = context;

    storage->no_space(storage->context, disk);
}

bool storage_create(struct storage *storage, const struct storage_configuration *configuration,
                    char error[STORAGE_ERROR_SIZE])
{
    struct platform *platform = configuration->platform;
    const struct ide_configuration ide = {
        .memory = configuration->memory,
        .lines = {irq_router_isa_line(&platform->router, 14), irq_router_isa_line(&platform->router, 15)},
        .no_space = no_space,
        .medium_released = medium_released,
        .machine = storage,
    };

    storage->device_lock = configuration->device_lock;
    storage->no_space = configuration->no_space;
    storage->ejected = configuration->ejected;
    storage->context = configuration->context;
    storage->io_backend = configuration->io;
    if (!ide_initialize(&storage->ide, &platform->pci, PIIX4_SLOT, PIIX4_IDE_FUNCTION, &ide))
        return report(error, "the PCI bus has no place for the IDE controller");
    return add_ide(storage, configuration->machine, error) && add_floppies(storage, configuration, error);
}

bool storage_start(struct storage *storage, char error[STORAGE_ERROR_SIZE])
{
    int result = disk_io_start(&storage->io, storage->io_backend);

    if (result)
        return report(error, "cannot start asynchronous I/O: %s", strerror(result));
    storage->io_started = true;
    for (unsigned i = 0; i < STORAGE_DRIVES; i++) {
        struct storage_drive *drive = &storage->drives[i];

        if (drive->kind == STORAGE_NOTHING)
            continue;
        result = disk_queue_start(&drive->queue, &storage->io, storage->device_lock);
        if (result)
            return report(error, "cannot start a disk's thread: %s", strerror(result));
        drive->started = true;
        if (drive->disk)
            disk_queue_serve(&drive->queue, drive->disk);
    }
    return true;
}

void storage_reset(struct storage *storage)
{
    if (storage->has_floppies)
        floppy_reset(&storage->floppy);
}

bool storage_is_quiet(const struct storage *storage)
{
    return ide_is_quiet(&storage->ide) && (!storage->has_floppies || floppy_is_quiet(&storage->floppy));
}

void storage_resume(struct storage *storage)
{
    ide_resume(&storage->ide);
}

void storage_describe(const struct storage *storage, struct mc146818_start *start)
{
    for (unsigned i = 0; i < MC146818_FLOPPY_DRIVES; i++)
        start->floppies[i] = (enum mc146818_floppy)storage->floppy.drives[i].type;
    for (unsigned i = 0; i < MC146818_DISKS; i++)
        if (storage->drives[i].kind == STORAGE_DISK)
            start->disks[i] = disk_sectors(storage->drives[i].disk);
}

const char *storage_io_name(const struct storage *storage)
{
    return disk_io_name(&storage->io);
}

const char *storage_disk_name(const struct storage *storage, const struct disk *disk)
{
    for (unsigned i = 0; i < STORAGE_DRIVES; i++)
        if (storage->drives[i].disk == disk)
            return storage->drives[i].name;
    return "unknown disk";
}

/* ---- Sources ---- */

struct disk_file *storage_source(const struct storage *storage, unsigned place)
{
    return place < STORAGE_DRIVES && storage->drives[place].disk ? streaming_source(storage->drives[place].disk) : NULL;
}

const struct storage_drive *storage_longest_wait(const struct storage *storage, struct remote_wait *wait)
{
    const struct storage_drive *longest = NULL;

    *wait = (struct remote_wait){0};
    for (unsigned i = 0; i < STORAGE_DRIVES; i++) {
        struct disk_file *source = storage_source(storage, i);
        struct remote_wait other;

        if (!source)
            continue;
        remote_file_look(source, &other);
        if (longest && other.milliseconds <= wait->milliseconds)
            continue;
        longest = &storage->drives[i];
        *wait = other;
    }
    return longest;
}

void storage_interrupt(struct storage *storage, bool interrupted)
{
    for (unsigned i = 0; i < STORAGE_DRIVES; i++)
        if (storage_source(storage, i))
            remote_file_interrupt(storage_source(storage, i), interrupted);
}

/* ---- Media that come and go ---- */

void storage_watch(struct storage *storage, storage_media_fn *changed, void *context)
{
    storage->media_changed = changed;
    storage->media_context = context;
}

static void tell(const struct storage *storage, const struct storage_drive *drive)
{
    if (storage->media_changed)
        storage->media_changed(storage->media_context, drive->kind, drive->number);
}

/* Its place in the list; STORAGE_DRIVES if there is none. */
static unsigned find_place(const struct storage *storage, enum storage_kind kind, unsigned number)
{
    unsigned place = 0;

    while (place < STORAGE_DRIVES && (storage->drives[place].kind != kind || storage->drives[place].number != number))
        place++;
    return place;
}

const struct storage_drive *storage_find(const struct storage *storage, enum storage_kind kind, unsigned number)
{
    unsigned place = find_place(storage, kind, number);

    return place < STORAGE_DRIVES ? &storage->drives[place] : NULL;
}

static bool report_missing(const struct storage *storage, enum storage_kind kind, unsigned number,
                           char error[STORAGE_ERROR_SIZE])
{
    unsigned count = 0;

    while (storage_find(storage, kind, count))
        count++;
    return report(error, "there is no %s drive %u: the virtual machine has %u", kind == STORAGE_DVD ? "DVD" : "floppy",
                  number, count);
}

/* Puts the medium into a drive that is empty. */
static bool insert_medium(struct storage *storage, unsigned place, const struct configuration_drive *medium,
                          char error[STORAGE_ERROR_SIZE])
{
    struct storage_drive *drive = &storage->drives[place];
    char ignored[STORAGE_ERROR_SIZE];
    bool inserted;

    if (!load_medium(storage, drive, medium, DISK_OPEN_CONFINED, error))
        return false;
    if (drive->started)
        disk_queue_serve(&drive->queue, drive->disk);
    pthread_mutex_lock(storage->device_lock);
    inserted = insert(storage, place);
    pthread_mutex_unlock(storage->device_lock);
    if (inserted)
        return true;
    report_unfit(drive, error);
    unload(storage, drive, ignored);
    return false;
}

bool storage_insert(struct storage *storage, enum storage_kind kind, unsigned number,
                    const struct configuration_drive *medium, char error[STORAGE_ERROR_SIZE])
{
    unsigned place = find_place(storage, kind, number);
    const struct storage_drive *drive = &storage->drives[place % STORAGE_DRIVES];

    storage_tidy(storage);
    if (place == STORAGE_DRIVES || drive->disk) {
        close_descriptor(&medium->file);
        return place == STORAGE_DRIVES ? report_missing(storage, kind, number, error)
                                       : report(error, "there is a medium in the drive: eject it first");
    }
    if (!insert_medium(storage, place, medium, error))
        return false;
    tell(storage, drive);
    return true;
}

static bool eject_floppy(struct storage *storage, unsigned place, char error[STORAGE_ERROR_SIZE])
{
    struct storage_drive *drive = &storage->drives[place];
    bool sound;

    if (!drive->disk)
        return true;
    pthread_mutex_lock(storage->device_lock);
    floppy_eject(&storage->floppy, place - STORAGE_FLOPPY_A);
    pthread_mutex_unlock(storage->device_lock);
    sound = unload(storage, drive, error);
    tell(storage, drive);
    return sound;
}

static bool eject_dvd(struct storage *storage, unsigned place, bool force, char error[STORAGE_ERROR_SIZE])
{
    struct storage_drive *drive = &storage->drives[place];
    bool ejected;

    pthread_mutex_lock(storage->device_lock);
    ejected = ide_eject_medium(&storage->ide, channel_of(place), unit_of(place), force);
    pthread_mutex_unlock(storage->device_lock);
    if (!ejected)
        return report(error, "the guest has locked the tray: it has been asked to eject, or use force");
    /* The controller lets go of it when its last request has ended. */
    if (drive->started)
        disk_queue_serve(&drive->queue, NULL);
    storage_tidy(storage);
    return true;
}

bool storage_eject(struct storage *storage, enum storage_kind kind, unsigned number, bool force,
                   char error[STORAGE_ERROR_SIZE])
{
    unsigned place = find_place(storage, kind, number);

    if (place == STORAGE_DRIVES)
        return report_missing(storage, kind, number, error);
    if (kind == STORAGE_FLOPPY)
        return eject_floppy(storage, place, error);
    return eject_dvd(storage, place, force, error);
}

void storage_tidy(struct storage *storage)
{
    char ignored[STORAGE_ERROR_SIZE];

    for (unsigned i = 0; i < STORAGE_DRIVES; i++) {
        struct storage_drive *drive = &storage->drives[i];
        bool released;

        pthread_mutex_lock(storage->device_lock);
        released = drive->released;
        drive->released = false;
        pthread_mutex_unlock(storage->device_lock);
        if (released) {
            unload(storage, drive, ignored); /* it was read only */
            tell(storage, drive);
        }
    }
}

bool storage_close(struct storage *storage, char error[STORAGE_ERROR_SIZE])
{
    bool ok = true;

    storage_interrupt(storage, true); /* nobody wants any more what has not come */
    for (unsigned i = 0; i < STORAGE_DRIVES; i++) {
        struct storage_drive *drive = &storage->drives[i];

        if (drive->started)
            disk_queue_end(&drive->queue);
        drive->started = false;
        ok &= unload(storage, drive, error);
    }
    if (storage->io_started)
        disk_io_end(&storage->io);
    storage->io_started = false;
    return ok;
}
