# SPDX-License-Identifier: GPL-2.0-or-later
"""Collects test functions, runs them (all, or those named on the command line), prints one line each with its time."""
import os
import sys
import time
import traceback


class Skip(Exception):
    """The test needs something that is absent and cannot be installed."""


class Suite:
    def __init__(self, path):
        self.name = os.path.splitext(os.path.basename(path))[0]
        self.tests = []

    def test(self, function):
        self.tests.append(function)
        return function

    def run(self):
        failed = 0
        for function in self.tests:
            if len(sys.argv) > 1 and function.__name__ not in sys.argv[1:]:
                continue
            begin = time.monotonic()
            try:
                function()
                verdict, detail = "PASS", ""
            except Skip as reason:
                verdict, detail = "SKIP", f": {reason}"
            except Exception:  # whatever it is, it is this test's failure, and the next one runs
                verdict, detail = "FAIL", "\n" + traceback.format_exc()
                failed += 1
            print(f"{verdict} {self.name}.{function.__name__} ({time.monotonic() - begin:.1f} s){detail}", flush=True)
        return 1 if failed else 0
