# SPDX-License-Identifier: GPL-3.0-or-later
"""What holds for every test."""

from __future__ import annotations

import pytest
from hypothesis import settings

from tests.steady_time import SteadyLoop
from tests.virtual_time import VirtualLoop

# How long an example takes is the machine's doing: under load the first of them may take half a second.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

_LOOPS = "_asyncio_loop_factory"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run asynchronous tests in a time that a busy machine doesn't push on; marked ones in one that doesn't wait.

    What pytest-asyncio has for it, `pytest_asyncio_loop_factories`, gives the choice to each test alone, and so ends
    the loops of a module and of the session with each test, and all fixtures in them (its issue 1501): each test had a
    homeserver started for it. Synchronous tests use such fixtures, too.
    """
    is_virtual = metafunc.definition.get_closest_marker("virtual_time") is not None
    if _LOOPS not in metafunc.fixturenames:
        metafunc.fixturenames.append(_LOOPS)
    metafunc.parametrize(
        _LOOPS, [VirtualLoop if is_virtual else SteadyLoop], ids=[pytest.HIDDEN_PARAM], indirect=True, scope="session"
    )
