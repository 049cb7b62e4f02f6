# SPDX-License-Identifier: GPL-3.0-or-later
"""What holds for every test."""

from __future__ import annotations

from hypothesis import settings

# How long an example takes is the machine's doing: under load the first of them may take half a second.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
