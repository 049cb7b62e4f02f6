# SPDX-License-Identifier: GPL-3.0-or-later
"""Who has a device open, and who may open it: what Linux tells in ``/proc`` and on the file itself."""

from __future__ import annotations

import grp
import os
import pwd
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
MOST_HOLDERS = 4
_LOCK_FIELDS = 6
_GROUP_READS_AND_WRITES = 0o060


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """A process that has a device open."""

    name: str
    pid: int

    def __str__(self) -> str:
        """Return it for people."""
        return f"{self.name} (pid {self.pid})"


def holders(path: str, *, proc: Path = PROC) -> tuple[Holder, ...]:
    """Return the other processes that have a device open, as far as this one may see; at most a few.

    What another user's process has open only root sees, but that it has locked it everybody does. Reads much of
    ``/proc``: some 10 ms. Empty where there is no such thing.
    """
    found: dict[int, Holder] = {}
    for pid in (*_with_it_open(os.path.realpath(path), proc), *_with_it_locked(path, proc)):
        if pid > 0 and pid != os.getpid() and len(found) < MOST_HOLDERS:
            found[pid] = Holder(name=_name(pid, proc), pid=pid)
    return tuple(found[pid] for pid in sorted(found))


def _with_it_open(device: str, proc: Path) -> Iterator[int]:
    for process in _listed(proc):
        if process.isdecimal():
            folder = proc / process / "fd"
            if any(_target(folder / each) == device for each in _listed(folder)):
                yield int(process)


def _with_it_locked(path: str, proc: Path) -> Iterator[int]:
    try:
        found = Path(path).stat()
        lines = (proc / "locks").read_text().splitlines()
    except OSError:
        return
    wanted = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}:{found.st_ino}"
    for line in lines:
        words = line.split()
        if len(words) >= _LOCK_FIELDS and words[5] == wanted and words[4].isdecimal():
            yield int(words[4])


def _listed(folder: Path) -> list[str]:
    try:
        return [each.name for each in folder.iterdir()]
    except OSError:
        return []  # not ours to see, or gone meanwhile


def _target(link: Path) -> str:
    try:
        return str(link.readlink())
    except OSError:
        return ""


def _name(pid: int, proc: Path) -> str:
    try:
        return (proc / str(pid) / "comm").read_text().strip() or "a program"
    except OSError:
        return "a program"


def barred(path: str) -> str:
    """Return why a device that is there may not be opened by this process, with the mend."""
    with suppress(OSError):
        found = Path(path).stat()
        if stat.S_IMODE(found.st_mode) & _GROUP_READS_AND_WRITES != _GROUP_READS_AND_WRITES:
            return "may be opened by its owner alone: install the udev rules (deploy/70-crossband.rules)"
        return _not_in_group(found.st_gid)
    return "may not be opened"


def _not_in_group(number: int) -> str:
    group, user = _group(number), _user()
    if user in group.gr_mem:
        return f"may not be opened: {user} is in the group {group.gr_name} since it started; start the gateway anew"
    return f"may not be opened: sudo usermod -aG {group.gr_name} {user}, log in again, start the gateway anew"


def _group(number: int) -> grp.struct_group:
    try:
        return grp.getgrgid(number)
    except KeyError:
        return grp.struct_group((str(number), "", number, []))


def _user() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())
