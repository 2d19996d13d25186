/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Media that come and go. The definition says what is in the drives; while there is a worker, it knows, and what it
 * says changes the definition. A medium is written down before it is inserted, so that nothing is in a drive that is
 * not in the definition, whenever loamd ends; and is taken out of it when it has been ejected.
 */
#include "partitions/root/manager/vm_media.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "partitions/root/manager/dispatch.h"
#include "partitions/root/manager/manager.h"
#include "partitions/root/manager/opener.h"
#include "partitions/root/manager/report.h"
#include "partitions/root/manager/request.h"
#include "partitions/root/manager/vm.h"
#include "partitions/root/manager/vm_requests.h"

#define COUNT(list) (sizeof(list) / sizeof((list)[0]))

/* ---- Drives ---- */

static const struct {
    const char *name, *title;
    enum file_role role;
} kinds[] = {
    {"dvd",    "DVD",    FILE_DVD   },
    {"floppy", "floppy", FILE_FLOPPY},
};

/* One of a virtual machine's drives: which kind, and which of its kind. */
struct place {
    unsigned kind; /* of kinds[] */
    unsigned number;
};

static unsigned find_kind(const char *name)
{
    unsigned kind = 0;
    while (kind < COUNT(kinds) && !(name && strcmp(kinds[kind].name, name) == 0))
        kind++;
    return kind;
}

static unsigned drive_count(const struct definition *definition, unsigned kind)
{
    return kinds[kind].role == FILE_DVD ? definition->dvd_count : definition->floppy_count;
}

/* NULL: there is none. */
static struct definition_drive *find_drive(struct definition *definition, struct place place)
{
    if (place.kind >= COUNT(kinds) || place.number >= drive_count(definition, place.kind))
        return NULL;
    return (kinds[place.kind].role == FILE_DVD ? definition->dvds : definition->floppies) + place.number;
}

/*
 * The drive is empty, and the definition is to say so. 0, or the errno with which it cannot be kept: then nothing has
 * changed, unless there is a worker, which has no medium any more.
 */
static int take_out(struct vm *vm, struct place place)
{
    struct definition definition;
    const char *path = find_drive(&vm->definition, place)->file.path;
    if (!path)
        return 0;
    if (!definition_copy(&definition, &vm->definition))
        return ENOMEM;
    struct definition_drive *drive = find_drive(&definition, place);
    free(drive->file.path);
    *drive = (struct definition_drive){0};
    int error = vm_keep(vm->manager, &definition);
    if (error)
        report("%s: its definition cannot be kept: %s", vm->definition.name, strerror(error));
    if (error && vm->state == VM_OFF) {
        definition_clear(&definition);
        return error;
    }
    report("%s: %s has left %s drive %u", vm->definition.name, path, kinds[place.kind].title, place.number);
    vm_redefine(vm, &definition);
    return error;
}

/* ---- What the worker says ---- */

static bool is_under_way(const struct vm *vm, struct place place);

static void take_drive(struct vm *vm, const json_t *value)
{
    const json_t *path = json_object_get(value, "path");
    const json_int_t number = json_integer_value(json_object_get(value, "number"));
    struct place place = {.kind = find_kind(json_string_value(json_object_get(value, "drive")))};
    if (number < 0 || number > UINT16_MAX)
        return;
    place.number = (unsigned)number;
    struct definition_drive *drive = find_drive(&vm->definition, place);
    /* What is being inserted is in the definition before it is in the drive. */
    if (!drive || is_under_way(vm, place))
        return;
    if (json_is_null(path)) {
        take_out(vm, place);
    } else if (json_is_string(path) && !drive->file.path && !json_object_get(value, "event")) {
        report("%s: what is in %s drive %u is not in its definition, and is ejected", vm->definition.name,
               kinds[place.kind].title, place.number);
        channel_call(&vm->channel,
                     json_pack("{s:s, s:s, s:i, s:b}", "request", "eject", "drive", kinds[place.kind].name, "number",
                               (int)place.number, "force", 1),
                     -1, NULL, NULL);
    }
}

void vm_media_event(struct vm *vm, const json_t *event)
{
    take_drive(vm, event);
}

static void were_told(void *owner, const json_t *answer)
{
    json_t *drive;
    size_t index;
    json_array_foreach(json_object_get(json_object_get(answer, "result"), "drives"), index, drive)
    {
        take_drive(owner, drive);
    }
}

void vm_media_compare(struct vm *vm)
{
    channel_call(&vm->channel, json_pack("{s:s}", "request", "media"), -1, were_told, vm);
}

/* ---- Requests ---- */

static bool read_kind(struct fields *fields, const json_t *value, void *target)
{
    unsigned *kind = target;
    *kind = find_kind(json_string_value(value));
    return *kind < COUNT(kinds) || fields_complain(fields, "must be \"dvd\" or \"floppy\"");
}

static bool read_number(struct fields *fields, const json_t *value, void *target)
{
    uint64_t number;
    if (!fields_read_integer(fields, value, 0, UINT16_MAX, &number))
        return false;
    *(unsigned *)target = (unsigned)number;
    return true;
}

static bool read_path(struct fields *fields, const json_t *value, void *target)
{
    const char *path = fields_text(fields, value, PATH_MAX - 1);
    if (!path)
        return false;
    if (path[0] != '/')
        return fields_complain(fields, "\"%.200s\" must be an absolute path", path);
    *(const char **)target = path;
    return true;
}

/* The virtual machine with that drive; NULL: the request has been refused. */
static struct vm *find_vm(struct request *request, const char *name, struct place place)
{
    struct vm *vm = vm_request_find(request, name);
    if (!vm || find_drive(&vm->definition, place))
        return vm;
    request_refuse(request, REFUSED_NOT_FOUND,
                   "%s has no %s drive %u: it has %u, and loam vm set changes that when it "
                   "is Off",
                   name, kinds[place.kind].title, place.number, drive_count(&vm->definition, place.kind));
    return NULL;
}

/* It is Off, or there is a worker that can be asked. False: the request has been refused. */
static bool can_change(struct request *request, const struct vm *vm)
{
    if (vm->state == VM_OFF || vm->worker.pid)
        return true;
    request_refuse(request, REFUSED_WRONG_STATE, "%s is %s: try again when it runs", vm->definition.name,
                   vm_state_name(vm->state));
    return false;
}

static void answer_kept(struct request *request, const struct vm *vm, int error)
{
    if (error)
        request_refuse(request, REFUSED_FAILED, "the definition of %s cannot be kept in %s: %s", vm->definition.name,
                       vm->manager->settings.state_directory, strerror(error));
    else
        request_answer(request, definition_json(&vm->definition));
}

/* ---- Inserting ---- */

struct insertion {
    struct request *request;
    struct vm *vm; /* once the worker has been asked */
    struct place place;
    struct definition definition; /* with the medium */
    uint64_t generation;          /* of the one without */
};

static bool is_under_way(const struct vm *vm, struct place place)
{
    return vm->insertion && vm->insertion->place.kind == place.kind && vm->insertion->place.number == place.number;
}

static void end_insertion(struct insertion *insertion)
{
    definition_clear(&insertion->definition);
    free(insertion);
}

static void was_inserted(void *owner, const json_t *answer)
{
    struct insertion *insertion = owner;
    struct vm *vm = insertion->vm;
    const char *problem = vm_worker_problem(answer);
    vm->insertion = NULL;
    if (problem) {
        take_out(vm, insertion->place);
        request_refuse(insertion->request, vm_worker_refusal(answer), "%s: %s", vm->definition.name, problem);
    } else {
        answer_kept(insertion->request, vm, 0);
    }
    if (!answer) /* it may have done it all the same */
        vm_media_compare(vm);
    end_insertion(insertion);
}

/* With the image, whose descriptor stays the caller's. */
static void ask_worker(struct vm *vm, struct insertion *insertion, int descriptor)
{
    const struct definition_drive *drive = find_drive(&vm->definition, insertion->place);
    insertion->vm = vm;
    vm->insertion = insertion;
    channel_call(&vm->channel,
                 json_pack("{s:s, s:s, s:i, s:b, s:s}", "request", "insert", "drive", kinds[insertion->place.kind].name,
                           "number", (int)insertion->place.number, "read_only", drive->read_only, "path",
                           drive->file.path),
                 descriptor, was_inserted, insertion);
}

/* The file has been opened; true: the worker has been asked. */
static bool put_in(struct insertion *insertion, int descriptor)
{
    struct request *request = insertion->request;
    struct vm *vm = vm_find(request->manager, insertion->definition.name);
    if (!vm || vm->generation != insertion->generation || vm->insertion) {
        request_refuse(request, REFUSED_BUSY, "%s was changed by somebody else at the same time: try again",
                       insertion->definition.name);
        return false;
    }
    if (!can_change(request, vm))
        return false;
    int error = vm_keep(vm->manager, &insertion->definition);
    if (!error) {
        report("%s: %s is put into %s drive %u by user %u", vm->definition.name,
               find_drive(&insertion->definition, insertion->place)->file.path, kinds[insertion->place.kind].title,
               insertion->place.number, (unsigned)request->asker.user);
        vm_redefine(vm, &insertion->definition);
        if (vm->state != VM_OFF) {
            ask_worker(vm, insertion, descriptor);
            return true;
        }
    }
    answer_kept(request, vm, error);
    return false;
}

static void files_opened(void *owner, struct opener_result *result)
{
    struct insertion *insertion = owner;
    if (result->problem) {
        request_refuse(insertion->request, REFUSED_FILE, "%s", result->problem->text);
        end_insertion(insertion);
        return;
    }
    unsigned i = 0;
    while (result->files[i].access.role != kinds[insertion->place.kind].role ||
           result->files[i].access.index != insertion->place.number)
        i++;
    if (!put_in(insertion, result->files[i].descriptor))
        end_insertion(insertion);
}

/* NULL: no memory, and the request has been answered. */
static struct insertion *prepare(struct request *request, const struct vm *vm, struct place place, const char *path,
                                 bool read_only)
{
    struct insertion *insertion = calloc(1, sizeof(*insertion));
    struct definition_drive *drive = NULL;
    if (insertion && definition_copy(&insertion->definition, &vm->definition))
        drive = find_drive(&insertion->definition, place);
    if (drive)
        *drive = (struct definition_drive){
            .file = {.path = strdup(path), .user = request->asker.user},
              .read_only = read_only
        };
    if (drive && drive->file.path) {
        insertion->request = request;
        insertion->place = place;
        insertion->generation = vm->generation;
        return insertion;
    }
    if (insertion)
        end_insertion(insertion);
    request_answer(request, NULL);
    return NULL;
}

/*
 * As with vm-set, all of its files must be open to the one who asks: it may start from the medium, and then what is on
 * it reaches the disks.
 */
void vm_insert_request(struct request *request)
{
    char name[NAME_SIZE];
    struct place place = {0};
    const char *path = NULL;
    bool read_only = false;
    const struct field list[] = {
        {"name",      dispatch_read_name,  name,          true },
        {"drive",     read_kind,           &place.kind,   true },
        {"number",    read_number,         &place.number, false},
        {"path",      read_path,           &path,         true },
        {"read_only", fields_read_boolean, &read_only,    false},
    };
    struct vm *vm = dispatch_read_arguments(request, list, COUNT(list)) ? find_vm(request, name, place) : NULL;
    if (!vm || !can_change(request, vm))
        return;
    const char *there = find_drive(&vm->definition, place)->file.path;
    if (there) {
        request_refuse(request, REFUSED_WRONG_STATE, "there is a medium in %s drive %u of %s, %s: eject it first",
                       kinds[place.kind].title, place.number, name, there);
        return;
    }
    struct insertion *insertion = prepare(request, vm, place, path, read_only);
    if (!insertion)
        return;
    const struct opener_plan plan = {
        .definition = &insertion->definition, .asker = &request->asker, .all_as_asker = true};
    int error = opener_begin(&request->manager->openers, &plan, files_opened, insertion);
    if (!error)
        return;
    request_refuse(request, REFUSED_FAILED, "the files cannot be looked at: %s", strerror(error));
    end_insertion(insertion);
}

/* ---- Ejecting ---- */

struct ejection {
    struct request *request;
    struct vm *vm;
    struct place place;
};

static void was_ejected(void *owner, const json_t *answer)
{
    struct ejection *ejection = owner;
    const char *problem = vm_worker_problem(answer);
    if (problem)
        request_refuse(ejection->request, vm_worker_refusal(answer), "%s: %s", ejection->vm->definition.name, problem);
    else
        answer_kept(ejection->request, ejection->vm, take_out(ejection->vm, ejection->place));
    free(ejection);
}

void vm_eject_request(struct request *request)
{
    char name[NAME_SIZE];
    struct place place = {0};
    bool force = false;
    const struct field list[] = {
        {"name",   dispatch_read_name,  name,          true },
        {"drive",  read_kind,           &place.kind,   true },
        {"number", read_number,         &place.number, false},
        {"force",  fields_read_boolean, &force,        false},
    };
    struct vm *vm = dispatch_read_arguments(request, list, COUNT(list)) ? find_vm(request, name, place) : NULL;
    if (!vm || !can_change(request, vm))
        return;
    if (vm->state == VM_OFF) {
        answer_kept(request, vm, take_out(vm, place));
        return;
    }
    struct ejection *ejection = malloc(sizeof(*ejection));
    if (!ejection) {
        request_answer(request, NULL);
        return;
    }
    *ejection = (struct ejection){.request = request, .vm = vm, .place = place};
    channel_call(&vm->channel,
                 json_pack("{s:s, s:s, s:i, s:b}", "request", "eject", "drive", kinds[place.kind].name, "number",
                           (int)place.number, "force", force),
                 -1, was_ejected, ejection);
}
