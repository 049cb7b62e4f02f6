# SPDX-License-Identifier: GPL-3.0-or-later
"""gateway.control: asking over the private socket, whatever answers there."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gateway.control import Control, NotRunning, Refused, segment


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "control.sock"


@pytest.fixture
def answer(path: Path) -> Iterator[Callable[[bytes], list[bytes]]]:
    """`answer(b"HTTP/1.1 ...")` once, to the next who asks; returns what was asked, when it was."""
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(path))
    server.listen()
    threads: list[threading.Thread] = []

    def answer(raw: bytes) -> list[bytes]:
        asked: list[bytes] = []

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                asked.append(_whole_request(connection))
                connection.sendall(raw)

        threads.append(threading.Thread(target=serve))
        threads[-1].start()
        return asked

    yield answer
    for thread in threads:
        thread.join(5)
    server.close()


def _whole_request(connection: socket.socket) -> bytes:
    asked = connection.recv(65536)
    length = re.search(rb"Content-Length: (\d+)", asked)
    while length is not None and len(asked.partition(b"\r\n\r\n")[2]) < int(length[1]):
        asked += connection.recv(65536)
    return asked


def _http(status: str, body: str) -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()


def test_what_is_asked_and_what_is_answered(path: Path, answer: Callable[[bytes], list[bytes]]) -> None:
    asked = answer(_http("200 OK", '{"a": 1}'))

    assert Control(path).get("/messages", after=3, address=None) == {"a": 1}
    assert asked[0].startswith(b"GET /api/v1/messages?after=3 HTTP/1.1\r\n")


def test_a_refusal_carries_its_reason(path: Path, answer: Callable[[bytes], list[bytes]]) -> None:
    answer(_http("503 Service Unavailable", '{"detail": "disk full"}'))

    with pytest.raises(Refused, match="disk full") as caught:
        Control(path).post("/messages", {})

    assert caught.value.status == 503


@pytest.mark.parametrize("raw", [_http("500 Oops", "<html>"), _http("500 Oops", "[]"), _http("500 Oops", "null")])
def test_a_refusal_without_a_reason_says_its_status(
    path: Path, answer: Callable[[bytes], list[bytes]], raw: bytes
) -> None:
    answer(raw)

    with pytest.raises(Refused, match="answered 500"):
        Control(path).get("/x")


@pytest.mark.parametrize("raw", [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{}"])
def test_an_answer_that_is_none_means_it_does_not_run(
    path: Path, answer: Callable[[bytes], list[bytes]], raw: bytes
) -> None:
    answer(raw)

    with pytest.raises(NotRunning, match="does not answer"):
        Control(path).get("/x")


def test_no_socket_and_a_socket_left_behind_mean_it_does_not_run(path: Path) -> None:
    with pytest.raises(NotRunning, match="no gateway is running"):
        Control(path).get("/x")
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(str(path))
    with pytest.raises(NotRunning, match="no gateway is running"):
        Control(path).get("/x")


@pytest.mark.parametrize("way", ["after", "before"])
def test_pages_are_followed_to_the_end(path: Path, answer: Callable[[bytes], list[bytes]], way: str) -> None:
    control = Control(path)
    first = answer(_http("200 OK", f'{{"rows": [1, 2], "next_{way}": 2}}'))
    pages = control.pages("/rows", "rows", name="x")
    assert [next(pages), next(pages)] == [1, 2]
    second = answer(_http("200 OK", f'{{"rows": [3], "next_{way}": null}}'))

    assert list(pages) == [3]
    assert b"GET /api/v1/rows?limit=500&name=x " in first[0]
    assert f"&{way}=2&".encode() in second[0]


def test_an_id_stays_one_segment() -> None:
    assert segment("a/../b?c d") == "a%2F..%2Fb%3Fc%20d"
