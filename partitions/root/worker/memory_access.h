/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Memory as one instruction of the guest sees it, while its VP is stopped: linear addresses go through the
 * guest's own page tables to RAM or to the bus, with the faults that the processor would raise.
 *
 * A struct memory_access belongs to one VP. memory_access_begin starts an instruction: translations made
 * since then are remembered, as in a TLB. Takes the device lock around each access to the bus; call without
 * it.
 */
#ifndef WORKER_MEMORY_ACCESS_H
#define WORKER_MEMORY_ACCESS_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "hv/registers.h"
#include "partitions/root/worker/bus.h"
#include "partitions/root/worker/exception.h"

enum memory_intent { MEMORY_READ, MEMORY_WRITE, MEMORY_EXECUTE };

/* What memory_access stands on. `context` is given to both functions. */
struct memory_environment {
    /*
     * Translates the page of a linear address for the VP's current mode and privilege; sets accessed and
     * dirty bits. False: *exception is filled.
     */
    bool (*translate)(void *context, const struct hv_vp_register_page *registers, uint64_t linear,
                      enum memory_intent intent, uint64_t *gpa, struct exception *exception);
    /* The host address of a GPA that is RAM for this kind of access, valid to the end of its page; NULL: the
     * bus's. */
    uint8_t *(*ram)(void *context, uint64_t gpa, enum memory_intent intent);
    void *context;
    struct bus *bus;
    pthread_mutex_t *device_lock;
};

#define MEMORY_TRANSLATIONS 4

struct memory_access {
    const struct memory_environment *environment;
    const struct hv_vp_register_page *registers;
    struct memory_translation {
        uint64_t linear_page;
        uint64_t gpa_page;
        bool valid;
        bool writable;
    } translations[MEMORY_TRANSLATIONS];
    unsigned next;              /* the translation to replace next */
    struct exception exception; /* filled when a function below returns false */
};

void memory_access_initialize(struct memory_access *access, const struct memory_environment *environment);

/* Starts an instruction of the VP whose stopped state is `registers`; forgets all translations. */
void memory_access_begin(struct memory_access *access, const struct hv_vp_register_page *registers);

/* Adds a translation that is known from elsewhere (an intercept message). */
void memory_access_know(struct memory_access *access, uint64_t linear, uint64_t gpa, bool writable);

/* Where one linear address leads. */
struct memory_location {
    uint64_t gpa;
    uint8_t *host; /* NULL: on the bus */
};
bool memory_access_locate(struct memory_access *access, uint64_t linear, enum memory_intent intent,
                          struct memory_location *location);

/*
 * Up to a page (4096 bytes) at once; all addresses are translated before anything is moved. `intent` of a
 * read is MEMORY_WRITE for an operand that will be written back, so that faults come before effects.
 */
bool memory_access_read(struct memory_access *access, uint64_t linear, void *buffer, size_t size,
                        enum memory_intent intent);
bool memory_access_write(struct memory_access *access, uint64_t linear, const void *buffer, size_t size);

#endif
