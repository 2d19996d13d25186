# SPDX-License-Identifier: GPL-2.0-or-later
#
# Host tests and fuzzers of arch/x86_64 and of the kernel files that go with it. The image is the top Makefile's.

# Privileged instructions are functions of the tests there. General registers only, as in the image: extended state
# that has been switched must not be touched.
$(BUILD)/unit/object/arch/x86_64/%.o $(BUILD)/fuzz/object/arch/x86_64/%.o: CPPFLAGS_EXTRA += -DLOAM_HOST_TEST -mgeneral-regs-only
FAKE_PROCESSOR_TESTS := fake_guest extended_state_test child_policy_test svm_test vmx_test mtrr_test parent_msr_test \
    processor_start_test kick_test
$(FAKE_PROCESSOR_TESTS:%=$(BUILD)/unit/object/tests/unit/%.o): CPPFLAGS_EXTRA += -DLOAM_HOST_TEST
$(BUILD)/unit/object/tests/unit/fake_guest.o: CPPFLAGS_EXTRA += -mgeneral-regs-only
$(addprefix $(BUILD)/fuzz/object/tests/,unit/fake_guest.o fuzz/guest_walk_fuzz.o fuzz/instruction_fuzz.o): \
    CPPFLAGS_EXTRA += -DLOAM_HOST_TEST

LOCAL_APIC := $(addprefix kernel/,local_apic.c local_apic_state.c local_apic_timer.c)

$(call unit_test,local_apic_test,tests/unit/local_apic_test.c $(LOCAL_APIC))
$(call unit_test,interrupt_test,tests/unit/interrupt_test.c tests/unit/fake_guest.c kernel/interrupt.c \
    $(LOCAL_APIC))
$(call unit_test,guest_walk_test,tests/unit/guest_walk_test.c tests/unit/fake_guest.c arch/x86_64/mm/guest_walk.c \
    $(LOCAL_APIC))
$(call unit_test,instruction_test,tests/unit/instruction_test.c tests/unit/instruction_oracle.c \
    tests/unit/fake_guest.c arch/x86_64/cpu/instruction.c arch/x86_64/mm/guest_walk.c $(LOCAL_APIC),-lZydis)
$(call unit_test,apic_page_test,tests/unit/apic_page_test.c tests/unit/fake_guest.c arch/x86_64/cpu/apic_page.c \
    $(addprefix arch/x86_64/cpu/,instruction.c memory_operation.c) arch/x86_64/mm/guest_walk.c \
    kernel/interrupt.c $(LOCAL_APIC))
$(call unit_test,extended_state_test,tests/unit/extended_state_test.c tests/unit/fake_guest.c \
    $(addprefix arch/x86_64/cpu/,extended_state.c speculation.c) $(LOCAL_APIC))
$(call unit_test,child_policy_test,tests/unit/child_policy_test.c tests/unit/fake_guest.c \
    $(addprefix arch/x86_64/cpu/,child_control.c child_cpuid.c child_msr.c extended_state.c speculation.c) \
    kernel/interrupt.c $(LOCAL_APIC))
$(call unit_test,svm_test,tests/unit/svm_test.c tests/unit/fake_guest.c $(addprefix arch/x86_64/svm/,svm.c svm_exit.c) \
    $(addprefix arch/x86_64/cpu/,child_control.c child_cpuid.c child_msr.c extended_state.c instruction.c speculation.c) \
    arch/x86_64/mm/guest_walk.c kernel/interrupt.c $(LOCAL_APIC))

$(call unit_test,vmx_test,tests/unit/vmx_test.c tests/unit/fake_guest.c $(filter-out %_parent_msr.c,$(wildcard arch/x86_64/vmx/*.c)) \
    $(addprefix arch/x86_64/cpu/,child_control.c child_cpuid.c child_msr.c extended_state.c instruction.c speculation.c) \
    arch/x86_64/mm/guest_walk.c kernel/interrupt.c $(LOCAL_APIC))
$(call unit_test,parent_msr_test,tests/unit/parent_msr_test.c tests/unit/fake_guest.c \
    arch/x86_64/cpu/parent_msr.c arch/x86_64/svm/svm_parent_msr.c arch/x86_64/vmx/vmx_parent_msr.c arch/x86_64/mm/guest_walk.c $(LOCAL_APIC))
$(call unit_test,processor_start_test,tests/unit/processor_start_test.c arch/x86_64/cpu/processor_start.c)
$(call unit_test,kick_test,tests/unit/kick_test.c arch/x86_64/cpu/kick.c)
$(call unit_test,mtrr_test,tests/unit/mtrr_test.c arch/x86_64/vmx/mtrr.c)

$(call unit_test,acpi_test,tests/unit/acpi_test.c arch/x86_64/boot/acpi.c)
$(call unit_test,host_map_test,tests/unit/host_map_test.c arch/x86_64/boot/host_map.c)
$(call unit_test,loader_configuration_test,tests/unit/loader_configuration_test.c arch/x86_64/boot/configuration.c)
$(call unit_test,memory_range_test,tests/unit/memory_range_test.c arch/x86_64/boot/memory_range.c)
$(call unit_test,memory_map_test,tests/unit/memory_map_test.c arch/x86_64/boot/multiboot/memory_map.c \
    arch/x86_64/boot/memory_range.c)
$(call unit_test,multiboot_information_test,tests/unit/multiboot_information_test.c \
    $(addprefix arch/x86_64/boot/,multiboot/information.c multiboot/memory_map.c memory_range.c))
$(call unit_test,linux_parent_test,tests/unit/linux_parent_test.c \
    $(addprefix arch/x86_64/boot/,multiboot/linux_parent.c multiboot/memory_map.c memory_range.c linux_image.c))

$(call fuzzer,multiboot,tests/fuzz/multiboot_fuzz.c $(addprefix arch/x86_64/boot/multiboot/,information.c \
    linux_parent.c memory_map.c) $(addprefix arch/x86_64/boot/,configuration.c linux_image.c memory_range.c))
$(call fuzzer,guest_walk,tests/fuzz/guest_walk_fuzz.c tests/fuzz/fuzz_input.c tests/unit/fake_guest.c \
    arch/x86_64/mm/guest_walk.c $(LOCAL_APIC))
$(call fuzzer,instruction,tests/fuzz/instruction_fuzz.c tests/unit/instruction_oracle.c tests/unit/fake_guest.c \
    arch/x86_64/cpu/instruction.c arch/x86_64/mm/guest_walk.c $(LOCAL_APIC),-lZydis)
