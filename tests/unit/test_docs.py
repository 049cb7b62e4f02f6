# SPDX-License-Identifier: GPL-3.0-or-later
"""Documents name what is there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("**/*.md"))]


@pytest.mark.parametrize("text", TEXTS, ids=lambda path: path.name)
def test_every_test_a_document_names_exists(text):
    for file, name in re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", text.read_text()):
        assert (ROOT / file).is_file(), file
        assert not name or f"def {name}(" in (ROOT / file).read_text(), name


def test_every_promise_names_the_test_that_shows_it():
    lines = (ROOT / "docs" / "delivery.md").read_text().splitlines()
    promises = [
        line for line in lines if line.startswith("|") and "shown by" not in line and not line.startswith("|---")
    ]

    assert len(promises) > 100
    for promise in promises:
        shown_by = promise.rstrip(" |").rpartition(" | ")[2]
        assert re.search(r"`tests/[\w/]+\.py(::test_\w+)?`", shown_by), promise


@pytest.mark.parametrize("text", TEXTS, ids=lambda path: path.name)
def test_every_file_a_document_links_to_exists(text):
    for target in re.findall(r"\]\(([^)#:]+)\)", text.read_text()):
        assert (text.parent / target).exists(), target


def test_every_source_file_says_its_licence():
    sources = [path for folder in ("gateway", "bridges", "tests") for path in (ROOT / folder).glob("**/*.py")]

    assert sources
    for source in sources:
        assert "SPDX-License-Identifier: GPL-3.0-or-later" in source.read_text()[:200], source
