# SPDX-License-Identifier: GPL-2.0-or-later
"""A machine that a suite's tests share, since its boot takes longer than many of them."""
import functools

from machine import Machine


class SharedMachine:
    """Starts with the first test that needs it; one that a test has failed on is not used any more."""

    def __init__(self, disk, **options):
        self.disk, self.options = disk, options
        self.machine = None

    def get(self):
        if not self.machine:
            self.machine = Machine(self.disk, **self.options).__enter__()
            self.machine.wait_for_shell()
        return self.machine

    def leave(self):
        if self.machine:
            self.machine.__exit__(None, None, None)
        self.machine = None

    def shared(self, function):
        """Gives a test, behind the suite's decorator, the machine."""
        @functools.wraps(function)
        def run():
            try:
                function(self.get())
            except BaseException:
                self.leave()
                raise
        return run
