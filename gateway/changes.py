# SPDX-License-Identifier: GPL-3.0-or-later
"""A changed mind: what an edit or a redaction may do to a message that has not left everywhere yet. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from gateway.fitting import Unfit
from gateway.journal import Amendment, Original, Rewrite
from gateway.model import Address, BridgeName, Capabilities, Delivery, Edit, Location, Message, Redaction, Support, Text

TOO_LATE = "the correction came too late for what was sent there"
STANDS = "what was sent there can't be taken back"
UNCHANGED = "what was sent there can't be changed"
COME_TOO_LATE = frozenset({TOO_LATE, STANDS, UNCHANGED})
"""How deliveries of changes end whose senders are told, for they see the change made where they are."""
NOT_YOURS = "only its own sender may change a message"


def may_change(message: Message, target: Original) -> bool:
    """Whether this edit or redaction is one its sender may make.

    Words are changed by who said them. What may be taken back, the network has decided: moderators too.
    """
    if isinstance(message.content, Redaction):
        return True
    return target.is_own and target.message.sender.id == message.sender.id


def too_late(
    message: Message, target: Original, capabilities: Mapping[BridgeName, Capabilities]
) -> Mapping[Address, str]:
    """Return where an edit or a redaction of somebody's words, or place, can't be shown, or not any more, and why.

    Where some of the words still wait the change is for those, however late it is. Of reactions nothing is told.
    """
    if not isinstance(target.message.content, Text | Location):
        return {}
    age_s = (message.received_ms - target.message.received_ms) / 1000
    # It may have gone to a bridge that isn't configured any more.
    there = {to: capabilities[to.bridge] for to in target.is_there - target.waits if to.bridge in capabilities}
    reasons = {to: _too_late(message, age_s, network) for to, network in there.items()}
    return {to: reason for to, reason in reasons.items() if reason}


def _too_late(message: Message, age_s: float, there: Capabilities) -> str:
    if isinstance(message.content, Redaction):
        return STANDS if there.redactions is Support.DROP else ""
    if there.edits is Support.DROP:
        return UNCHANGED
    return TOO_LATE if there.edits is Support.TEXT and age_s > there.correct_within_s else ""


def amendment_of(
    message: Message,
    target: Original,
    *,
    fitted: Callable[[Message, Address, int | None], tuple[Delivery, ...] | Unfit],
    works: Callable[[BridgeName], bool],
    bound_for: frozenset[Address],
    refused: frozenset[Address],
    rewrite: Rewrite,
    elsewhere: frozenset[Address] = frozenset(),
) -> Amendment | None:
    """Return what a permitted edit or redaction does to its target; None if it isn't of that kind.

    `bound_for`: where the change itself goes. A redaction where a message was said takes it back
    everywhere; one of a copy, there and where its conversation's routes lead. `refused`: where its
    sender may not speak. `fitted`: a message's parts for an address until a time. `works`: whether this
    gateway is the one that sends there now; what another sends, or has said (`elsewhere`), is no longer ours to change.
    """
    ours = frozenset(to for to in target.expires_ms if works(to.bridge)) - elsewhere
    match message.content:
        case Redaction():
            within = ours if target.is_own else ours & (bound_for | {message.origin})
            return Amendment(target=target.seq, says=None, within=within, rewrite=rewrite)
        case Edit(body=body) if isinstance(target.message.content, Text):
            says = replace(target.message, content=replace(target.message.content, body=body))
            parts = {to: fitted(says, to, target.expires_ms[to]) for to in ours - refused}
            fits = {to: found for to, found in parts.items() if not isinstance(found, Unfit)}
            return Amendment(target=target.seq, says=says, fitted=fits, within=frozenset(parts), rewrite=rewrite)
        case _:
            return None
