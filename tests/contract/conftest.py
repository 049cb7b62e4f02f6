# SPDX-License-Identifier: GPL-3.0-or-later
"""Services for the contract tests."""

from __future__ import annotations

from tests.services import own_synapse, synapse, town

__all__ = ["own_synapse", "synapse", "town"]
