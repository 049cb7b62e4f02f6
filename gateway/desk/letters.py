# SPDX-License-Identifier: GPL-3.0-or-later
"""Dead letters and what waits: looked at, sent again, dropped, taken back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from gateway.ages import in_words
from gateway.costs import Cost
from gateway.desk.tracing import story
from gateway.desk.visit import Visit
from gateway.desk.words import ago, answer
from gateway.journal import DeadLetter, DeadLetters, Kept
from gateway.journal.overview import LAST
from gateway.model import PENDING, Address, Declined, DeliveryId, Level, MessageId, State, words_of
from gateway.redrive import PER_MINUTE, Redriving
from gateway.wording import cost_line, shown

SHOWN: Final = 5
MOST_SHOWN: Final = 20
LOOKED_AT: Final = 500
"""Letters among which those of this conversation's routes are looked for."""
NONE: Final = "there are no dead letters"


async def listed(visit: Visit) -> str:
    """Say what failed for good, the latest accepted first."""
    wanted = _number(visit.rest)
    limit = wanted + 1 if visit.sees_all else LOOKED_AT
    page = await visit.running.journal.overview.letters(DeadLetters(), before=LAST, limit=limit)
    found = [one for one in page.letters if _is_told(visit, one.message.origin, one.to)]
    if not found:
        return NONE if visit.sees_all else f"{NONE} of this conversation's routes"
    lines = [_line(one, visit) for one in found[:wanted]]
    if len(found) <= wanted and page.following is None:
        return answer(lines)
    how = f"dead-letters {MOST_SHOWN}" if wanted < MOST_SHOWN else "crossband dead-letters list shows all"
    return answer([*lines, f"there may be more: {how}"])


def _is_told(visit: Visit, origin: Address, to: Address) -> bool:
    """Whether one may be told of: what was said here also when its route is no more."""
    return visit.asked.at == origin or visit.sees_way(origin, to)


def _number(rest: Sequence[str]) -> int:
    if not rest:
        return SHOWN
    word = rest[0]
    if len(rest) > 1 or not (word.isascii() and word.isdigit() and int(word[:9]) > 0):
        raise Declined("say how many, as in dead-letters 10; or dead-letter ID for one")
    return min(MOST_SHOWN, int(word[:9]))


def _line(one: DeadLetter, visit: Visit) -> str:
    text = f": {shown(words_of(one.message.content))}" if visit.sees_texts else ""
    whose = f"{one.message.sender.name} in {one.message.origin}"
    return f"{one.id} to {one.to}, failed {ago(one.changed_ms, visit.now_ms)}: {one.reason}; {whose}{text}"


async def one_letter(visit: Visit) -> str:
    """Tell one with its story; its text only to admins in private."""
    kept = await _letter(visit)
    message = kept.message
    lines = [f"{kept.record.id} of {message.sender.name} in {message.origin}, message {message.id}"]
    lines.append(story(kept.record, visit.now_ms))
    if visit.sees_texts:
        lines.append(words_of(message.content))
    return answer(lines)


async def redrive(visit: Visit) -> str:
    """Send one again, or all: those only after the price was told."""
    words = [word.casefold() for word in visit.rest]
    if words[:1] != ["all"]:
        return await _one(visit)
    if visit.level < Level.ADMIN:
        raise Declined("all at once is for admins; you may redrive ID")
    price = await visit.running.price(DeadLetters())
    if not price.total:
        return NONE
    if words == ["all", "yes"]:
        return await _all(visit, price.total)
    costs = [_cost(one, complete=price.complete) for one in price.costs]
    takes = in_words(60 * price.total / PER_MINUTE)
    return answer([*costs, f"at {PER_MINUTE} a minute that takes {takes} or longer. To do it say: redrive all yes"])


async def _one(visit: Visit) -> str:
    ident = (await _letter(visit)).record.id
    if not await visit.running.redrive([ident]):
        raise Declined(f"{ident} can't be sent any more: it doesn't fit its network, or its bridge is gone")
    return f"{ident} is sent again, at the end of its lane; where {ident} tells what becomes of it"


def _cost(one: Cost, *, complete: bool) -> str:
    return cost_line(
        destination=one.destination,
        letters=one.letters,
        deliveries=one.deliveries,
        unfit=one.unfit,
        airtime_s=None if one.airtime_ms is None else one.airtime_ms / 1000,
        basis=one.basis,
        complete=complete,
    )


async def _all(visit: Visit, total: int) -> str:
    try:
        await visit.running.redrives.start(DeadLetters(), PER_MINUTE, total)
    except Redriving as error:
        raise Declined(str(error)) from error
    return f"{total:,} dead letters are sent again, {PER_MINUTE} a minute, behind what is new"


async def drop(visit: Visit) -> str:
    """Forget one for good."""
    ident = (await _letter(visit)).record.id
    if not await visit.running.drop([ident]):
        raise Declined(_no_letter(ident))
    return f"{ident} is dropped; it can't be sent any more"


async def cancel(visit: Visit) -> str:
    """Take back what waits: one delivery, or all of a message's."""
    word = _one_id(visit)
    ids = await _waiting(visit, word)
    taken = await visit.running.cancel(ids) if ids else ()
    if not taken:
        raise Declined(f"nothing of {shown(word)} is waiting; it may be on its way already, or be over")
    missed = len(ids) - len(taken)
    return f"{len(taken)} cancelled" + (f", {missed} on their way already" if missed else "")


async def _waiting(visit: Visit, word: str) -> list[DeliveryId]:
    journal = visit.running.journal
    if (record := await journal.message(MessageId(word))) is not None:
        origin = record.message.origin
        return [one.id for one in record.deliveries if one.state in PENDING and visit.sees_way(origin, one.to)]
    kept = await journal.delivery(DeliveryId(word))
    if kept is None or kept.record.state not in PENDING or not visit.sees_way(kept.message.origin, kept.record.to):
        return []
    return [kept.record.id]


async def _letter(visit: Visit) -> Kept:
    word = _one_id(visit)
    kept = await visit.running.journal.delivery(DeliveryId(word))
    if (
        kept is None
        or kept.record.state is not State.FAILED
        or not _is_told(visit, kept.message.origin, kept.record.to)
    ):
        raise Declined(_no_letter(word))
    return kept


def _one_id(visit: Visit) -> str:
    if len(visit.rest) != 1:
        raise Declined("say which: one id, as dead-letters and where show them")
    return visit.rest[0]


def _no_letter(word: str) -> str:
    return f"{shown(word)} is no dead letter here, or no more"
