# SPDX-License-Identifier: GPL-3.0-or-later
"""What to show in a room of what became of its messages. Pure: time and what is shown already are passed in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from bridges.matrix.discreet import without_places
from bridges.matrix.plain import one_line
from bridges.matrix.shown import Notices, Shown, Stage
from gateway.model import Leg, Progress, RemoteId, State, short_hash

MAX_GROUPS = 3
"""How many different reasons one notice about several messages gives."""
MAX_REASON_BYTES = 200
_LOST = frozenset({State.FAILED, State.EXPIRED})
_MISSED = _LOST | {State.FOLDED}


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A reaction of ours at a message."""

    emoji: str
    reaction: str | None = ""
    """Its event id; empty: unknown. None: it was being put, and may or may not be there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """Put this reaction at a message, in place of the one that stands, or finish putting it."""

    target: RemoteId
    emoji: str
    """Empty: put none."""
    old: Standing | None

    @property
    def cost(self) -> int:
        """How many events it takes."""
        return bool(self.emoji) + self.replaces

    @property
    def replaces(self) -> bool:
        """Whether what stands has to go."""
        return self.old is not None and self.old.emoji != self.emoji

    @property
    def is_owed(self) -> bool:
        """Whether it must be done, however late: what stands, or may, is not true any more."""
        return self.old is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """Say this in the room."""

    words: str = field(repr=False)
    about: tuple[str, ...]
    """What need not be said again then."""
    reply_to: RemoteId | None = None
    is_owed: bool = True
    """Whether it must be said, however late."""

    @property
    def key(self) -> str:
        """The same for the same things said."""
        return f"note.{short_hash('note', *self.about)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All there is to do."""

    receipt: Progress | None
    """The last message that every network has."""
    notes: tuple[Note, ...]
    marks: tuple[Mark, ...]


def plan(
    news: Sequence[Progress],
    shown: Shown,
    *,
    marks: Mapping[RemoteId, Standing],
    told: Collection[str],
    now_ms: int,
) -> Plan:
    """Return what to show now. `marks` and `told`: what stands and what was said already."""
    texts = [progress for progress in news if progress.kind == "text"]
    stages = [(progress, stage_of(progress, now_ms, shown.waiting_after_s)) for progress in texts]
    wanted = (_mark(progress, stage, shown.reactions, marks.get(progress.remote_id)) for progress, stage in stages)
    through = [progress for progress in news if _is_accepted(progress)]
    return Plan(
        receipt=through[-1] if through and shown.receipts else None,
        notes=tuple(_notes(news, stages, shown.notices, told)),
        marks=tuple(mark for mark in wanted if mark is not None),
    )


def stage_of(progress: Progress, now_ms: int, waiting_after_s: float) -> Stage | None:
    """Return how far a message is; None: nothing to speak of yet, or nothing was to go out."""
    states = {leg.state for leg in progress.legs}
    if states & _LOST:
        return Stage.FAILED
    if any(leg.is_open for leg in progress.legs):
        return Stage.WAITING if now_ms - progress.received_ms >= waiting_after_s * 1000 else None
    if State.FOLDED in states:
        return Stage.FOLDED
    if any(leg.direct for leg in progress.legs):
        return Stage.DELIVERED
    if states & {State.HEARD, State.DELIVERED}:
        return Stage.HEARD
    return Stage.SENT if states else None


def _is_accepted(progress: Progress) -> bool:
    """Whether every network has it; one that only a digest names counts where another has it."""
    there = [leg.is_with_network for leg in progress.legs if leg.state is not State.FOLDED]
    return bool(there) and all(there)


def _mark(progress: Progress, stage: Stage | None, reactions: Mapping[Stage, str], old: Standing | None) -> Mark | None:
    if stage is None and progress.legs:
        return None
    emoji = _emoji(stage, reactions, is_marked=old is not None)
    is_unfinished = old is not None and old.reaction is None
    if emoji == (old.emoji if old else "") and not is_unfinished:
        return None
    return Mark(target=progress.remote_id, emoji=emoji, old=old)


def _emoji(stage: Stage | None, reactions: Mapping[Stage, str], *, is_marked: bool) -> str:
    """Return the emoji of a stage. That all went well is only said where something else stood before."""
    after = reactions.get(Stage.SENT, "") if is_marked else ""
    match stage:
        case None:
            return ""
        case Stage.SENT:
            return after
        case Stage.HEARD:
            return reactions.get(Stage.HEARD) or after
        case _:
            return reactions.get(stage, "")


def _notes(
    news: Sequence[Progress],
    stages: Sequence[tuple[Progress, Stage | None]],
    notices: Notices,
    told: Collection[str],
) -> Iterator[Note]:
    if notices is Notices.OFF:
        return
    missed = [(p, leg) for p in news for leg in _unshown(p) if _about(p, leg.to) not in told]
    if missed:
        yield _missed(missed)
    if notices is Notices.ALL:
        for progress, stage in stages:
            if stage is not None and (note := _went_well(progress, stage, told)):
                yield note


def _unshown(progress: Progress) -> Iterator[Leg]:
    """Yield where people who read the message here might think it is, or was changed, and it isn't."""
    if progress.kind == "text":
        yield from (leg for leg in progress.legs if leg.state in _MISSED)
    yield from progress.late


def _about(progress: Progress, what: object) -> str:
    return f"{progress.message_id} {what}"


def _missed(missed: Sequence[tuple[Progress, Leg]]) -> Note:
    """Return one notice about all of them: in reply to the message if it is only one."""
    about = tuple(_about(progress, leg.to) for progress, leg in missed)
    messages = {progress.remote_id for progress, _ in missed}
    if len(messages) == 1:
        words = "; ".join(_what_is_missing(progress, leg) for progress, leg in missed)
        progress = missed[0][0]
        return Note(words=f"⚠️ {words}", about=about, reply_to=progress.about or progress.remote_id)
    groups = Counter(_what_is_missing(progress, leg) for progress, leg in missed).most_common()
    words = "; ".join(f"{number} {what}" for what, number in groups[:MAX_GROUPS])
    more = sum(number for _, number in groups[MAX_GROUPS:])
    return Note(
        words=f"⚠️ of {len(messages)} messages: {words}" + (f"; {more} for other reasons" if more else ""), about=about
    )


def _what_is_missing(progress: Progress, leg: Leg) -> str:
    return f"{_verb(progress, leg)} {leg.to.conversation}{_because(leg)}"


def _verb(progress: Progress, leg: Leg) -> str:
    match leg.state:
        case State.CANCELLED:
            return "not corrected on" if progress.kind == "edit" else "not taken back on"
        case State.EXPIRED:
            return "expired before it could be sent to"
        case State.FOLDED:
            return "folded into a digest for"
        case _:
            # What was on the air may have arrived, and nobody knows.
            return "not acknowledged by" if leg.direct else "not sent to"


def _because(leg: Leg) -> str:
    reason = one_line(without_places(leg.reason), MAX_REASON_BYTES)
    return f": {reason}" if reason else ""


def _went_well(progress: Progress, stage: Stage, told: Collection[str]) -> Note | None:
    about = _about(progress, stage.value)
    if about in told:
        return None
    match stage:
        case Stage.WAITING:
            what = "; ".join(
                f"waiting for {leg.to.conversation}{_because(leg)}" for leg in progress.legs if leg.is_open
            )
        case Stage.SENT if _about(progress, Stage.WAITING.value) in told:
            what = f"sent to {_where(progress)}"
        case Stage.HEARD:
            what = f"relayed by a neighbour on {_where(progress, State.HEARD)}"
        case Stage.DELIVERED:
            what = f"delivered to {_where(progress, State.DELIVERED)}"
        case _:
            return None
    return Note(words=what, about=(about,), reply_to=progress.remote_id, is_owed=False)


def _where(progress: Progress, state: State | None = None) -> str:
    legs = (leg for leg in progress.legs if state is None or leg.state is state)
    return ", ".join(leg.to.conversation for leg in legs)
