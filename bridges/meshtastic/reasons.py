# SPDX-License-Identifier: GPL-3.0-or-later
"""Why a line to a radio can't be used, in words, with what to do about it."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence

from gateway.model.devices import Holder, barred, holders


def reason(error: Exception) -> str:
    """Return in words why a line can't be used, by its error number."""
    match getattr(error, "errno", None):
        case errno.ENOENT:
            return "is not there"
        case errno.EBUSY | errno.EAGAIN:
            return "is in use by another program"
        case errno.EIO | errno.ENXIO | errno.ENODEV:
            return "was unplugged"
        case int() as number if number > 0:
            return os.strerror(number)
        case _:
            return str(error)


def of_device(path: str, error: Exception) -> str:
    """Return the same of a device that can't be opened: also who has it, or how it may be. Looks through ``/proc``."""
    match getattr(error, "errno", None):
        case errno.EACCES | errno.EPERM:
            return barred(path)
        case errno.EBUSY | errno.EAGAIN:
            return in_use(path, holders(path))
        case _:
            return reason(error)


def in_use(path: str, found: Sequence[Holder]) -> str:
    """Return by whom a device is in use, as far as we may see."""
    if not found:
        return f"is in use by another program: sudo fuser -v {path} says which; close it there"
    return f"is in use by {' and '.join(map(str, found))}: close it there"


def missing(there: Sequence[str]) -> str:
    """Return that a device isn't there, and what is in its stead."""
    return f"is not there; boards that are: {', '.join(there)}" if there else "is not there, nor any other board"
