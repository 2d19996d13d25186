# SPDX-License-Identifier: GPL-2.0-or-later
"""The machine that this lane's tests run in."""
from lane import VENDOR

if VENDOR == "vmx":
    from bochs import Bochs as Machine  # noqa: F401
else:
    from qemu import Qemu as Machine  # noqa: F401
