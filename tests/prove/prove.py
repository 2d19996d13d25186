#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Proofs about pure functions, for all inputs within the bounds that each harness states.

usage: tests/prove/prove.py [NAME...]

Each harness, NAME.c, calls functions with whatever inputs they may have; Frama-C's Eva follows all of these at once, by
intervals, and raises an alarm where memory outside of an object could be read or written, a division be by zero, or an
arithmetic operation overflow, unsigned ones included. A proof is one without alarms, and with each assertion of the
harness proved.

Intervals know nothing of which of two numbers is greater, so that an alarm about a difference that could be below zero
counts for nothing: the results of those functions are compared with their definition, for all inputs, by the unit test
disk_exhaustive. Prints a line PASS or FAIL for each harness; the exit status is 1 if one failed.

Debian: frama-c-base
"""
import os
import re
import subprocess
import sys

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
DISK = "partitions/root/disk/"
PROOFS = {
    "vhd_bitmap": [DISK + "vhd/bitmap.c"],
    "vhd_geometry": [DISK + "vhd/vhd.c"],
    "vhd_place": [DISK + "vhd/vhd.c", DISK + "vhd/place.c"],
}
SECONDS = 120
DIFFERENCE = "unsigned overflow. assert 0 \u2264"
OPTIONS = ["-eva", "-eva-precision", "3", "-warn-unsigned-overflow", "-variadic-no-translation", "-machdep", "gcc_x86_64",
           "-cpp-extra-args=-include tests/prove/byte_order.h -I. -Iinclude -D_GNU_SOURCE"]


def prove(name):
    """What is wrong with the proof, with the tool's output; "" if it holds."""
    result = subprocess.run(["frama-c", *OPTIONS, "tests/prove/%s.c" % name, *PROOFS[name]], cwd=TOP, timeout=SECONDS,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    output = result.stdout.decode(errors="replace")
    alarms = [" ".join(text.split()) for text in re.findall(r"^\[eva:alarm\] ((?:.*\n)(?:  .*\n)*)", output, re.M)]
    alarms = [alarm for alarm in alarms if DIFFERENCE not in alarm]
    if result.returncode or "ANALYSIS SUMMARY" not in output:
        return "the tool failed\n" + output
    if alarms:
        return "\n".join(alarms)
    if "100% of the logical properties reached have been proven." not in output:
        return "an assertion is not proved\n" + output
    return ""


def main():
    failed = 0
    for name in sys.argv[1:] or PROOFS:
        try:
            problem = prove(name)
        except FileNotFoundError:
            problem = "missing: frama-c (Debian: frama-c-base)"
        except subprocess.TimeoutExpired:
            problem = "no proof within %d seconds" % SECONDS
        print("%s %s" % ("FAIL" if problem else "PASS", name), flush=True)
        if problem:
            print(problem)
            failed += 1
    return 1 if failed else 0


sys.exit(main())
