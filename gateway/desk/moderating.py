# SPDX-License-Identifier: GPL-3.0-or-later
"""Moderation: bans, slow rooms, who asks to be heard on radio and what they are told, and who decided all that."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from gateway.ages import in_words
from gateway.desk.ruling import sender_of
from gateway.desk.visit import Visit
from gateway.desk.words import ago, answer, with_reason
from gateway.journal import Deed
from gateway.model import Address, Asking, Declined, Level, SenderId
from gateway.model.units import seconds
from gateway.slow import Slow
from gateway.wording import deed_line, shown

_OFF: Final = "off"
_USUAL: Final = "usual"
_EXAMPLE: Final = "slow town 30s (off: as they like; usual: as the file has it)"
MOST_AUDIT: Final = 200


async def ban(visit: Visit) -> str:
    """Carry nothing of somebody's any more, until an admin takes it back."""
    rest, why = with_reason(visit.rest)
    sender = sender_of(visit, " ".join(rest), "ban ~spam@hilltop")
    by = visit.asked.sender
    await visit.rulings.mute(sender, for_s=None, by=by, ban=True, where=visit.where, why=why)
    return f"{sender} is banned: nothing of theirs is carried; unban {sender} takes it back"


async def unban(visit: Visit) -> str:
    """Carry what somebody says again."""
    rest, why = with_reason(visit.rest)
    sender = sender_of(visit, " ".join(rest), "unban ~spam@hilltop")
    found = visit.rulings.mute_of(sender)
    if found is None or not found.ban:
        return f"{sender} is not banned"
    await visit.rulings.unmute(sender, by=visit.asked.sender, where=visit.where, why=why)
    return f"what {sender} says is carried again"


async def slow(visit: Visit) -> str:
    """Slow a room; or say which are."""
    rest, why = with_reason(visit.rest)
    if not rest:
        found = visit.rulings.slow_rooms()
        return answer([_slow(one, visit) for one in found]) if found else "nothing was decided of any room's pace"
    room = _room(visit, rest[:-1])
    word, by = rest[-1].casefold(), visit.asked.sender
    if word == _USUAL:
        changed = await visit.rulings.as_filed(room, by=by, where=visit.where, why=why)
        return f"the file decides of {room.conversation}" + ("" if changed else " already")
    every_s = 0 if word == _OFF else _pause(word)
    await visit.rulings.slow(room, every_s, by=by, where=visit.where, why=why)
    told = f"each says one line in {in_words(every_s)}" if every_s else "they speak as they like"
    return f"{room.conversation}: {told}, from now on"


def _pause(word: str) -> int:
    try:
        return seconds(word)
    except ValueError:
        raise Declined(f"{shown(word)!r} is no pause: {_EXAMPLE}") from None


def _room(visit: Visit, rest: Sequence[str]) -> Address:
    moderated = visit.running.moderated()
    if rest:
        room = visit.joining.resolve(" ".join(rest))
        if room.bridge in moderated:
            return room
        raise Declined(f"only rooms with people at a page are slowed, and {room} is none: {_EXAMPLE}")
    here = [one for one in visit.here if one.bridge in moderated]
    if len(here) == 1:
        return here[0]
    raise Declined(f"say which room: {_EXAMPLE}")


def _slow(one: Slow, visit: Visit) -> str:
    pace = f"one line in {in_words(one.every_s)}" if one.every_s else "not slow"
    box = f" at box {one.box}" if one.box else ""
    return f"{one.room}: {pace}, by {one.by}{box}, {ago(one.at_ms, visit.now_ms)}"


async def approvals(visit: Visit) -> str:
    """Say who asks to be heard on radio, and since when."""
    found = visit.running.asking()
    if not found:
        return "nobody asks to be heard on radio"
    return answer([f"{one.sender}, {_since(one, visit)}; approve or refuse {one.sender}" for one in found])


def _since(one: Asking, visit: Visit) -> str:
    return "nobody noted since when" if one.since_ms is None else f"asked {ago(one.since_ms, visit.now_ms)}"


async def approve(visit: Visit) -> str:
    """Let somebody who asked be heard on radio."""
    sender = await _decide(visit, Level.TRANSMIT, "approve")
    return f"{sender} may be heard on this box's radios; forget {sender} takes it back"


async def refuse(visit: Visit) -> str:
    """Turn somebody down who asked."""
    sender = await _decide(visit, Level.READ, "refuse")
    return f"{sender} is told that the answer is no; approve {sender} says otherwise"


async def _decide(visit: Visit, level: Level, what: str) -> SenderId:
    rest, why = with_reason(visit.rest)
    words = " ".join(rest)
    asking = {one.sender for one in visit.running.asking()}
    alone = next(iter(asking)) if not words and len(asking) == 1 else None
    sender = alone or sender_of(visit, words, f"{what} ~ali@hilltop")
    named = visit.rulings.rule_of(sender)
    if sender not in asking and (named is None or named.pattern != sender):
        raise Declined(f"{sender} didn't ask to be heard on radio, or it is too long ago; approvals says who does")
    by = visit.asked.sender
    if not await visit.rulings.allow(sender, level, by=by, where=visit.where, why=why, what=what):
        raise Declined(f"that is so already: {sender} has {level.name.lower()}")
    return sender


async def audit(visit: Visit) -> str:
    """Say who decided what, when, where and why; the latest first."""
    if not visit.sees_all:
        raise Declined("who decided what is told in private")
    most = visit.rest[0] if visit.rest else "20"
    if not most.isascii() or not most.isdigit() or not 0 < int(most) <= MOST_AUDIT:
        raise Declined(f"say how many: audit 20, at most {MOST_AUDIT}")
    found = await visit.rulings.audit(limit=int(most))
    return answer([_deed(one, visit) for one in found]) if found else "nothing was decided yet"


def _deed(one: Deed, visit: Visit) -> str:
    return f"{ago(one.at_ms, visit.now_ms)}: {deed_line(one.what, one.about, one.detail, one.by, one.where, one.why)}"
