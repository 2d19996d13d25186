# SPDX-License-Identifier: GPL-2.0-or-later
# loam-fetch: the process that has the network of a disk whose parent is at a URL.

FETCH := partitions/root/fetch
FETCH_CORE := $(addprefix $(FETCH)/,client.c fetch.c reader.c) partitions/root/disk/remote_source.c
FETCH_READERS := $(addprefix $(FETCH)/,http_answer.c http_reader.c nbd_reader.c)

$(call program,loam-fetch,$(FETCH_CORE) $(FETCH_READERS) $(addprefix $(FETCH)/,main.c sandbox.c) \
    partitions/root/confinement.c,-lcurl -lnbd -lseccomp -lpthread)

$(call unit_test,fetch_client_test,tests/unit/fetch_client_test.c $(FETCH)/client.c)
$(call unit_test,http_answer_test,tests/unit/http_answer_test.c $(addprefix $(FETCH)/,http_answer.c reader.c) \
    partitions/root/disk/remote_source.c)
$(call unit_test,fetch_sandbox_test,tests/unit/fetch_sandbox_test.c $(FETCH)/sandbox.c partitions/root/confinement.c, \
    -lseccomp -lpthread)
$(call fuzzer,fetch,tests/fuzz/fetch_fuzz.c $(addprefix $(FETCH)/,client.c http_answer.c reader.c) \
    partitions/root/disk/remote_source.c)

# Beside the sanitized loam and loamd, which look for it there.
$(BUILD)/unit/sanitized/loam-fetch: $(BUILD)/bin/loam-fetch
	@mkdir -p $(@D)
	ln -sf ../../bin/loam-fetch $@
