# SPDX-License-Identifier: GPL-3.0-or-later
"""The gateway, as it is, with a wall clock that the storm can set: `PARENT CONFIG CLOCK_FILE TIME_SCALE BEGAN`.

It ends with the process that started it. Only the clock is put in from outside, and one more kind of bridge.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from functools import partial
from pathlib import Path

from gateway import service, telemetry
from gateway.clock import SystemClock
from gateway.config import load
from gateway.registry import Registry
from tests.chaos import line_bridge

_PR_SET_PDEATHSIG = 1


def wall_ms(file: Path, lead_ms: int) -> int:
    """Return this machine's time, ahead by so much and off by what the file says."""
    try:
        offset_ms = int(file.read_text() or 0)
    except FileNotFoundError:
        offset_ms = 0
    return time.time_ns() // 1_000_000 + lead_ms + offset_ms


def main(parent: int, config: Path, clock_file: Path, time_scale: float, began: float) -> int:
    """Run until SIGTERM. `began`: when this machine's time and the scaled one were the same."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        return 1
    lead_ms = round((time.time() - began) * (time_scale - 1) * 1000)
    clock = partial(SystemClock, time_scale=time_scale, wall_ms=partial(wall_ms, clock_file, lead_ms))
    service.SystemClock = clock  # type: ignore[misc, assignment] # the one thing that is patched
    installed = Registry.installed()
    kinds = {name: partial(installed.kind, name) for name in installed.names}
    registry = Registry({**kinds, "line": line_bridge.kind})
    settings = load(config, {}, registry=registry)
    telemetry.configure(settings.log.level, settings.log.format)
    return service.run(settings, registry=registry)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), float(sys.argv[4]), float(sys.argv[5])))
