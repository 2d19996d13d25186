/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the command can do: a function for each verb, which parses its arguments and returns the exit status.
 */
#ifndef LOAM_VERBS_H
#define LOAM_VERBS_H

typedef int verb_function(int argc, char **argv);

verb_function host_info, host_log, host_stats;
verb_function vm_create, vm_list, vm_show, vm_start, vm_stop, vm_reset, vm_pause, vm_resume, vm_set, vm_wait,
    vm_console, vm_screen, vm_screenshot, vm_send_keys, vm_insert, vm_eject, vm_remove;
verb_function disk_create_verb, disk_info_verb, disk_chain_verb, disk_check_verb, disk_convert_verb, disk_compare_verb,
    disk_compact_verb, disk_merge_verb, disk_repair_verb, disk_resize_verb, disk_reconnect_verb;
verb_function switch_create, switch_list, switch_show, switch_forward, switch_remove;

#endif
