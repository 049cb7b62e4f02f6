# SPDX-License-Identifier: GPL-3.0-or-later
"""What a bench prints and keeps: minimum, median and maximum of its runs, beside the goal."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

AT_LEAST = ">="
AT_MOST = "<="


@dataclass(slots=True)
class Figure:
    """One thing measured several times."""

    key: str
    unit: str
    goal: str
    over: str = ""
    """On what it was measured, where that may be one thing or another."""
    runs: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        return statistics.median(self.runs)

    @property
    def is_met(self) -> bool:
        relation, _, limit = self.goal.partition(" ")
        return self.median >= float(limit) if relation == AT_LEAST else self.median <= float(limit)

    def row(self) -> str:
        lowest, median, highest = (f"{value:12.2f}" for value in (min(self.runs), self.median, max(self.runs)))
        verdict = "met" if self.is_met else "MISSED"
        over = f" over {self.over}" if self.over else ""
        figures = f"{self.key:22}{lowest}{median}{highest}  {self.unit:6} {self.goal:10}"
        return f"{figures} {verdict}  ({len(self.runs)} runs){over}"


class Report:
    """Every figure of a bench, in the order they were first measured."""

    def __init__(self, goals: dict[str, tuple[str, str]], over: Mapping[str, str]) -> None:
        """`over`: of some keys, on what they are measured."""
        self._figures = {key: Figure(key, unit, goal, over.get(key, "")) for key, (unit, goal) in goals.items()}

    def add(self, key: str, value: float) -> None:
        """Add one run's value."""
        self._figures[key].runs.append(round(value, 3))

    def table(self) -> str:
        """Return what people read."""
        head = f"{'key':22}{'minimum':>12}{'median':>12}{'maximum':>12}  {'unit':6} goal"
        return "\n".join([head, *(figure.row() for figure in self._figures.values() if figure.runs)])

    def write(self, path: Path) -> None:
        """Keep what programs read."""
        known = json.loads(path.read_text()) if path.exists() else {}
        for figure in self._figures.values():
            if figure.runs:
                known[figure.key] = {
                    "median": figure.median,
                    "unit": figure.unit,
                    "goal": figure.goal,
                    "runs": figure.runs,
                } | ({"over": figure.over} if figure.over else {})
        path.write_text(json.dumps(known, indent=1) + "\n")
