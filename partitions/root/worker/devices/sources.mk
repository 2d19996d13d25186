# SPDX-License-Identifier: GPL-2.0-or-later
#
# The device models of a generation 1 machine, for the worker and for tests that assemble a whole one. May be included
# by several build.mk files.

ifndef WORKER_DEVICE_SOURCES

IASL := iasl

WORKER_DEVICES := partitions/root/worker/devices
WORKER_DEVICE_SOURCES := $(sort $(wildcard $(WORKER_DEVICES)/*.c)) $(BUILD)/generated/dsdt.c

# The AML of the DSDT as a C array. The C preprocessor expands the tables of dsdt.asl.
$(BUILD)/generated/dsdt.aml: $(WORKER_DEVICES)/dsdt.asl
	@mkdir -p $(@D)
	$(CC) -E -P -undef -x c -o $(@:.aml=.i.asl) $<
	$(IASL) -we -vs -p $(basename $@) $(@:.aml=.i.asl) > $(@:.aml=.log) || { cat $(@:.aml=.log); exit 1; }

$(BUILD)/generated/dsdt.c: $(BUILD)/generated/dsdt.aml
	{ echo '#include "$(WORKER_DEVICES)/dsdt.h"'; \
	  echo 'const uint8_t dsdt_aml[] = {'; \
	  od -An -v -tx1 $< | sed 's/ \(..\)/0x\1,/g'; \
	  echo '};'; \
	  echo 'const size_t dsdt_aml_length = sizeof dsdt_aml;'; } > $@

endif
