# SPDX-License-Identifier: GPL-3.0-or-later
"""Worlds for the end-to-end tests."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from bridges.sim.synapse import Synapse
from tests.e2e.world import World, build_world
from tests.services import own_synapse, synapse

__all__ = ["own_synapse", "own_world", "synapse", "world"]


@pytest.fixture
async def world(synapse: Synapse) -> AsyncIterator[World]:
    """A world on the session's homeserver: leave that one running."""
    async with build_world(synapse) as made:
        yield made


@pytest.fixture
async def own_world(own_synapse: Synapse) -> AsyncIterator[World]:
    """A world with a homeserver of its own, to kill and start again: it remembers."""
    async with build_world(own_synapse) as made:
        yield made
