# SPDX-License-Identifier: GPL-3.0-or-later
"""What became of an event as Beeper's clients show it: ``com.beeper.message_send_status`` events. Pure.

Other clients ignore them; each is one more event in the room, so they are off unless the configuration asks for them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from bridges.matrix.discreet import without_places
from bridges.matrix.plain import one_line
from gateway.model import Leg, Progress, State, short_hash

TYPE = "com.beeper.message_send_status"
MAX_REASON_BYTES = 200


class Sent(StrEnum):
    """The words of the status."""

    PENDING = "PENDING"
    SUCCESS = "SUCCESS"
    FAIL_RETRIABLE = "FAIL_RETRIABLE"
    """Saying it again is worth it: it grew too old."""
    FAIL_PERMANENT = "FAIL_PERMANENT"


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """Send this event."""

    about: str
    """What need not be told again then."""
    content: dict[str, Any] = field(repr=False)
    is_owed: bool
    """Whether it must be told, however late: what was told before isn't true any more, or it failed."""

    @property
    def key(self) -> str:
        """The same for the same status."""
        return f"status.{short_hash('status', self.about)}"


def statuses(
    news: Sequence[Progress], *, told: Collection[str], now_ms: int, pending_after_s: float, server: str
) -> Iterator[Status]:
    """Yield what is to be told now; nothing of what `told` has. `server`: our ghosts' part of their ids."""
    for progress in news:
        status = _status(progress, now_ms, pending_after_s)
        if status is None:
            continue
        delivered_to = _delivered_to(progress, server) if status is Sent.SUCCESS else None
        about = _about(progress, status, delivered_to)
        if about not in told:
            was_pending = _about(progress, Sent.PENDING, None) in told
            is_owed = status is not Sent.PENDING and (was_pending or status is not Sent.SUCCESS)
            yield Status(about=about, content=_content(progress, status, delivered_to), is_owed=is_owed)


def _about(progress: Progress, status: Sent, delivered_to: Sequence[str] | None) -> str:
    return f"{progress.message_id} {status} {len(delivered_to or ())}"


def _status(progress: Progress, now_ms: int, pending_after_s: float) -> Sent | None:
    states = {leg.state for leg in progress.legs}
    if State.FAILED in states or progress.late:
        return Sent.FAIL_PERMANENT
    if State.EXPIRED in states:
        return Sent.FAIL_RETRIABLE
    if any(state.is_pending for state in states):
        return Sent.PENDING if now_ms - progress.received_ms >= pending_after_s * 1000 else None
    return Sent.SUCCESS if states else None


def _delivered_to(progress: Progress, server: str) -> tuple[str, ...] | None:
    """Return whose acknowledgement there is; None where nobody's is waited for."""
    direct = [leg for leg in progress.legs if leg.direct]
    there = tuple(f"@mesh_{_node(leg)}:{server}" for leg in direct if leg.state is State.DELIVERED)
    return there if direct else None


def _node(leg: Leg) -> str:
    return "".join(char for char in leg.to.conversation.lower() if char.isascii() and char.isalnum())


def _content(progress: Progress, status: Sent, delivered_to: Sequence[str] | None) -> dict[str, Any]:
    content: dict[str, Any] = {
        "m.relates_to": {"rel_type": "m.reference", "event_id": progress.remote_id},
        "network": ", ".join(dict.fromkeys(leg.to.bridge for leg in (*progress.legs, *progress.late))),
        "status": status.value,
    }
    if delivered_to is not None:
        content["delivered_to_users"] = list(delivered_to)
    reason = next(
        (leg.reason for leg in (*progress.late, *progress.legs) if leg.reason and not leg.is_with_network), ""
    )
    if status is not Sent.SUCCESS and reason:
        content["message"] = one_line(without_places(reason), MAX_REASON_BYTES)
    if status in (Sent.FAIL_PERMANENT, Sent.FAIL_RETRIABLE):
        content["reason"] = _kind(progress, status)
    return content


def _kind(progress: Progress, status: Sent) -> str:
    if status is Sent.FAIL_RETRIABLE:
        return "m.event_too_old"
    return "com.beeper.unsupported_event" if progress.late else "m.foreign_network_error"
