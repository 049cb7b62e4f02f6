# SPDX-License-Identifier: GPL-3.0-or-later
"""deploy/prometheus: the rules can be read, and ask for what the gateway tells."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from gateway.api.metrics import exposition
from gateway.choosing import Schedule
from gateway.journal import OutageKind
from gateway.model import Airtime, BridgeName
from tests.contract.desk import open_desk
from tests.contract.scheduling import SchedulingBridge

FILE = Path(__file__).parents[2] / "deploy/prometheus/crossband-alerts.yaml"
GROUPS = yaml.safe_load(FILE.read_text())["groups"]
RULES = [rule for group in GROUPS for rule in group["rules"]]
FUNCTIONS = {"increase", "delta", "changes"}
WORDS = {"and", "or", "unless"}
PROMETHEUS_ITS_OWN = {"up": {"job", "instance"}}
SELECTOR = re.compile(r"([a-z_][a-z0-9_]*)\s*(\{[^}]*\})?\s*(\[\d+[smhd]\])?(?=\s|$|[()\]=<>!,+*/-])")


def selectors(expr: str) -> Iterator[tuple[str, set[str]]]:
    """Yield each metric an expression asks for, with the labels it chooses by."""
    for name, labels, _ in SELECTOR.findall(expr):
        if name not in FUNCTIONS | WORDS:
            yield name, set(re.findall(r"(\w+)\s*=~?", labels))


def unknown(expr: str, known: dict[str, set[str]]) -> list[str]:
    """Return what an expression asks for and nobody tells."""
    asked = [(name, label) for name, labels in selectors(expr) for label in (None, *sorted(labels))]
    return [f"{name}.{label}" for name, label in asked if name not in known or label not in {None, *known[name]}]


@pytest.fixture
async def known(tmp_path: Path) -> dict[str, set[str]]:
    """Everything a gateway tells, with its labels."""
    async with open_desk(tmp_path) as desk:
        desk.metrics.outage("bridge", "radio")
        await desk.journal.outages.begin(OutageKind.BRIDGE, BridgeName("radio"), 0, "away")
        radio, air = BridgeName("radio"), Airtime(used_ms=1, allowed_ms=2, window_s=3, busy_percent=4.0)
        desk.narrow[radio] = SchedulingBridge()
        desk.schedules[radio] = Schedule(airtime=air, held_for_s=None, held_s=0.0, refused=0)
        text = (await exposition(desk)).decode()
    found = {
        sample.name: set(sample.labels) | {"instance", "job"}
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    return found | PROMETHEUS_ITS_OWN


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_every_metric_and_label_of_a_rule_is_told(rule: dict[str, Any], known: dict[str, set[str]]) -> None:
    said = " ".join(rule["annotations"].values())
    (first, _), *_ = selectors(rule["expr"])

    assert list(selectors(rule["expr"]))
    assert unknown(rule["expr"], known) == []
    assert set(re.findall(r"\$labels\.(\w+)", said)) <= known[first]


def test_a_rule_that_asks_for_something_else_would_be_found(known: dict[str, set[str]]) -> None:
    assert unknown('increase(crossband_outages_total{kind="bridge"}[1h]) > 10', known) == []
    assert unknown("crossband_outages == 0 and crossband_bridge_up == 0", known) == ["crossband_outages.None"]
    assert unknown('crossband_bridge_up{name="radio"} == 0', known) == ["crossband_bridge_up.name"]


def test_rules_are_complete_and_say_what_to_do() -> None:
    names = [rule["alert"] for rule in RULES]

    assert [group["name"] for group in GROUPS] == ["crossband"]
    assert len(names) == len(set(names))
    for rule in RULES:
        assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
        assert rule["labels"]["severity"] in {"critical", "warning", "info"}
        assert set(rule["annotations"]) == {"summary", "description"}
        assert re.fullmatch(r"\d+[smh]", rule.get("for", "1m"))
        assert rule["expr"].count("(") == rule["expr"].count(")")


def test_the_metrics_that_operators_watch_are_each_in_a_rule() -> None:
    asked = {name for rule in RULES for name, _ in selectors(rule["expr"])}

    assert {
        "crossband_bridge_up",
        "crossband_clock_steps_total",
        "crossband_dead_letters",
        "crossband_dropped_total",
        "crossband_journal_up",
        "crossband_queue_oldest_age_seconds",
        "crossband_queue_refused",
    } <= asked
