# SPDX-License-Identifier: GPL-3.0-or-later
"""What a gateway asks of its process: the data directory for itself, signals, and no needless pauses."""

from __future__ import annotations

import asyncio
import fcntl
import gc
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from gateway.directories import private_directory, unusable
from gateway.model import GatewayError

SWITCH_S = 0.0005
LOOK_AFTER = 10_000
"""New objects before the garbage collector looks through them: some hundreds of messages on their way are as many."""


def share_the_interpreter() -> None:
    """Let the journal's threads and a busy loop take turns every half millisecond, not every five."""
    sys.setswitchinterval(SWITCH_S)


def keep_what_is_loaded() -> None:
    """Spare the garbage collector what start-up has made, which stays, and what is on its way, which goes by itself."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(LOOK_AFTER, *gc.get_threshold()[1:])


@contextmanager
def alone(data_dir: Path) -> Iterator[None]:
    """Make the data directory ours: two gateways in one would each journal half."""
    private_directory(data_dir, "data_dir")
    path = data_dir / "lock"
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise unusable("data directory's lock", path, error, "data_dir") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise GatewayError(
                f"another gateway runs in {data_dir}: stop it, or give this one its own data_dir"
            ) from error
        yield
    finally:
        os.close(descriptor)


@contextmanager
def signals(stop: Callable[[], None]) -> Iterator[None]:
    """Have SIGTERM and SIGINT call `stop` meanwhile."""
    loop = asyncio.get_running_loop()
    wanted = (signal.SIGINT, signal.SIGTERM)
    with suppress(NotImplementedError, RuntimeError):
        for number in wanted:
            loop.add_signal_handler(number, stop)
    try:
        yield
    finally:
        for number in wanted:
            loop.remove_signal_handler(number)
