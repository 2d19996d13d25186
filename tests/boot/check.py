# SPDX-License-Identifier: GPL-2.0-or-later
"""How a test says that something is not as it should be."""


class Failure(Exception):
    """What a test says when it does not find what it expects."""


def expect(condition, message):
    if not condition:
        raise Failure(message)
