# SPDX-License-Identifier: GPL-3.0-or-later
"""How the gateway says the same thing everywhere: on the command line, on its page, in chats. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from gateway.ages import in_words

_LONG_HEX: Final = re.compile(r"(?<![0-9A-Za-z])([0-9a-f]{8})[0-9a-f]{24,}(?![0-9A-Za-z])")


def shown(text: object, most: int = 60) -> str:
    """Return a text as one line of at most so many characters that can't steer a terminal or a chat."""
    line = "".join(char if char.isprintable() else " " for char in " ".join(str(text).split()))
    return line if len(line) <= most else f"{line[: most - 1]}…"


def brief(text: str) -> str:
    """Return a text with each key or hash in it as its first digits: a line is for people."""
    return _LONG_HEX.sub(r"\1…", text)


def gateway_line(name: str, version: str, *, running_s: float) -> str:
    """Say which gateway this is, and since when it runs."""
    return f"{name}: crossband {version}, running for {in_words(running_s)}"


def store_line(name: str, state: str, *, engine: str = "", reason: str = "") -> str:
    """Say how the journal or the queue is, and why."""
    told = " ".join(part for part in (state, engine) if part)
    return f"{name}: {told}" + (f": {shown(reason, most=500)}" if reason else "")


def rulings_line(made_in_chats: int, muted: int) -> Sequence[str]:
    """Say what was decided in chats; nothing if nothing was."""
    return [f"changed in chats: {made_in_chats} permissions, {muted} muted"] if made_in_chats or muted else []


def deed_line(what: str, about: str, detail: str, by: str, where: str, why: str) -> str:  # noqa: PLR0917 - a row
    """Say what somebody decided, but for when."""
    told = " ".join(filter(None, (what, shown(brief(about), 255), shown(detail))))
    return f"{told}, by {shown(by, 255)}" + (f" in {shown(where, 255)}" if where else "") + (f": {why}" if why else "")


def cost_line(
    *, destination: str, letters: int, deliveries: int, unfit: int, airtime_s: float | None, basis: str, complete: bool
) -> str:
    """Say what sending one destination's dead letters again would cost."""
    at_least = "" if complete else "at least "
    airtime = "no airtime"
    if airtime_s is not None:
        airtime = f"{at_least}{in_words(airtime_s)} on the air ({basis}), and as much for each node that relays it"
    lost = f"; {unfit} can't be sent any more" if unfit else ""
    return f"{destination}: {at_least}{letters} dead letters, {at_least}{deliveries} deliveries, {airtime}{lost}"
