# SPDX-License-Identifier: GPL-2.0-or-later
"""The lane that the tests run in (environment variable LANE; tests/run sets it): `svm` is AMD-V in QEMU, `vmx` VT-x in
Bochs as far as its speed allows, `vmx-full` all that Bochs can do."""
import os

LANES = ("svm", "vmx", "vmx-full")
LANE = os.environ.get("LANE", "svm")
if LANE not in LANES:
    raise SystemExit(f"LANE is '{LANE}'; there are {', '.join(LANES)}")
VENDOR = LANE.split("-")[0]  # of the hypervisor's image: build/hypervisor/svm, vmx
TECHNOLOGY, NESTED_PAGING = {"svm": ("AMD-V", "nested paging"), "vmx": ("VT-x", "EPT")}[VENDOR]
