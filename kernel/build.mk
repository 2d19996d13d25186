# SPDX-License-Identifier: GPL-2.0-or-later
#
# Unit tests and fuzzer of the hypervisor's core. The image is the top Makefile's.

# All of the core but the log, on the fake machine.
KERNEL_HOST_SOURCES := $(filter-out kernel/log.c,$(sort $(wildcard kernel/*.c))) \
    tests/unit/fake_machine.c tests/unit/fake_architecture.c
KERNEL_TEST_SOURCES := $(KERNEL_HOST_SOURCES) tests/unit/kernel_fixture.c

$(call unit_test,kernel_parent_map_test,tests/unit/kernel_parent_map_test.c $(KERNEL_TEST_SOURCES))
$(call unit_test,kernel_nested_table_test,tests/unit/kernel_nested_table_test.c $(KERNEL_TEST_SOURCES))
$(call unit_test,kernel_hypercall_test,tests/unit/kernel_hypercall_test.c $(KERNEL_TEST_SOURCES))
$(call unit_test,kernel_partition_test,tests/unit/kernel_partition_test.c $(KERNEL_TEST_SOURCES))
$(call unit_test,kernel_gpa_map_test,tests/unit/kernel_gpa_map_test.c $(KERNEL_TEST_SOURCES))
$(call unit_test,kernel_vp_test,tests/unit/kernel_vp_test.c $(KERNEL_TEST_SOURCES))
$(call unit_test,kernel_dispatch_test,tests/unit/kernel_dispatch_test.c $(KERNEL_TEST_SOURCES))
$(call unit_test,kernel_race_test,tests/unit/kernel_race_test.c $(KERNEL_TEST_SOURCES),-pthread)

# Random hypercalls with random pages.
$(call fuzzer,hypercall,tests/fuzz/hypercall_fuzz.c $(KERNEL_HOST_SOURCES))
