# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may what, and who is muted: said and changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from gateway.ages import in_words
from gateway.desk.visit import Visit
from gateway.desk.words import ago, answer, with_duration, with_reason
from gateway.model import Declined, Level, SenderId
from gateway.nodes import called
from gateway.permissions import is_glob
from gateway.rulings import RADIO_SILENCE, Mute, Ruling
from gateway.wording import shown

_SIGILS: Final = "@!~"
"""What ids begin with, where names seldom do."""


async def who(visit: Visit) -> str:
    """Say what the asker may; in private, to those with commands, the whole table, or what somebody else may."""
    if visit.rest:
        return _somebody(visit)
    mine = f"you are {visit.asked.sender}; your permission: {visit.level.name.lower()}{_by(visit, visit.asked.sender)}"
    muted = visit.rulings.muted(visit.asked.sender)
    lines = [mine, *([f"but nothing you say is carried: {muted}"] if muted else [])]
    if visit.sees_all:
        lines += [_ruling(one, visit.now_ms) for one in visit.rulings.rulings()]
    return answer(lines)


def _somebody(visit: Visit) -> str:
    if not visit.sees_all:
        raise Declined("what somebody else may is told in private, to those who may give commands")
    sender = sender_of(visit, " ".join(visit.rest), "who @ali:example.org")
    level = visit.rulings.level_of(sender).name.lower()
    muted = visit.rulings.muted(sender)
    told = f"{sender}{_called(visit, sender)}: {level}{_by(visit, sender)}"
    return answer([told, *([f"but nothing they say is carried: {muted}"] if muted else [])])


def _by(visit: Visit, sender: SenderId) -> str:
    rule = visit.rulings.rule_of(sender)
    return "" if rule is None else f", by {rule.pattern} ({'made in a chat' if rule.in_chat else 'file'})"


def _ruling(one: Ruling, now_ms: int) -> str:
    whose = "file" if one.by is None else f"by {one.by}"
    when = "" if one.at_ms is None else f", {ago(one.at_ms, now_ms)}"
    overruled = "; overruled" if one.rule.overruled else ""
    return f"{one.rule.pattern}: {one.rule.level.name.lower()} ({whose}{when}{overruled})"


async def allow(visit: Visit) -> str:
    """Let somebody do more, or less."""
    rest, why = with_reason(visit.rest)
    pattern, level = _pattern_and_level(rest)
    changed = await visit.rulings.allow(pattern, level, by=visit.asked.sender, where=visit.where, why=why)
    since = "from now on" if changed else "already"
    return f"{shown(pattern, 255)}: {level.name.lower()} {since}; forget {shown(pattern, 255)} takes it back"


def _pattern_and_level(rest: Sequence[str]) -> tuple[str, Level]:
    names = [level.name.lower() for level in Level]
    if len(rest) != 2:  # noqa: PLR2004 - who, and what
        raise Declined(f"say who and what: allow @ali:example.org commands; it is one of {', '.join(names)}")
    pattern, name = rest
    if name.casefold() not in names:
        raise Declined(f"{shown(name)!r} is not a permission; it is one of {', '.join(names)}")
    return pattern, Level[name.upper()]


async def forget(visit: Visit) -> str:
    """Take back what a chat allowed: the file decides again."""
    rest, why = with_reason(visit.rest)
    if len(rest) != 1:
        raise Declined("say which: forget PATTERN, as who shows it")
    (pattern,) = rest
    if not await visit.rulings.forget(pattern, by=visit.asked.sender, where=visit.where, why=why):
        raise Declined(f"no chat made a rule for {shown(pattern)}; those of the file only the file changes")
    return f"what was decided in a chat for {shown(pattern, 255)} is forgotten"


async def mute(visit: Visit) -> str:
    """Carry nothing of somebody's any more, for a time or until it is taken back."""
    rest, why = with_reason(visit.rest)
    rest, for_s = with_duration(rest)
    sender = sender_of(visit, " ".join(rest), "mute @ali:example.org for 1h")
    made = await visit.rulings.mute(sender, for_s=for_s, by=visit.asked.sender, where=visit.where, why=why)
    return f"nothing of {_mute(made, visit)} is carried; unmute {sender} takes it back"


async def unmute(visit: Visit) -> str:
    """Carry what somebody says again."""
    rest, why = with_reason(visit.rest)
    sender = sender_of(visit, " ".join(rest), "unmute @ali:example.org")
    if not await visit.rulings.unmute(sender, by=visit.asked.sender, where=visit.where, why=why):
        return f"{sender} is not muted"
    return f"what {sender} says is carried again"


async def mutes(visit: Visit) -> str:
    """Say who is muted, by whom and for how long."""
    found = visit.rulings.mutes()
    if not found:
        return "nobody is muted"
    return answer([f"{_mute(one, visit)}, by {_whose(one)} {ago(one.at_ms, visit.now_ms)}" for one in found])


def _whose(one: Mute) -> str:
    return f"{one.by} at box {one.box}," if one.box else one.by


async def silence(visit: Visit) -> str:
    """Put nothing on radio any more but emergencies, for a time or until it is taken back."""
    rest, why = with_reason(visit.rest)
    rest, for_s = with_duration(rest)
    if rest:
        raise Declined("say silence, or silence for 1h")
    by = visit.asked.sender
    await visit.rulings.mute(RADIO_SILENCE, for_s=for_s, by=by, where=visit.where, why=why)
    told = "until unsilence" if for_s is None else f"for {in_words(for_s)}, or until unsilence"
    return (
        f"radio silence {told}: what is said from now on isn't put on radio, but for emergencies; what waits still is"
    )


async def unsilence(visit: Visit) -> str:
    """End radio silence."""
    _, why = with_reason(visit.rest)
    ended = await visit.rulings.unmute(RADIO_SILENCE, by=visit.asked.sender, where=visit.where, why=why)
    return "radio silence is over" if ended else "there is no radio silence"


def _mute(one: Mute, visit: Visit) -> str:
    left_s = one.left_s(visit.running.clock.monotonic())
    return f"{one.sender}{_called(visit, one.sender)}{' (banned)' if one.ban else ''}" + (
        " until it is taken back" if left_s is None else f" for {in_words(left_s)}"
    )


def _called(visit: Visit, sender: SenderId) -> str:
    name = visit.names.get(sender)
    return f" ({shown(name)})" if name else ""


def sender_of(visit: Visit, words: str, example: str) -> SenderId:
    """Find out who is meant: somebody's id, or a node's name as `nodes` shows it."""
    if not words:
        raise Declined(f"say who: {example}")
    known = {node.id: node for _, node in visit.running.nodes()}
    if exact := [ident for ident in known if ident.casefold() == words.casefold()]:
        return exact[0]
    # A node may call itself by somebody's id, lest they be muted.
    is_id = words[0] in _SIGILS and " " not in words
    now, before = (frozenset(), frozenset()) if is_id else called(words, known.values())
    if len(named := now | before) > 1:
        told = sorted(f"{ident}{'' if ident in now else ' (formerly)'}" for ident in named)
        raise Declined(f"{len(named)} nodes are called that, say which: {', '.join(told[:10])}")
    if named:
        return next(iter(named))
    if is_glob(words):
        raise Declined(f"one at a time; for all of them there is: allow {shown(words)} none")
    if words[0].isalnum() or " " in words:
        raise Declined(f"no node is called {shown(words)!r}; write an id, as in {example}")
    return SenderId(words)
