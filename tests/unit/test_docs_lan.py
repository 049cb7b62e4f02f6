# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/lan.md and docs/access-point.md say what is so: commands, keys, figures, counters, hosts, files."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

import pytest
import typer.main

from bridges.lan import addresses, conduct, config, keeping, limits, links, nicknames, pairing, presence
from bridges.lan.commands import commands
from bridges.lan.page import app, guard, guests, probes, stream
from gateway.model import ConfigError

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs/lan.md").read_text()
IMPURE = {"asyncio", "os", "random", "secrets", "socket", "sqlite3", "ssl", "structlog", "threading", "time"}
ACCESS_POINT = (ROOT / "docs/access-point.md").read_text()
SOURCES = "\n".join(path.read_text() for path in (ROOT / "bridges/lan").rglob("*.py"))
KEYS = dict(re.findall(r"^\| `(\w+)` \| `(.+?)` \|", TEXT, re.MULTILINE))
COUNTERS = re.findall(r"`(\w+)`", "\n".join(re.findall(r"^\| (`\w+_\w+`[^|]*|`exchanges`[^|]*)\|", TEXT, re.MULTILINE)))


def test_the_commands_and_options_are_those_of_the_program():
    group = typer.main.get_command(commands())
    told = set(re.findall(r"crossband lan (\w+)", TEXT))

    assert told == set(group.commands)
    options = {option for command in group.commands.values() for each in command.params for option in each.opts}
    assert {"--minutes", "--at", "--bridge", "--yes"} <= options
    options |= {"--config", "--help"}  # of `crossband` itself
    for option in set(re.findall(r"(?<![\w-])--(?!now)[a-z]+", TEXT)):
        assert option in options


def test_the_table_has_the_keys_there_are_with_their_defaults():
    with pytest.raises(ConfigError) as said:
        config.check({"kind": "lan", "nonsense": 1})
    known = set(re.search(r"Known are: (.+)", str(said.value.mend))[1].split(", "))

    assert known - {"kind", "direct"} == set(KEYS)
    table = tomllib.loads("\n".join(f"{key} = {value}" for key, value in KEYS.items()))
    assert config.LanConfig.read(table) == config.LanConfig.read({})


def test_every_counter_is_one_that_is_counted():
    assert len(COUNTERS) > 20
    for counter in COUNTERS:
        assert f'"{counter}"' in SOURCES, counter
    for counter in conduct.FAULTS:
        assert counter in COUNTERS


@pytest.mark.parametrize(
    ("words", "figure"),
    [
        ("good once, for {} minutes", pairing.GOOD_FOR_S / 60),
        ("at most {} |", config.MOST_PEERS),
        ("silence ({} s)", presence.LIVE_S),
        ("compare their logs every {} s", links.EVERY_S),
        ("every {} s where there are 20", links.SLOWEST_S),
        ("after {} s at most", addresses.LONGEST_S),
        ("| a line | {} bytes |", limits.MOST_LINE_BYTES),
        ("reads {} at once", app.READS.burst),
        ("then {} a second; writes", app.READS.per_s),
        ("writes {}, then 4 a second", app.POSTS.burst),
        ("joins {}, then one in 10 s", app.JOINS.burst),
        ("{} event streams |", app.STREAMS_EACH),
        ("event streams in all {}", app.STREAMS),
        ("| {} KiB, within 15 s |", guard.MAX_BODY_BYTES / 1024),
        ("| names kept | {};", guests.MOST_GUESTS),
        ("{} are told again", stream.MOST_REPLAYED),
        ("kept for {} days", guests.KEPT_S / 86_400),
        ("1 to {} characters", nicknames.MOST_NICK_CHARACTERS),
        ("more than {} at once", conduct.BURST),
        ("and {} a minute of one box", conduct.PER_MINUTE),
        ("({} points", conduct.ENOUGH),
        ("ignored for {} s", conduct.SHUT_OUT_S),
        ("more than {} entries", keeping.MOST_EVENTS),
    ],
)
def test_figures_are_those_of_the_code(words, figure):
    assert words.format(f"{figure:,.0f}") in " ".join(TEXT.split()), words


def test_what_the_troubleshooting_quotes_is_said_somewhere():
    everything = SOURCES + "\n".join(
        path.read_text()
        for path in (*(ROOT / "gateway").rglob("*.py"), *(ROOT / "bridges/lan/page/templates").glob("*.html"))
    )
    section = TEXT.partition("## What it looks like")[2].partition("What `peers` shows")[0]
    quoted = [
        words for row in re.findall(r"^\| ([^|]+) \|", section, re.MULTILINE) for words in re.findall(r"`([^`]+)`", row)
    ]

    assert len(quoted) > 10
    for words in quoted:
        for part in words.split("..."):
            assert part.strip(" :") in everything.replace("\\'", "'"), words


def test_the_hosts_of_probes_are_those_that_are_answered():
    told = re.findall(r"`([\w.-]+\.\w+)`", "\n".join(re.findall(r"^\| (`[^|]+)\|", ACCESS_POINT, re.MULTILINE)))

    assert sorted(told) == sorted(probes.PROBES)


@pytest.mark.parametrize("text", [TEXT, ACCESS_POINT], ids=["lan", "access-point"])
def test_files_of_deploy_are_there(text):
    for file in re.findall(r"`(deploy/[\w./-]+)`", text):
        assert (ROOT / file).exists(), file
    for file in re.findall(r"`((?:crossband-|hilltop|hostapd|dnsmasq)[\w-]*\.(?:conf|nmconnection|timer))`", text):
        assert (ROOT / "deploy/access-point" / file).exists(), file


def test_the_map_of_the_bridge_names_each_of_its_modules_and_those_as_pure_that_say_so() -> None:
    modules = {path.stem: ast.parse(path.read_text()) for path in (ROOT / "bridges/lan").glob("*.py")}
    table = str(ast.get_docstring(modules.pop("__init__"))).split("===\n")[1]
    pure = {name for name, module in modules.items() if "Pure" in str(ast.get_docstring(module))}

    assert set(modules) - set(re.findall(r"\b[a-z_]+\b", table)) == set()
    assert set(re.findall(r"\b([a-z_]+) \(p\)", table)) == pure
    assert {name: found for name in pure if (found := _imported(modules[name]) & IMPURE)} == {}


def _imported(module: ast.Module) -> set[str]:
    named = [node.module or "" for node in ast.walk(module) if isinstance(node, ast.ImportFrom)]
    plain = [alias.name for node in ast.walk(module) if isinstance(node, ast.Import) for alias in node.names]
    return {name.partition(".")[0] for name in (*named, *plain)}
