# SPDX-License-Identifier: GPL-3.0-or-later
"""A storm over everything: `make chaos`, or `python -m tests.chaos.run`.

Prints its seed first, what it counts as it goes, and last one line: messages, faults, lost, doubled, out of
order; writes the same and more to chaos.json. Ends with 1 if a promise was broken or something did not
recover; what shows why is then kept.
"""

from __future__ import annotations

import argparse
import asyncio
import secrets
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from tests.chaos import disk, fast, real, report
from tests.chaos.act import RATE, Outcome, Wish, broken_off

BREAKS = ("lose", "double", "swap", "forget")
LEGS: dict[str, Callable[[Wish], Awaitable[Outcome]]] = {
    "fast": fast.play,
    "fast-small-disk": fast.play,
    "real": real.play,
}
WHY_NOT = {"fast": lambda: "", "fast-small-disk": disk.why_not, "real": real.why_not}
SHORTEST_S, LONGEST_S = 10.0, 240.0
"""Of an act: a new one begins with nothing, which bounds memory and disk."""
AROUND_S = 45.0
"""What an act takes besides its storm, on a busy machine: starting, draining, counting."""


def acts(legs: list[str], minutes: float, seed: str, folder: Path, breaks: str) -> Iterator[Wish]:
    """Yield what to play so that it fills the minutes: the legs in turn."""
    whole_s = max(minutes * 60, SHORTEST_S)
    rounds = max(1, round(whole_s / (len(legs) * (LONGEST_S + AROUND_S))))
    each_s = min(LONGEST_S, max(SHORTEST_S, whole_s / (rounds * len(legs)) - AROUND_S))
    for number in range(rounds):
        for leg in legs:
            yield Wish(
                leg=leg,
                seed=f"{seed}.{number}",
                seconds=round(each_s, 1),
                folder=folder / f"{leg}-{number}",
                disk=leg == "fast-small-disk",
                breaks=breaks,
                tell=lambda words: print(words, file=sys.stderr, flush=True),
            )


def unplayable(legs: Iterable[str]) -> dict[str, str]:
    """Return the legs that can't be played here, with the reason."""
    return {leg: why for leg in legs if (why := WHY_NOT[leg]())}


async def play(wishes: Iterable[Wish]) -> list[Outcome]:
    """Play them one after the other; what a clean one leaves behind is removed at once."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)  # what was started is then ended
    outcomes = []
    for wish in wishes:
        wish.folder.mkdir(parents=True)
        outcome = await _played(wish)
        outcomes.append(outcome)
        wish.tell(f"{wish.leg} {'clean' if outcome.is_clean else 'NOT CLEAN'} (seed {wish.seed})")
        if outcome.is_clean:
            shutil.rmtree(wish.folder)
    return outcomes


async def _played(wish: Wish) -> Outcome:
    """Play one. An error of the storm's own, on a machine too busy for it, takes no other act's count with it."""
    try:
        return await LEGS[wish.leg](wish)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is printed, and the run isn't clean
        traceback.print_exc()
        return broken_off(wish, error)


def main() -> int:
    """Parse, play, count."""
    options = _options()
    seed = options.seed or secrets.token_hex(4)
    print(f"chaos: seed {seed}", flush=True)
    folder = Path.cwd() / ".build" / f"chaos-{seed}"
    disk.unmount_below(folder)
    shutil.rmtree(folder, ignore_errors=True)
    began = time.monotonic()
    skipped = unplayable(options.legs)
    for leg, why in skipped.items():
        print(f"skipped {leg}: {why}", flush=True)
    legs = [leg for leg in options.legs if leg not in skipped]
    wishes = tuple(acts(legs, options.minutes, seed, folder, options.breaks))
    only = options.only or [wish.folder.name for wish in wishes]
    changed = [replace(wish, rate=options.rate, without=tuple(options.without)) for wish in wishes]
    outcomes = asyncio.run(play(wish for wish in changed if wish.folder.name in only))
    found = report.as_json(outcomes, seed=seed, minutes=(time.monotonic() - began) / 60, skipped=skipped)
    report.write(found, options.out)
    print(report.table(found))
    if not found["clean"]:
        print(f"evidence is kept in {folder.relative_to(Path.cwd())}; each storm that was not clean, again:")
        print("\n".join(_again(outcome, seed, options) for outcome in outcomes if not outcome.is_clean))
    elif folder.exists():
        shutil.rmtree(folder)
    print(report.line(found), flush=True)
    return 0 if found["clean"] else 1


def _again(outcome: Outcome, seed: str, options: argparse.Namespace) -> str:
    """Return the command that plays one act again."""
    more = [f"--only {outcome.wish.folder.name}"]
    more += [f"--legs {' '.join(options.legs)}"] if options.legs != list(LEGS) else []
    more += [f"--without {' '.join(options.without)}"] if options.without else []
    more += [f"--breaks {options.breaks}"] if options.breaks else []
    return f"  make chaos CHAOS_SEED={seed} CHAOS_MINUTES={options.minutes:g} ARGS='{' '.join(more)}'"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=20.0, help="about how long, in all")
    parser.add_argument("--seed", default="", help="the same seed is the same storm")
    parser.add_argument("--legs", nargs="+", choices=LEGS, default=list(LEGS))
    parser.add_argument("--only", nargs="+", default=[], metavar="ACT", help="of the acts, only these: fast-0, real-1")
    parser.add_argument("--breaks", choices=BREAKS, default="", help="break a promise on purpose: the run must fail")
    parser.add_argument("--without", nargs="+", default=[], metavar="FAULT", help="kinds of faults to leave out")
    parser.add_argument("--rate", type=float, default=RATE, help="messages a second in the fast legs, at most")
    parser.add_argument("--out", type=Path, default=Path("chaos.json"))
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
