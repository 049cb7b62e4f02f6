# SPDX-License-Identifier: GPL-3.0-or-later
"""gateway.config.lines: on which line a key stands."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.config.lines import key_lines, line_of

DOCUMENT = '''\
# a comment with [brackets] and "quotes"
top = 1
[gateway]
name = "a # not a comment"
data_dir = 'C:\\'

[bridges.home]   # header
kind = "matrix"
text = """
many [lines]
key = "not one"
"""
after = true
[bridges."quoted.name"]
kind = 'x'

[[routes]]
name = "one"
join = [
  "a/b",   # first
  "c/d",
]
expires = { radio = "6h", "other.one" = "1h" }

[[routes]]
name = "two"
from = ["a/b", "c/d"]
nested = [["x"],
  ["y", "z"]]
[routes.inner]
deep.er = 1
[permissions]
"@*:example.org" = "read"
'''


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("top",), 2),
        (("gateway",), 3),
        (("gateway", "name"), 4),
        (("gateway", "data_dir"), 5),
        (("bridges", "home"), 7),
        (("bridges", "home", "text"), 9),
        (("bridges", "home", "after"), 13),
        (("bridges", "quoted.name", "kind"), 15),
        (("routes", 0, "name"), 18),
        (("routes", 0, "join"), 19),
        (("routes", 0, "join", 0), 20),
        (("routes", 0, "join", 1), 21),
        (("routes", 0, "expires", "other.one"), 23),
        (("routes", 1, "name"), 26),
        (("routes", 1, "from", 1), 27),
        (("routes", 1, "nested", 1, 0), 29),
        (("routes", 1, "inner", "deep", "er"), 31),
        (("permissions", "@*:example.org"), 33),
    ],
)
def test_every_key_has_its_line(path: tuple[str | int, ...], line: int) -> None:
    assert line_of(key_lines(DOCUMENT), path) == line


def test_a_missing_key_has_the_line_of_its_table() -> None:
    lines = key_lines(DOCUMENT)

    assert line_of(lines, ("gateway", "nmae")) == 3
    assert line_of(lines, ("routes", 1, "to")) == 25
    assert line_of(lines, ("queue", "url")) is None


@given(st.text(alphabet=" \t\n[]{}=,.\"'#\\ab1", max_size=80))
@example("a = {]")
@example("a = [}")
@example("a = {b = ]}")
def test_any_text_ends(text: str) -> None:
    """It may be wrong about what isn't TOML, but it never loops or raises."""
    key_lines(text)


_keys = st.text(alphabet="abc_-1", min_size=1, max_size=4)
_scalars = st.sampled_from(['"x"', "1", "true", "'y'", '"""a\nb = 2\n"""', '"a\\"b"', "1.5", "1979-05-27"])
_values = st.recursive(
    _scalars,
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda items: "[\n" + ",\n".join(items) + "\n]")
        | st.dictionaries(_keys, st.sampled_from(['"x"', "1"]), max_size=3).map(
            lambda table: "{" + ", ".join(f"{key} = {value}" for key, value in table.items()) + "}"
        )
    ),
    max_leaves=5,
)


@given(st.dictionaries(_keys, st.dictionaries(_keys, _values, max_size=4), max_size=4))
def test_it_finds_exactly_the_keys_that_tomllib_finds(tables: dict[str, dict[str, str]]) -> None:
    text = "".join(
        f"[{name}]\n" + "".join(f"{key} = {value} # c\n" for key, value in table.items())
        for name, table in tables.items()
    )
    lines = key_lines(text)

    assert set(lines) == set(_paths(tomllib.loads(text)))
    written = text.split("\n")
    for path, line in lines.items():
        if isinstance(path[-1], str):
            assert path[-1] in written[line - 1]


def _paths(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    found = [path] if path else []
    for key, inner in items:
        found += _paths(inner, (*path, key))
    return found
