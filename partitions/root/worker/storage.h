/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The drives of a machine and what is in them: disks and DVD drives on the IDE controller, floppy drives. Everything
 * that opens and closes an image is here; the controllers only know disks.
 *
 * Media come and go while the machine runs. That is the main thread's business; the device lock covers the drives.
 */
#ifndef WORKER_STORAGE_H
#define WORKER_STORAGE_H

#include <pthread.h>
#include <stdbool.h>
#include "partitions/root/disk/remote_file.h"
#include "partitions/root/worker/configuration.h"
#include "partitions/root/worker/disk_queue.h"
#include "partitions/root/worker/devices/floppy.h"
#include "partitions/root/worker/devices/ide.h"
#include "partitions/root/worker/devices/platform.h"

#define STORAGE_ERROR_SIZE 512

struct storage;

/* IDE 0:0 to 1:1, then floppy A and B. */
#define STORAGE_FLOPPY_A CONFIGURATION_DISKS
#define STORAGE_DRIVES   (STORAGE_FLOPPY_A + CONFIGURATION_FLOPPIES)

enum storage_kind { STORAGE_NOTHING, STORAGE_DISK, STORAGE_DVD, STORAGE_FLOPPY };

/* Drive `number` of its kind has got a medium, or has none any more. On the main thread, without the device lock. */
typedef void storage_media_fn(void *context, enum storage_kind kind, unsigned number);

struct storage_drive {
    enum storage_kind kind;
    unsigned number;   /* among its kind */
    struct disk *disk; /* NULL: a drive without a medium. Changed by the main thread, under the device lock */
    char *name;        /* of the disk, for people; NULL without one. The main thread's */
    bool released;     /* the guest has ejected the medium; under the device lock */
    bool started;
    struct disk_queue queue;
};

struct storage_configuration {
    const struct configuration *machine;
    struct platform *platform;
    const struct guest_memory *memory;
    pthread_mutex_t *device_lock;
    const struct disk_io_backend *io; /* as disk_io_start wants it */
    /* Under the device lock, on any thread; must not call back. */
    ide_no_space_fn *no_space;
    void (*ejected)(void *context); /* the guest has ejected a medium: call storage_tidy */
    void *context;
};

struct storage {
    pthread_mutex_t *device_lock;
    ide_no_space_fn *no_space;
    void (*ejected)(void *context);
    void *context;
    storage_media_fn *media_changed; /* NULL: nobody wants to know */
    void *media_context;
    struct ide ide;
    struct floppy floppy;
    bool has_floppies;
    const struct disk_io_backend *io_backend; /* as it is wanted */
    struct disk_io io;
    bool io_started;
    struct storage_drive drives[STORAGE_DRIVES];
};

/* Opens what the configuration names and puts the controllers on the board. False: `error` is one line. */
bool storage_create(struct storage *storage, const struct storage_configuration *configuration,
                    char error[STORAGE_ERROR_SIZE]);

/* Starts the threads. From then on only storage_close ends them. */
bool storage_start(struct storage *storage, char error[STORAGE_ERROR_SIZE]);

/* At a reset of the machine: the IDE controller is reset by its bus. Under the device lock. */
void storage_reset(struct storage *storage);

/* No request is with a disk. Under the device lock. */
bool storage_is_quiet(const struct storage *storage);

/* There is space on the host again. Under the device lock. */
void storage_resume(struct storage *storage);

/* What the firmware is told of the drives. */
void storage_describe(const struct storage *storage, struct mc146818_start *start);

/* By what the extents of a request are moved, once the threads have been started: "io_uring" or "threads". */
const char *storage_io_name(const struct storage *storage);

/* What a disk is called, for messages. */
const char *storage_disk_name(const struct storage *storage, const struct disk *disk);

/* What the disk at a place has at a URL; NULL: nothing. On the main thread, as what follows. */
struct disk_file *storage_source(const struct storage *storage, unsigned place);

/* The drive whose request has waited longest for its source, and for how long, 0 for not at all; NULL: none has a
 * source. */
const struct storage_drive *storage_longest_wait(const struct storage *storage, struct remote_wait *wait);

/* While `interrupted`, no request waits for a source: it fails. */
void storage_interrupt(struct storage *storage, bool interrupted);

/* From now on `changed` is told of every medium that comes or goes, until the storage is closed. */
void storage_watch(struct storage *storage, storage_media_fn *changed, void *context);

/* Number `number` of the drives of a kind, and what is in it; NULL if there is none. On the main thread. */
const struct storage_drive *storage_find(const struct storage *storage, enum storage_kind kind, unsigned number);

/*
 * Drive `number` of its kind, a DVD or floppy drive, gets a medium: the image in `file`, whose descriptor is the
 * storage's in any case. False: `error` is one line, and the drive is as it was. By the main thread, without the device
 * lock. Opens no other file, so that it can be used in the sandbox.
 */
bool storage_insert(struct storage *storage, enum storage_kind kind, unsigned number,
                    const struct configuration_drive *medium, char error[STORAGE_ERROR_SIZE]);

/*
 * Takes the medium out, when a request that is under way has ended. `force`: also if the guest has locked it. An empty
 * drive stays empty. False: `error` is one line; the medium is still there, unless it was its image that could not be
 * put in order. As above.
 */
bool storage_eject(struct storage *storage, enum storage_kind kind, unsigned number, bool force,
                   char error[STORAGE_ERROR_SIZE]);

/* Closes what the guest has ejected. By the main thread, without the device lock. */
void storage_tidy(struct storage *storage);

/* Ends the threads and closes everything. False: a disk could not be put in order; `error` says which. */
bool storage_close(struct storage *storage, char error[STORAGE_ERROR_SIZE]);

#endif
