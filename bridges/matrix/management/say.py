# SPDX-License-Identifier: GPL-3.0-or-later
"""What is asked and said when a room is bridged. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from bridges.matrix.management.command import PREFIX
from bridges.matrix.plain import one_line
from gateway.model import Address, Joined

CONFIRM = f"Say `{PREFIX} confirm` within 5 minutes to do it."
NOTHING_WAITS = (
    "Nothing of yours waits here to be confirmed: it is forgotten after 5 minutes, and when the gateway restarts."
)
CLOSED_AGAIN = "Nothing that is said here is carried any more: the room is encrypted, and that it may be is taken back."


def before_bridging(there: Address) -> str:
    """Return what somebody must know before they bridge a room."""
    return (
        f"Everything said here will go to {there}. Where that is a radio it will be broadcast by radio in clear: "
        f"anyone in range can read it, now and from a recording. {CONFIRM}"
    )


def before_bridging_encrypted(there: Address) -> str:
    """Return the first of the two things somebody must know before they bridge an encrypted room."""
    return (
        f"This room is encrypted. Bridging it takes its secrecy away: everything said here will leave it and go to "
        f"{there}, in clear where that is a radio. You are asked twice. {CONFIRM}"
    )


def bridged(joined: Joined, here: Address, there: Address, by: str) -> str:
    """Return what everybody in the room is told."""
    who = one_line(by, 100)
    clear = ", ".join(sorted(str(to) for to in joined.exposed_to if to != here))
    if clear:
        said = f"everything said here is now sent by radio in clear text (via {clear}): anyone in range can read it."
    else:
        said = "everything said here is now carried there."
    return f"{who} bridged this room to {there}: {said} `{PREFIX} unbridge` ends it."


def unbridged(routes: Sequence[Joined], here: Address) -> str:
    """Return what is said of routes that are no more."""
    ends = dict.fromkeys(str(end) for joined in routes for end in joined.ends if end != here)
    return f"This room is no longer bridged to {', '.join(ends)}."


def standing(routes: Sequence[Joined], here: Address) -> str:
    """Return what a room is bridged to, in a line; empty if it isn't."""
    ends = [
        f"{end} (by {joined.by or 'the configuration file'})" for joined in routes for end in joined.ends if end != here
    ]
    return f"This room is bridged to {', '.join(ends)}." if ends else ""
