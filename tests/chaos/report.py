# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run leaves: `chaos.json`, a table, and the line that says it all."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.chaos.act import Outcome
from tests.chaos.air_account import UNJOURNALLED
from tests.chaos.ledger import Figures


def as_json(
    outcomes: Sequence[Outcome], *, seed: str, minutes: float, skipped: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Return everything a run found, as plain values."""
    total = Figures()
    for outcome in outcomes:
        total.add(outcome.total)
    faults = sum((outcome.act.faults for outcome in outcomes), Counter[str]())
    return {
        "seed": seed,
        "minutes": round(minutes, 2),
        **_figures(total),
        "faults": faults.total(),
        "unjournalled": sum(one.act.figures.get("not_accepted", {}).get(UNJOURNALLED, 0) for one in outcomes),
        "stuck": [words for outcome in outcomes for words in outcome.act.stuck],
        "skipped": dict(skipped or {}),
        "clean": all(outcome.is_clean for outcome in outcomes),
        "faults_by_kind": dict(sorted(faults.items())),
        "legs": [_leg(outcome) for outcome in outcomes],
    }


def _leg(outcome: Outcome) -> dict[str, Any]:
    act = outcome.act
    return {
        "leg": outcome.wish.leg,
        "seed": outcome.wish.seed,
        "seconds": outcome.wish.seconds,
        "clean": outcome.is_clean,
        **_figures(outcome.total),
        "faults": dict(sorted(act.faults.items())),
        "recovered_within_s": dict(sorted(act.recovery_s.items())),
        "gateway_ended_itself": dict(act.ended_itself),
        "gateway_last_exit": act.last_exit,
        **act.figures,
        "directions": {name: _figures(figures) for name, figures in sorted(_directions(outcome).items())},
    }


def _directions(outcome: Outcome) -> dict[str, Figures]:
    found: dict[str, Figures] = {}
    for name, figures in outcome.streams.items():
        origin, _, target = name.partition(">")
        direction = f"{origin.partition('/')[0]} -> {target.partition('/')[0]}"
        found.setdefault(direction, Figures()).add(figures)
    return found


def _figures(figures: Figures) -> dict[str, Any]:
    return {
        "messages": figures.accepted,
        "arrived": figures.arrived,
        "lost": figures.lost,
        "doubled": figures.doubled,
        "out_of_order": figures.out_of_order,
        "strange": figures.strange,
        "allowed_twice": figures.allowed_twice,
        "accounted": dict(figures.excused),
    }


def write(found: dict[str, Any], path: Path) -> None:
    """Write ``chaos.json``."""
    path.write_text(json.dumps(found, indent=2, ensure_ascii=False) + "\n")


def line(found: dict[str, Any]) -> str:
    """Return the last line of a run."""
    return (
        f"chaos: messages {found['messages']}, faults {found['faults']}, lost {found['lost']},"
        f" doubled {found['doubled']}, out of order {found['out_of_order']}"
    )


def table(found: dict[str, Any]) -> str:
    """Return the legs' figures, for people."""
    rows = [f"{'leg':24}{'messages':>9}{'arrived':>9}{'lost':>6}{'doubled':>9}{'order':>7}{'faults':>8}  notes"]
    for leg in found["legs"]:
        notes = [f"{number} {reason}" for reason, number in leg["accounted"].items()]
        notes += [f"{number} {cause}" for cause, number in leg.get("not_accepted", {}).items()]
        notes += [f"{leg['allowed_twice']} twice, as the radio's rule allows"] if leg["allowed_twice"] else []
        if leg["gateway_ended_itself"]:
            notes.append(f"the gateway ended by itself: {leg['gateway_ended_itself']}")
        figures = f"{leg['messages']:9}{leg['arrived']:9}{leg['lost']:6}{leg['doubled']:9}{leg['out_of_order']:7}"
        rows.append(f"{leg['leg']:24}{figures}{sum(leg['faults'].values()):8}  {'; '.join(notes)}")
    return "\n".join((*rows, *found["stuck"]))
