# SPDX-License-Identifier: GPL-3.0-or-later
"""What holds for every test."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import pytest
from hypothesis import settings

from tests.steady_time import SteadyLoop
from tests.virtual_time import VirtualLoop

# How long an example takes is the machine's doing: under load the first of them may take half a second.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


def pytest_asyncio_loop_factories(item: pytest.Item) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run asynchronous tests in a time that a busy machine doesn't push on; marked ones in one that doesn't wait."""
    return {"virtual": VirtualLoop} if item.get_closest_marker("virtual_time") else {"steady": SteadyLoop}
