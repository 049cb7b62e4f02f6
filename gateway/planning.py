# SPDX-License-Identifier: GPL-3.0-or-later
"""Routing and fitting together: every delivery of one message. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from gateway.fitting import Unfit, fit
from gateway.model import Address, BridgeName, Capabilities, Delivery, Lane, Level, Message, SenderId, State
from gateway.routing import Answers, Bound, Choice, Refused, RoutingTable


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What becomes of one message: the deliveries to make, and those that end before they begin."""

    deliveries: tuple[Delivery, ...]
    ended: tuple[tuple[Delivery, State, str], ...]
    refused: frozenset[Address] = frozenset()
    """Where its sender may not speak."""
    muted: bool = False
    """Its sender may speak nowhere, for now."""

    @property
    def everything(self) -> tuple[Delivery, ...]:
        """All of them."""
        return (*self.deliveries, *(delivery for delivery, _, _ in self.ended))

    def without(self, reasons: Mapping[Address, str]) -> Plan:
        """Return the plan in which what is bound for these addresses, and may go there, ends before it begins."""
        reasons = {to: reason for to, reason in reasons.items() if to not in self.refused}
        late = tuple((one, State.CANCELLED, reasons[one.to]) for one in self.everything if one.to in reasons)
        return replace(
            self,
            deliveries=tuple(one for one in self.deliveries if one.to not in reasons),
            ended=(*(ended for ended in self.ended if ended[0].to not in reasons), *late),
        )

    def refused_by(self, reason: str) -> Plan:
        """Return the plan in which all of it ends before it begins."""
        return replace(self, deliveries=(), ended=tuple((one, State.CANCELLED, reason) for one in self.everything))


@dataclass(slots=True, kw_only=True)
class Planner:
    """Routing and fitting together: pure, by the table of the moment, once all bridges are known."""

    table: RoutingTable
    """Another one takes its place when a route is made or ended in a chat."""
    capabilities: Mapping[BridgeName, Capabilities]
    level_of: Callable[[SenderId], Level]
    is_direct: Callable[[Address], bool]
    muted: Callable[[SenderId], str] = field(default=lambda _: "")
    """Why nothing of a sender's is carried, in words; empty: it is."""

    silenced: Callable[[], str] = field(default=lambda: "")
    """Why nothing goes to a network in clear but emergencies, in words; empty: it does."""

    def plan(self, message: Message, *, answers: Answers | None = None, choice: Choice | None = None) -> Plan:
        """Return every delivery of this message. A refused or unfit one is there too, with its reason."""
        level = self.level(message, choice)
        deliveries: list[Delivery] = []
        ended: list[tuple[Delivery, State, str]] = []
        refused: set[Address] = set()
        decided = self.table.decide(message, level, answers=answers, choice=choice)
        if choice is None and (reason := self.muted(message.sender.id)):
            return self._silenced(message, frozenset(one.to for one in decided), reason)
        silence = "" if choice is not None or message.lane is Lane.EMERGENCY else self.silenced()
        for bound in (self._heard(one, silence) for one in decided):
            if isinstance(bound, Refused):
                ended.append((self._whole(message, bound.to), State.CANCELLED, bound.reason))
                refused.add(bound.to)
                continue
            fitted = self.fitted(message, bound.to, bound.expires_s)
            if isinstance(fitted, Unfit):
                ended.append((self._whole(message, bound.to), fitted.state, fitted.reason))
            else:
                deliveries += fitted
        return Plan(deliveries=tuple(deliveries), ended=tuple(ended), refused=frozenset(refused))

    def _heard(self, bound: Bound | Refused, silence: str) -> Bound | Refused:
        is_on_air = bool(silence) and bound.to.bridge in self.table.in_clear
        return Refused(to=bound.to, reason=silence) if is_on_air and isinstance(bound, Bound) else bound

    def _silenced(self, message: Message, bound_for: frozenset[Address], reason: str) -> Plan:
        """Return the plan of what is said by somebody who is muted: all of it ends before it begins."""
        ended = tuple((self._whole(message, to), State.CANCELLED, reason) for to in sorted(bound_for, key=str))
        return Plan(deliveries=(), ended=ended, refused=bound_for, muted=True)

    def _whole(self, message: Message, to: Address) -> Delivery:
        return Delivery(message=message, to=to, direct=self.is_direct(to))

    def level(self, message: Message, choice: Choice | None) -> Level:
        """Return what the sender may do; who names addresses or a route was let in as an operator."""
        return Level.ADMIN if choice is not None else self.level_of(message.sender.id)

    def fitted(self, message: Message, to: Address, expires_s: int | None) -> tuple[Delivery, ...] | Unfit:
        """Return the parts of this message for this address."""
        return self.fitted_until(message, to, None if expires_s is None else message.received_ms + expires_s * 1000)

    def fitted_until(self, message: Message, to: Address, expires_ms: int | None) -> tuple[Delivery, ...] | Unfit:
        """Return the same, with the time when they are too old."""
        parts = fit(message, to, self.capabilities[to.bridge])
        if isinstance(parts, Unfit):
            return parts
        direct = self.is_direct(to)
        return tuple(
            Delivery(message=part, to=to, part=n, parts=len(parts), expires_ms=expires_ms, direct=direct)
            for n, part in enumerate(parts, 1)
        )
