# SPDX-License-Identifier: GPL-2.0-or-later
"""Collects test functions, runs them (all, or those named on the command line), prints one line each with its time."""
import os
import sys
import time
import traceback

import vmx_lane
from lane import LANE, VENDOR

SOAK = os.environ.get("SOAK") == "1"


def soak(normally, in_soak, in_bochs=None):
    """How often to do what finds more the longer it goes on: `make soak` is for hours, `make test` for minutes, and
    Bochs is slow."""
    if SOAK:
        return in_soak
    return in_bochs if in_bochs is not None and VENDOR == "vmx" else normally


class Skip(Exception):
    """The test needs something that is absent and cannot be installed."""


class Suite:
    def __init__(self, path):
        self.name = os.path.splitext(os.path.basename(path))[0]
        self.tests = []

    def test(self, function):
        self.tests.append(function)
        return function

    def only_on_bochs(self, function):
        """A test of a machine that only Bochs has: it runs in the VT-x lane."""
        return self.test(function) if VENDOR == "vmx" else function

    def concurrent(self, function):
        """A test on an emulator with a thread for each processor, which races with itself (docs/emulators.md): what
        fails is run once more, both runs are shown, and what fails twice has failed."""
        function.again = True
        return self.test(function)

    def only_in_soak(self, function):
        """A test that make test has no time for."""
        def skip():
            raise Skip("it takes minutes: it is in make soak")
        skip.__name__ = function.__name__
        return self.test(function if SOAK else skip)

    def repeated(self, in_soak):
        """A test that a soak does so many times."""
        def add(function):
            def repeatedly():
                for _ in range(soak(1, in_soak)):
                    function()
            repeatedly.__name__ = function.__name__
            self.tests.append(repeatedly)
            return function
        return add

    def run(self):
        failed = 0
        unknown = {name for name in vmx_lane.names() if name.startswith(f"{self.name}.")} - {
            f"{self.name}.{function.__name__}" for function in self.tests}
        if unknown:
            print(f"FAIL {self.name}: vmx_lane.py has {', '.join(sorted(unknown))}, which there is not")
            failed += 1
        for function in self.tests:
            if len(sys.argv) > 1 and function.__name__ not in sys.argv[1:]:
                continue
            reason = vmx_lane.reason_to_skip(LANE, f"{self.name}.{function.__name__}")
            if reason:
                print(f"SKIP {self.name}.{function.__name__}: {reason}", flush=True)
                continue
            verdict = self.run_test(function, "failed once" if hasattr(function, "again") else "FAIL")
            if verdict == "failed once":
                print(f"again: {self.name}.{function.__name__}", flush=True)
                verdict = self.run_test(function, "FAIL")
            failed += verdict == "FAIL"
        return 1 if failed else 0

    def run_test(self, function, failure):
        begin = time.monotonic()
        try:
            function()
            verdict, detail = "PASS", ""
        except Skip as reason:
            verdict, detail = "SKIP", f": {reason}"
        except Exception:  # whatever it is, it is this test's failure, and the next one runs
            verdict, detail = failure, "\n" + traceback.format_exc()
        print(f"{verdict} {self.name}.{function.__name__} ({time.monotonic() - begin:.1f} s){detail}", flush=True)
        return verdict
