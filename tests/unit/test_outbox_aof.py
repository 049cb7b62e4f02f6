# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever happens to an append-only file's tail, what is before it is found, and not one command more."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from gateway.outbox.aof import last_increment, sound_length

words = st.binary(max_size=30)
plain = st.lists(words.filter(lambda word: word.upper() not in {b"MULTI", b"EXEC"}), min_size=1, max_size=5)


def command(*given: bytes) -> bytes:
    return b"*%d\r\n" % len(given) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in given)


def transaction(commands: list[list[bytes]]) -> bytes:
    return command(b"MULTI") + b"".join(command(*words) for words in commands) + command(b"EXEC")


steps = st.lists(
    st.one_of(
        plain.map(lambda words: command(*words)),
        st.lists(plain, min_size=1, max_size=4).map(transaction),
        st.just(b"#TS:1700000000\r\n"),
    ),
    max_size=8,
)


def ends(of: list[bytes]) -> list[int]:
    return [0, *itertools.accumulate(map(len, of))]


@given(steps)
def test_a_whole_file_is_sound(file: list[bytes]) -> None:
    data = b"".join(file)
    assert sound_length(data) == len(data)


@given(steps, st.data())
def test_a_cut_file_is_sound_up_to_its_last_whole_step(file: list[bytes], data: st.DataObject) -> None:
    whole = b"".join(file)
    cut = data.draw(st.integers(0, len(whole)))
    assert sound_length(whole[:cut]) == max(end for end in ends(file) if end <= cut)


@given(steps, st.integers(1, 5000))
def test_zeros_at_the_tail_are_cut_off(file: list[bytes], zeros: int) -> None:
    whole = b"".join(file)
    assert sound_length(whole + bytes(zeros)) == len(whole)


@given(steps, st.data(), st.integers(1, 500))
def test_zeros_in_place_of_the_tail_are_cut_off(file: list[bytes], data: st.DataObject, zeros: int) -> None:
    whole = b"".join(file)
    cut = data.draw(st.integers(0, len(whole)))
    sound = sound_length(whole[:cut] + bytes(zeros))
    assert sound in ends(file)
    assert sound <= len(whole)


@given(steps, st.binary(min_size=1, max_size=200).filter(lambda junk: junk[:1] not in b"*#"))
def test_garbage_at_the_tail_is_cut_off(file: list[bytes], junk: bytes) -> None:
    whole = b"".join(file)
    assert sound_length(whole + junk) == len(whole)


@given(st.binary(max_size=300))
def test_any_bytes_at_all_give_a_length_within_them(junk: bytes) -> None:
    assert 0 <= sound_length(junk) <= len(junk)


def test_a_transaction_that_was_not_finished_is_cut_off_whole() -> None:
    sound = command(b"SET", b"a", b"1")
    assert sound_length(sound + command(b"MULTI") + command(b"SET", b"a", b"2")) == len(sound)


def test_absurd_numbers_are_no_command() -> None:
    for junk in (b"*99999999999\r\n", b"*1\r\n$99999999999\r\n", b"*-1\r\n", b"*1\r\n$-1\r\n", b"*0\r\n"):
        assert sound_length(junk) == 0


def test_the_manifest_names_the_last_increment() -> None:
    manifest = (
        "file appendonly.aof.1.base.rdb seq 1 type b\n"
        "file appendonly.aof.1.incr.aof seq 1 type h\n"
        "file appendonly.aof.2.incr.aof seq 2 type i startoffset 0\n"
        "file appendonly.aof.3.incr.aof seq 3 type i\n"
    )
    assert last_increment(manifest) == "appendonly.aof.3.incr.aof"
    assert last_increment("file appendonly.aof.1.base.rdb seq 1 type b\n") is None
    assert last_increment("\x00 rubbish\n") is None
