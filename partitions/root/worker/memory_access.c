/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/worker/memory_access.h"

#include <assert.h>
#include <string.h>

#define PAGE_MASK (~(uint64_t)(HV_PAGE_SIZE - 1))

/* Pages that an access of at most a page touches. */
#define MAXIMUM_PIECES 2

struct piece {
    struct memory_location location;
    size_t size;
};

void memory_access_initialize(struct memory_access *access, const struct memory_environment *environment)
{
    *access = (struct memory_access){.environment = environment};
}

void memory_access_begin(struct memory_access *access, const struct hv_vp_register_page *registers)
{
    access->registers = registers;
    for (unsigned i = 0; i < MEMORY_TRANSLATIONS; i++)
        access->translations[i].valid = false;
    access->next = 0;
}

void memory_access_know(struct memory_access *access, uint64_t linear, uint64_t gpa, bool writable)
{
    access->translations[access->next] = (struct memory_translation){
        .linear_page = linear & PAGE_MASK, .gpa_page = gpa & PAGE_MASK, .valid = true, .writable = writable};
    access->next = (access->next + 1) % MEMORY_TRANSLATIONS;
}

static bool translate(struct memory_access *access, uint64_t linear, enum memory_intent intent, uint64_t *gpa)
{
    const struct memory_environment *environment = access->environment;

    if (intent != MEMORY_EXECUTE) {
        for (unsigned i = 0; i < MEMORY_TRANSLATIONS; i++) {
            const struct memory_translation *known = &access->translations[i];

            if (known->valid && known->linear_page == (linear & PAGE_MASK) &&
                (known->writable || intent == MEMORY_READ)) {
                *gpa = known->gpa_page | (linear & ~PAGE_MASK);
                return true;
            }
        }
    }
    if (!environment->translate(environment->context, access->registers, linear, intent, gpa,
                                &access->exception))
        return false;
    if (intent != MEMORY_EXECUTE)
        memory_access_know(access, linear, *gpa, intent == MEMORY_WRITE);
    return true;
}

bool memory_access_locate(struct memory_access *access, uint64_t linear, enum memory_intent intent,
                          struct memory_location *location)
{
    if (!translate(access, linear, intent, &location->gpa))
        return false;
    location->host = access->environment->ram(access->environment->context, location->gpa, intent);
    return true;
}

/* The largest access that a bus carries and that fits. */
static unsigned bus_access_size(size_t size)
{
    return size >= 8 ? 8 : size >= 4 ? 4 : size >= 2 ? 2 : 1;
}

static void bus_transfer(struct memory_access *access, uint64_t gpa, uint8_t *to, const uint8_t *from,
                         size_t size)
{
    struct bus *bus = access->environment->bus;

    pthread_mutex_lock(access->environment->device_lock);
    while (size > 0) {
        unsigned chunk = bus_access_size(size);
        uint64_t value = 0;

        if (to) {
            value = bus_read(bus, BUS_MEMORY, gpa, chunk);
            memcpy(to, &value, chunk);
            to += chunk;
        } else {
            memcpy(&value, from, chunk);
            bus_write(bus, BUS_MEMORY, gpa, chunk, value);
            from += chunk;
        }
        gpa += chunk;
        size -= chunk;
    }
    pthread_mutex_unlock(access->environment->device_lock);
}

/* Splits an access at the page boundary and finds both ends. Returns the number of pieces, 0 for an
 * exception. */
static unsigned split(struct memory_access *access, uint64_t linear, size_t size, enum memory_intent intent,
                      bool write, struct piece pieces[MAXIMUM_PIECES])
{
    unsigned count = 0;

    assert(size > 0 && size <= HV_PAGE_SIZE);
    while (size > 0) {
        size_t room = HV_PAGE_SIZE - (linear & ~PAGE_MASK);
        struct piece *piece = &pieces[count++];

        piece->size = size < room ? size : room;
        if (!translate(access, linear, intent, &piece->location.gpa))
            return 0;
        piece->location.host = access->environment->ram(access->environment->context, piece->location.gpa,
                                                        write ? MEMORY_WRITE : MEMORY_READ);
        linear += piece->size;
        size -= piece->size;
    }
    return count;
}

bool memory_access_read(struct memory_access *access, uint64_t linear, void *buffer, size_t size,
                        enum memory_intent intent)
{
    struct piece pieces[MAXIMUM_PIECES];
    unsigned count = split(access, linear, size, intent, false, pieces);
    uint8_t *to = buffer;

    for (unsigned i = 0; i < count; i++) {
        if (pieces[i].location.host)
            memcpy(to, pieces[i].location.host, pieces[i].size);
        else
            bus_transfer(access, pieces[i].location.gpa, to, NULL, pieces[i].size);
        to += pieces[i].size;
    }
    return count > 0;
}

bool memory_access_write(struct memory_access *access, uint64_t linear, const void *buffer, size_t size)
{
    struct piece pieces[MAXIMUM_PIECES];
    unsigned count = split(access, linear, size, MEMORY_WRITE, true, pieces);
    const uint8_t *from = buffer;

    for (unsigned i = 0; i < count; i++) {
        if (pieces[i].location.host)
            memcpy(pieces[i].location.host, from, pieces[i].size);
        else
            bus_transfer(access, pieces[i].location.gpa, NULL, from, pieces[i].size);
        from += pieces[i].size;
    }
    return count > 0;
}
