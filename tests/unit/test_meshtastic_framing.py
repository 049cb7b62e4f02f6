# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import zlib
from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from meshtastic.protobuf.mesh_pb2 import FromRadio

from bridges.meshtastic.framing import MAX_PAYLOAD_BYTES, START, WAKE, Deframer, frame
from bridges.meshtastic.session import is_plain, parse


def sealed(body: bytes) -> bytes:
    return body + zlib.crc32(body).to_bytes(4, "big")


def unsealed(payload: bytes) -> bytes | None:
    """Stands for a protobuf that nothing else looks like."""
    body, seal = payload[:-4], payload[-4:]
    return body if len(payload) >= 4 and zlib.crc32(body).to_bytes(4, "big") == seal else None


def deframer() -> tuple[Deframer[bytes], Counter[str]]:
    counts: Counter[str] = Counter()
    return Deframer(unsealed, lambda kind: counts.update([kind])), counts


def read(data: bytes, cuts: list[int]) -> list[bytes]:
    """Feed the bytes in pieces, then let the line fall quiet."""
    each, _ = deframer()
    edges = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    found = [body for start, end in pairwise(edges) for body in each.feed(data[start:end])]
    return found + each.settle()


def text_frame(text: bytes, number: int = 1) -> bytes:
    said = FromRadio()
    said.packet.to = 0xFFFFFFFF
    said.packet.id = number
    said.packet.decoded.portnum = 1
    said.packet.decoded.payload = text
    said.packet.rx_time = 1_700_000_000
    said.packet.hop_limit = 3
    setattr(said.packet, "from", 0xA1B2C301)
    return frame(said.SerializeToString())


bodies = st.binary(max_size=120) | st.binary(max_size=20).map(lambda body: START + b"\x00\x07" + body)
splits = st.lists(st.integers(min_value=0), max_size=12)


@given(st.lists(bodies, max_size=8), splits)
def test_frames_come_out_whole_however_the_bytes_are_split(expected: list[bytes], cuts: list[int]):
    assert read(b"".join(frame(sealed(body)) for body in expected), cuts) == expected


@given(st.lists(st.tuples(st.binary(max_size=60), bodies), max_size=6), st.binary(max_size=60), splits)
def test_noise_of_any_kind_loses_no_frame(pieces: list[tuple[bytes, bytes]], tail: bytes, cuts: list[int]):
    data = b"".join(noise + frame(sealed(body)) for noise, body in pieces) + tail
    assert read(data, cuts) == [body for _, body in pieces]


@given(st.lists(st.tuples(bodies, st.none() | st.integers(1, 500), st.integers(0, 3)), max_size=8), splits)
def test_a_cut_frame_never_takes_a_whole_one_along(pieces: list[tuple[bytes, int | None, int]], cuts: list[int]):
    """Cut anywhere, or with bytes missing in the middle."""
    data, expected = b"", []
    for body, lost, kept_tail in pieces:
        whole = frame(sealed(body))
        if lost is None:
            expected.append(body)
            data += whole
        else:
            at = max(len(whole) - lost - kept_tail, 0)
            data += whole[:at] + whole[len(whole) - kept_tail :] if lost < len(whole) else b""
    found = read(data, cuts)
    assert [body for body in found if body in expected] == expected


@given(st.lists(st.tuples(st.text(max_size=60), st.none() | st.integers(1, 100)), max_size=8), splits)
def test_real_texts_survive_cut_neighbours(pieces: list[tuple[str, int | None]], cuts: list[int]):
    counts: Counter[str] = Counter()
    each = Deframer(parse, lambda kind: counts.update([kind]), is_plain=is_plain)
    data, expected = b"", []
    for number, (text, lost) in enumerate(pieces, start=1):
        whole = text_frame(text.encode(), number)
        data += whole if lost is None else whole[: max(len(whole) - lost, 0)]
        if lost is None:
            expected.append((number, text))
    edges = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    found = [said for start, end in pairwise(edges) for said in each.feed(data[start:end])] + each.settle()
    whole_ones = [(said.packet.id, said.packet.decoded.payload.decode(errors="replace")) for said in found]
    assert [one for one in whole_ones if one in expected] == expected


@given(st.binary(max_size=3000), splits)
def test_nothing_breaks_it_and_it_holds_little(data: bytes, cuts: list[int]):
    each, _ = deframer()
    edges = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    for start, end in pairwise(edges):
        each.feed(data[start:end])
        assert len(each._held) <= 2 * (MAX_PAYLOAD_BYTES + 4)


def test_oversized_unparsable_and_noise_are_counted_by_kind():
    each, counts = deframer()
    good = frame(sealed(b"good"))

    found = each.feed(b"debug\r\n" + START + b"\x02\x01" + START + b"\x00\x02no" + WAKE + good)

    assert found == [b"good"]
    assert counts["frame_oversized"] == 1
    assert counts["frame_unparsable"] == 1
    assert counts["noise"] >= 1


def test_a_frame_inside_an_unfinished_one_comes_out_when_the_line_falls_quiet():
    each, counts = deframer()
    cut = frame(sealed(b"x" * 200))[:50]

    assert each.feed(cut + frame(sealed(b"neighbour"))) == []
    assert each.is_inside
    assert each.settle() == [b"neighbour"]
    assert counts["frame_cut"] == 1


def test_a_slow_frame_is_waited_for_through_any_pause():
    each, _ = deframer()
    slow = frame(sealed(b"x" * 200))

    for byte in slow[:-1]:
        assert each.feed(bytes([byte])) == []
        assert each.settle() == []

    assert each.feed(slow[-1:]) == [b"x" * 200]


def test_a_cut_text_that_parses_with_its_neighbours_bytes_gives_them_back():
    """The last field swallows the neighbour, so the outer one is a fine protobuf."""
    said = FromRadio()
    said.packet.decoded.portnum = 1
    said.packet.decoded.payload = b"a" * 40
    outer = frame(said.SerializeToString())
    neighbour = text_frame(b"neighbour")
    assert parse((outer[:-20] + neighbour)[4 : len(outer)]) is not None
    each = Deframer(parse, lambda _: None)

    found = each.feed(outer[:-20] + neighbour) + each.settle()

    assert [one.packet.decoded.payload for one in found] == [b"neighbour"]


@pytest.mark.parametrize("after", [b"", text_frame(b"next")])
def test_a_text_that_spells_out_a_frame_speaks_for_nobody(after: bytes):
    """Whoever sends over the air must not be able to speak as our own radio."""
    forged = frame(FromRadio(rebooted=True).SerializeToString())
    each = Deframer(parse, lambda _: None, is_plain=is_plain)

    found = each.feed(text_frame(b"bait " + forged + b"!") + after) + each.settle()

    assert found[0].packet.decoded.payload == b"bait " + forged + b"!"
    assert not any(one.rebooted for one in found)


@pytest.mark.parametrize("tail", [0, 5, 10, 12, 18, 25])
def test_a_text_that_ends_with_a_forged_frame_cannot_restart_our_radio(tail: int):
    """The forged length reaches to the end of the packet that carries it."""
    forged = FromRadio(rebooted=True).SerializeToString()
    each = Deframer(parse, lambda _: None, is_plain=is_plain)

    found = each.feed(text_frame(b"bait " + START + bytes([0, len(forged) + tail]) + forged)) + each.settle()

    assert len(found) == 1
    assert not found[0].rebooted


def test_a_text_cut_at_any_byte_leaves_every_other_one_whole():
    """Also where what is missing is exactly as long as what follows."""
    first = text_frame(b"a long text, " * 12, 1)
    others = [text_frame(b"short %d" % number, number) for number in (2, 3, 4)]
    for kept in range(len(first)):
        each = Deframer(parse, lambda _: None, is_plain=is_plain)
        found = each.feed(first[:kept] + b"".join(others)) + each.settle()
        assert [said.packet.id for said in found] == [2, 3, 4]


def test_a_packet_in_which_two_bytes_look_like_a_start_is_not_lost_behind_a_cut_frame():
    """Found by fuzzing: the cut frame ends where the next one's id spells ``94 C3``, and parses with its beginning."""
    cut = bytes.fromhex("94c30012621018ffffffff0f220868656c")
    said = FromRadio()
    said.id = int.from_bytes(b"\x14", "big") | 0x43 << 7 | 0x17 << 14  # 94 C3 17 as a varint
    said.packet.decoded.payload = b"good"
    whole = frame(said.SerializeToString())
    assert whole[5:7] == START
    counts: Counter[str] = Counter()
    each = Deframer(parse, lambda kind: counts.update([kind]), is_plain=is_plain)
    assert said in each.feed(cut + whole) + each.settle()


def test_a_frame_is_at_most_512_bytes():
    assert len(frame(bytes(512))) == 516
    with pytest.raises(ValueError, match="512"):
        frame(bytes(513))
