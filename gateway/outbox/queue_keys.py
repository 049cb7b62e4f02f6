# SPDX-License-Identifier: GPL-3.0-or-later
"""What a queue's keys are called. Which is what, `common.lua` says."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

from gateway.outbox.records import LANES

_HASHES = ("skew", "fence", "body", "tries", "stats", "fly", "wait", "dead", "why", "gone", "late")


@dataclass(frozen=True, slots=True)
class Keys:
    """A destination's keys, in the order `common.lua` names them."""

    all: tuple[str, ...]
    stem: str
    body: str


class QueueKeys:
    """The keys of one community: all under one hash tag, so that a Cluster has them in one place."""

    def __init__(self, community: str, *, shared: bool) -> None:
        """`shared`: there are those for what has left the queue, too."""
        self.tag = f"xb:{{{quote(community, safe='')}}}:"
        self.skew = f"{self.tag}skew"
        """The one that holds the queue's time."""
        self.shared = shared
        """Whether other boxes use the queue too."""
        self._known: dict[str, Keys] = {}

    def of(self, destination: str) -> Keys:
        """Return a destination's keys."""
        if destination not in self._known:
            name = quote(destination, safe="")
            own = tuple(f"{self.tag}{kind}:{name}" for kind in _HASHES[1:])
            ready = tuple(f"{self.tag}rdy:{name}:{lane}" for lane in range(len(LANES)))
            past = tuple(f"{self.tag}{kind}:{name}" for kind in ("lately", "before")) if self.shared else ()
            keys = (self.skew, *own, *ready, *past)
            self._known[destination] = Keys(keys, f"{self.tag}q:{name}:", f"{self.tag}body:{name}")
        return self._known[destination]

    def source(self, destination: str, source: str) -> str:
        """Return the key of how far a destination has what a source gave it."""
        return f"{self.tag}src:{quote(source, safe='')}:{quote(destination, safe='')}"
