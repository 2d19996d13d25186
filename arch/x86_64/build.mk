# SPDX-License-Identifier: GPL-2.0-or-later
#
# Host tests and fuzzers of arch/x86_64 and of the kernel files that go with it. The image is the top Makefile's.

# Privileged instructions are functions of the tests there. General registers only, as in the image: extended state
# that has been switched must not be touched.
$(BUILD)/unit/object/arch/x86_64/%.o: CPPFLAGS_EXTRA += -DLOAM_HOST_TEST -mgeneral-regs-only
FAKE_PROCESSOR_TESTS := fake_guest extended_state_test child_policy_test
$(FAKE_PROCESSOR_TESTS:%=$(BUILD)/unit/object/tests/unit/%.o): CPPFLAGS_EXTRA += -DLOAM_HOST_TEST
$(BUILD)/unit/object/tests/unit/fake_guest.o: CPPFLAGS_EXTRA += -mgeneral-regs-only

$(call unit_test,local_apic_test,tests/unit/local_apic_test.c kernel/local_apic.c)
$(call unit_test,interrupt_test,tests/unit/interrupt_test.c tests/unit/fake_guest.c kernel/interrupt.c \
    kernel/local_apic.c)
$(call unit_test,guest_walk_test,tests/unit/guest_walk_test.c tests/unit/fake_guest.c arch/x86_64/mm/guest_walk.c \
    kernel/local_apic.c)
$(call unit_test,instruction_test,tests/unit/instruction_test.c tests/unit/instruction_oracle.c \
    tests/unit/fake_guest.c arch/x86_64/cpu/instruction.c arch/x86_64/mm/guest_walk.c kernel/local_apic.c,-lZydis)
$(call unit_test,apic_page_test,tests/unit/apic_page_test.c tests/unit/fake_guest.c arch/x86_64/cpu/apic_page.c \
    arch/x86_64/cpu/instruction.c arch/x86_64/mm/guest_walk.c kernel/interrupt.c kernel/local_apic.c)
$(call unit_test,extended_state_test,tests/unit/extended_state_test.c tests/unit/fake_guest.c \
    $(addprefix arch/x86_64/cpu/,extended_state.c speculation.c) kernel/local_apic.c)
$(call unit_test,child_policy_test,tests/unit/child_policy_test.c tests/unit/fake_guest.c \
    $(addprefix arch/x86_64/cpu/,child_cpuid.c child_msr.c extended_state.c speculation.c) \
    kernel/interrupt.c kernel/local_apic.c)

# Fuzzers (flags and the macro's style are tests/fuzz/build.mk's, which is read later).
FUZZERS += $(BUILD)/fuzz/guest_walk $(BUILD)/fuzz/instruction
GUEST_WALK_FUZZ_SOURCES := tests/fuzz/guest_walk_fuzz.c tests/fuzz/fuzz_input.c tests/unit/fake_guest.c \
    arch/x86_64/mm/guest_walk.c kernel/local_apic.c
INSTRUCTION_FUZZ_SOURCES := tests/fuzz/instruction_fuzz.c tests/unit/instruction_oracle.c tests/unit/fake_guest.c \
    arch/x86_64/cpu/instruction.c arch/x86_64/mm/guest_walk.c kernel/local_apic.c

$(BUILD)/fuzz/guest_walk: $(GUEST_WALK_FUZZ_SOURCES)
	@mkdir -p $(@D)
	$(CLANG) $(CPPFLAGS_PROGRAM) -DLOAM_HOST_TEST $(CFLAGS_FUZZ) -o $@ $(GUEST_WALK_FUZZ_SOURCES)

$(BUILD)/fuzz/instruction: $(INSTRUCTION_FUZZ_SOURCES)
	@mkdir -p $(@D)
	$(CLANG) $(CPPFLAGS_PROGRAM) -DLOAM_HOST_TEST $(CFLAGS_FUZZ) -o $@ $(INSTRUCTION_FUZZ_SOURCES) -lZydis
