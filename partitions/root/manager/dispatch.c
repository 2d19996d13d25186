/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/manager/dispatch.h"

#include <limits.h>
#include <string.h>

#include "partitions/root/manager/host.h"
#include "partitions/root/manager/host_shutdown.h"
#include "partitions/root/manager/name.h"
#include "partitions/root/manager/request.h"
#include "partitions/root/manager/switch_requests.h"
#include "partitions/root/manager/vm_requests.h"

#define LONGEST_TEXT 1024u

static const struct {
    const char *name;
    void (*serve)(struct request *request);
} requests[] = {
    {"host-info",        host_info_request       },
    {"host-stats",       host_stats_request      },
    {"host-log",         host_log_request        },
    {"host-shutdown",    host_shutdown_request   },
    {"vm-create",        vm_create_request       },
    {"vm-list",          vm_list_request         },
    {"vm-show",          vm_show_request         },
    {"vm-set",           vm_set_request          },
    {"vm-remove",        vm_remove_request       },
    {"vm-start",         vm_start_request        },
    {"vm-stop",          vm_stop_request         },
    {"vm-turn-off",      vm_turn_off_request     },
    {"vm-reset",         vm_reset_request        },
    {"vm-pause",         vm_pause_request        },
    {"vm-resume",        vm_resume_request       },
    {"vm-wait",          vm_wait_request         },
    {"vm-console",       vm_console_request      },
    {"vm-screen",        vm_screen_request       },
    {"vm-screen-text",   vm_screen_text_request  },
    {"vm-screenshot",    vm_screenshot_request   },
    {"vm-keys",          vm_keys_request         },
    {"vm-insert",        vm_insert_request       },
    {"vm-eject",         vm_eject_request        },
    {"switch-create",    switch_create_request   },
    {"switch-list",      switch_list_request     },
    {"switch-show",      switch_show_request     },
    {"switch-forward",   switch_forward_request  },
    {"switch-unforward", switch_unforward_request},
    {"switch-remove",    switch_remove_request   },
};

/* The outer form of a request. */
struct envelope {
    uint64_t version;
    const char *name;
};

static bool read_version(struct fields *fields, const json_t *value, void *target)
{
    return fields_read_integer(fields, value, REQUEST_VERSION, REQUEST_VERSION, target);
}

static bool read_id(struct fields *fields, const json_t *value, void *target)
{
    (void)target;
    if (json_is_integer(value) || (json_is_string(value) && json_string_length(value) <= NAME_LENGTH))
        return true;
    return fields_complain(fields, "must be a whole number or a string of at most %d bytes", NAME_LENGTH);
}

static bool read_arguments(struct fields *fields, const json_t *value, void *target)
{
    (void)target;
    return json_is_object(value) || fields_complain(fields, "must be an object");
}

bool dispatch_read_text(struct fields *fields, const json_t *value, void *target)
{
    const char *text = fields_text(fields, value, LONGEST_TEXT);
    *(const char **)target = text;
    return text;
}

bool dispatch_read_name(struct fields *fields, const json_t *value, void *target)
{
    const char *name = fields_text(fields, value, SIZE_MAX);
    if (!name)
        return false;
    if (!name_is_valid(name))
        return fields_complain(fields, "\"%.80s\" cannot be a name: use " NAME_RULE, name);
    strcpy(target, name);
    return true;
}

bool dispatch_read_arguments(struct request *request, const struct field *list, size_t count)
{
    char error[FIELDS_ERROR_SIZE];
    struct fields fields = {.error = error};
    json_t *none = request->arguments ? NULL : json_object();
    bool read = fields_read(&fields, none ? none : request->arguments, list, count);
    json_decref(none);
    if (!read)
        request_refuse(request, REFUSED_VALUE, "%s", error);
    return read;
}

void dispatch_request(struct request *request)
{
    char error[FIELDS_ERROR_SIZE];
    struct fields fields = {.error = error};
    struct envelope envelope = {0};
    const struct field list[] = {
        {"version",   read_version,       &envelope.version, true },
        {"id",        read_id,            NULL,              false},
        {"request",   dispatch_read_text, &envelope.name,    true },
        {"arguments", read_arguments,     NULL,              false},
    };
    if (!fields_read(&fields, request->message, list, sizeof(list) / sizeof(list[0]))) {
        request_refuse(request, REFUSED_BAD_REQUEST, "%s", error);
        return;
    }
    for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++)
        if (strcmp(requests[i].name, envelope.name) == 0) {
            requests[i].serve(request);
            return;
        }
    request_refuse(request, REFUSED_BAD_REQUEST, "there is no request \"%.64s\"", envelope.name);
}
