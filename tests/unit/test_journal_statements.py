# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.journal.statements import packed, write


@pytest.fixture(scope="module")
def connection():
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as opened:
        opened.execute("CREATE TABLE t (n INTEGER PRIMARY KEY, words TEXT)")
        yield opened


@given(st.lists(st.one_of(st.none(), st.text(st.characters(codec="utf-8")), st.just('["a",\u0000]')), max_size=200))
def test_any_number_of_rows_comes_back_packed_as_it_was_written(connection, words):
    connection.execute("DELETE FROM t")
    rows = [(n, text) for n, text in enumerate(words)]
    write(connection, "INSERT INTO t SELECT * FROM {values} WHERE column1 IS NOT NULL", rows)

    found = packed(connection, ("n", "words"), "FROM t ORDER BY n DESC")

    assert found == [list(row) for row in reversed(rows)]
