# SPDX-License-Identifier: GPL-3.0-or-later
"""Become another program that gets SIGTERM when the process that started it dies. Standard library only.

``python parent_death.py PARENT PROGRAM [ARGUMENT ...]``. A program of its own, because code between
fork and exec in a process with threads may deadlock. The signal follows the *thread* that started us.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main(parent: int, program: list[str]) -> None:
    """Replace this process; return only if the parent is gone already."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() == parent:  # it may have died before the line above
        os.execv(program[0], program)  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
