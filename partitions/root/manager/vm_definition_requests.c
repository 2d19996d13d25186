/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/manager/vm_requests.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "partitions/root/manager/manager.h"
#include "partitions/root/manager/report.h"
#include "partitions/root/manager/request.h"
#include "partitions/root/manager/store.h"
#include "partitions/root/manager/switch_requests.h"
#include "partitions/root/manager/virtual_switch.h"
#include "partitions/root/manager/vm.h"

/* A definition that is about to be kept, while its files are looked at. */
struct change {
    struct request *request;
    struct definition definition;
    uint64_t generation; /* of the definition that it replaces; 0: a new virtual machine */
};

static void end_change(struct change *change)
{
    definition_clear(&change->definition);
    free(change);
}

/* ---- MAC addresses ---- */

static const struct vm *find_by_mac(const struct manager *manager, const struct mac_address *mac, const char *except)
{
    for (const struct vm *vm = manager->vms; vm; vm = vm->next)
        for (unsigned i = 0; i < vm->definition.nic_count && strcmp(vm->definition.name, except) != 0; i++)
            if (mac_equal(&vm->definition.nics[i].mac, mac))
                return vm;
    return NULL;
}

static bool is_in(const struct definition *definition, const struct mac_address *mac)
{
    for (unsigned i = 0; i < definition->nic_count; i++)
        if (mac_equal(&definition->nics[i].mac, mac))
            return true;
    return false;
}

/* An address of Hyper-V's own range, 00-15-5D, that no virtual machine has. False: there is no randomness. */
static bool choose_mac(const struct manager *manager, const struct definition *definition, struct mac_address *mac)
{
    struct mac_address chosen = {
        {0x00, 0x15, 0x5D}
    };
    do {
        if (getrandom(&chosen.bytes[3], 3, 0) != 3)
            return false;
    } while (mac_equal(&chosen, &definition_gateway_mac) || find_by_mac(manager, &chosen, "") ||
             is_in(definition, &chosen));
    *mac = chosen;
    return true;
}

/* Network adapters that were given no address keep the one they had, or get a new one. */
static bool choose_macs(const struct manager *manager, struct definition *definition, const struct definition *before)
{
    static const struct mac_address none;
    for (unsigned i = 0; i < definition->nic_count; i++) {
        struct mac_address *mac = &definition->nics[i].mac;
        if (!mac_equal(mac, &none))
            continue;
        if (before && i < before->nic_count && !is_in(definition, &before->nics[i].mac))
            *mac = before->nics[i].mac;
        else if (!choose_mac(manager, definition, mac))
            return false;
    }
    return true;
}

/* Random, as RFC 4122 (4.4) has it. It stays for good. False: there is no randomness. */
static bool choose_uuid(struct definition *definition)
{
    static const uint8_t none[sizeof(definition->uuid)];
    if (memcmp(definition->uuid, none, sizeof(none)) != 0)
        return true;
    if (getrandom(definition->uuid, sizeof(definition->uuid), 0) != sizeof(definition->uuid))
        return false;
    definition->uuid[6] = (uint8_t)((definition->uuid[6] & 0x0F) | 0x40);
    definition->uuid[8] = (uint8_t)((definition->uuid[8] & 0x3F) | 0x80);
    return true;
}

/* ---- Checking ---- */

/* What only the manager can say about a definition. False: the request has been refused. */
static bool check(struct request *request, const struct definition *definition)
{
    for (unsigned i = 0; i < definition->nic_count; i++) {
        const struct definition_nic *nic = &definition->nics[i];
        const struct vm *other = find_by_mac(request->manager, &nic->mac, definition->name);
        if (nic->switch_name[0] && !virtual_switch_find(request->manager, nic->switch_name)) {
            request_refuse(request, REFUSED_NOT_FOUND,
                           "there is no switch %s: loam switch list shows those that are, loam switch create makes one",
                           nic->switch_name);
            return false;
        }
        if (other) {
            request_refuse(request, REFUSED_EXISTS, "nics[%u].mac: " MAC_FORMAT " belongs to virtual machine %s", i,
                           MAC_ARGUMENTS(nic->mac), other->definition.name);
            return false;
        }
    }
    return true;
}

static bool name_is_free(struct request *request, const char *name)
{
    if (!vm_find(request->manager, name) && !store_has(request->manager->vm_definitions, name))
        return true;
    request_refuse(request, REFUSED_EXISTS, "there is a virtual machine %s already: choose another name", name);
    return false;
}

static bool is_off(struct request *request, const struct vm *vm, const char *what)
{
    if (vm->state == VM_OFF)
        return true;
    request_refuse(request, REFUSED_WRONG_STATE, "%s is %s, and can only be %s when it is Off: stop it first",
                   vm->definition.name, vm_state_name(vm->state), what);
    return false;
}

/* ---- Keeping ---- */

/* Makes the definition durable. False: the request has been refused. */
static bool keep(struct request *request, const struct definition *definition)
{
    int error = vm_keep(request->manager, definition);
    if (error)
        request_refuse(request, REFUSED_FAILED, "the definition of %s cannot be kept in %s: %s", definition->name,
                       request->manager->settings.state_directory, strerror(error));
    return !error;
}

static void create(struct change *change)
{
    struct manager *manager = change->request->manager;
    /* While the files were looked at, somebody else may have been faster. */
    if (!name_is_free(change->request, change->definition.name) || !check(change->request, &change->definition))
        return;
    if (!keep(change->request, &change->definition))
        return;
    json_t *answer = definition_json(&change->definition);
    report("%s: created by user %u", change->definition.name, (unsigned)change->request->asker.user);
    if (!vm_add(manager, &change->definition))
        report("%s: no memory; it is there when loamd starts again", change->definition.name);
    change->definition = (struct definition){0}; /* has moved */
    request_answer(change->request, answer);
}

static void replace(struct change *change)
{
    struct vm *vm = vm_find(change->request->manager, change->definition.name);
    if (!vm || vm->generation != change->generation) {
        request_refuse(change->request, REFUSED_BUSY, "%s was changed by somebody else at the same time: try again",
                       change->definition.name);
        return;
    }
    if (!is_off(change->request, vm, "changed") || !check(change->request, &change->definition) ||
        !keep(change->request, &change->definition))
        return;
    vm_redefine(vm, &change->definition);
    report("%s: changed by user %u", vm->definition.name, (unsigned)change->request->asker.user);
    request_answer(change->request, definition_json(&vm->definition));
}

/* Where the parents of disks are that were attached. False: no memory. */
static bool record_sources(struct definition *definition, const struct opener_result *result)
{
    for (unsigned i = 0; i < result->count; i++) {
        const struct opener_file *file = &result->files[i];
        struct definition_disk *disk = &definition->disks[file->access.index];
        if (file->access.role != FILE_DISK || !disk->attached)
            continue;
        disk->attached = false;
        if (!file->parents || !file->parents->source.url[0])
            continue;
        disk->source = strdup(file->parents->source.url);
        if (!disk->source)
            return false;
    }
    return true;
}

static void files_opened(void *owner, struct opener_result *result)
{
    struct change *change = owner;
    if (result->problem)
        request_refuse(change->request, REFUSED_FILE, "%s", result->problem->text);
    else if (!record_sources(&change->definition, result))
        request_refuse(change->request, REFUSED_FAILED, "no memory");
    else if (change->generation)
        replace(change);
    else
        create(change);
    end_change(change);
}

/*
 * Everything in the definition must be open to the one who asks, also what was there before: otherwise he
 * could reach another's disk by giving its virtual machine a kernel of his own.
 */
static void look_at_files(struct change *change)
{
    const struct opener_plan plan = {
        .definition = &change->definition, .asker = &change->request->asker, .all_as_asker = true};
    int error = opener_begin(&change->request->manager->openers, &plan, files_opened, change);
    if (!error)
        return;
    request_refuse(change->request, REFUSED_FAILED, "the files cannot be looked at: %s", strerror(error));
    end_change(change);
}

/* ---- Requests ---- */

/* A new PC has a DVD drive and a floppy drive, both empty, unless something else was said of them. */
static void add_usual_drives(struct definition *definition, const json_t *arguments)
{
    if (definition->kernel.path)
        return;
    if (!json_object_get(arguments, "dvds") && configuration_drives_fit(definition->disk_count, 1))
        definition->dvd_count = 1;
    if (!json_object_get(arguments, "floppies"))
        definition->floppy_count = 1;
}

/* Reads the arguments over `base`, or over defaults. NULL: the request has been refused. */
static struct change *begin_change(struct request *request, const struct vm *base)
{
    char error[FIELDS_ERROR_SIZE];
    struct change *change = calloc(1, sizeof(*change));
    if (!change || (base && !definition_copy(&change->definition, &base->definition))) {
        free(change);
        request_answer(request, NULL);
        return NULL;
    }
    if (!base)
        definition_initialize(&change->definition);
    change->request = request;
    change->generation = base ? base->generation : 0;
    json_t *none = request->arguments ? NULL : json_object();
    bool read = definition_read(&change->definition, none ? none : request->arguments, DEFINITION_REQUEST,
                                request->asker.user, error);
    json_decref(none);
    if (read && !base)
        add_usual_drives(&change->definition, request->arguments);
    if (!read)
        request_refuse(request, REFUSED_VALUE, "%s", error);
    else if (!choose_macs(request->manager, &change->definition, base ? &base->definition : NULL))
        request_refuse(request, REFUSED_FAILED, "no MAC address can be chosen: %s", strerror(errno));
    else if (!choose_uuid(&change->definition))
        request_refuse(request, REFUSED_FAILED, "no UUID can be chosen: %s", strerror(errno));
    else if (check(request, &change->definition))
        return change;
    end_change(change);
    return NULL;
}

void vm_create_request(struct request *request)
{
    unsigned count = 0;
    for (const struct vm *vm = request->manager->vms; vm; vm = vm->next)
        count++;
    if (count >= MANAGER_VMS) {
        request_refuse(request, REFUSED_VALUE, "there are %u virtual machines, as many as there can be", count);
        return;
    }
    struct change *change = begin_change(request, NULL);
    if (!change)
        return;
    if (name_is_free(request, change->definition.name))
        look_at_files(change);
    else
        end_change(change);
}

void vm_set_request(struct request *request)
{
    const char *name = json_string_value(json_object_get(request->arguments, "name"));
    if (!name || !name_is_valid(name)) {
        request_refuse(request, REFUSED_VALUE, "name: must be the name of a virtual machine");
        return;
    }
    const struct vm *vm = vm_request_find(request, name);
    if (!vm || !is_off(request, vm, "changed"))
        return;
    struct change *change = begin_change(request, vm);
    if (change)
        look_at_files(change);
}

void vm_remove_request(struct request *request)
{
    struct vm *vm = vm_request_find_named(request);
    if (!vm || !is_off(request, vm, "removed"))
        return;
    int error = store_remove(request->manager->vm_definitions, vm->definition.name);
    if (error) {
        request_refuse(request, REFUSED_FAILED, "the definition of %s cannot be removed: %s", vm->definition.name,
                       strerror(error));
        return;
    }
    report("%s: removed by user %u", vm->definition.name, (unsigned)request->asker.user);
    switch_forget_vm(vm);
    vm_remove(vm);
    request_answer(request, json_object());
}
