/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the hypervisor and the parent say about themselves: requests about the host
 * (docs/manager-protocol.md). */
#ifndef MANAGER_HOST_H
#define MANAGER_HOST_H

#include <jansson.h>

#include "uapi/loam.h"

struct request;

void host_info_request(struct request *request);
void host_stats_request(struct request *request);
/* Answers with a descriptor from which the hypervisor's log can be read. */
void host_log_request(struct request *request);

/* Counters by name; those that this release has no name for are left out. */
json_t *host_hypervisor_counters(const struct loam_output_get_statistics *statistics);
json_t *host_partition_counters(const struct loam_output_get_statistics *statistics);
/* Exits by reason, and their sum as "total". */
json_t *host_exits(const struct loam_output_get_statistics *statistics);

#endif
