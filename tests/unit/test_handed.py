# SPDX-License-Identifier: GPL-3.0-or-later
"""Sockets that systemd opened are found by their address, and nothing that was handed over is left waiting."""

from __future__ import annotations

import os
import socket

import pytest
import structlog

from gateway.handed import Handed, names_of, take_over

ME = 4711


@pytest.mark.parametrize(
    ("environ", "names"),
    [
        ({}, []),
        ({"LISTEN_PID": "4711", "LISTEN_FDS": "2", "LISTEN_FDNAMES": "page:api"}, ["page", "api"]),
        ({"LISTEN_PID": "4711", "LISTEN_FDS": "1"}, ["unknown"]),
        ({"LISTEN_PID": "4711", "LISTEN_FDS": "3", "LISTEN_FDNAMES": "page"}, ["page", "unknown", "unknown"]),
        ({"LISTEN_PID": "4711", "LISTEN_FDS": "1", "LISTEN_FDNAMES": "page:api"}, ["page"]),
        ({"LISTEN_PID": "4712", "LISTEN_FDS": "1"}, []),
        ({"LISTEN_FDS": "1"}, []),
        ({"LISTEN_PID": "4711", "LISTEN_FDS": "-1"}, []),
        ({"LISTEN_PID": "4711", "LISTEN_FDS": "²"}, []),
    ],
)
def test_what_is_called_how_is_read_from_the_environment_and_only_by_whom_it_was_meant_for(environ, names):
    assert names_of(environ, ME) == names


def test_however_many_are_said_to_be_handed_over_it_stays_bounded():
    assert len(names_of({"LISTEN_PID": "4711", "LISTEN_FDS": "9" * 30}, ME)) == 64


def handed_over(*socks: socket.socket) -> tuple[dict[str, str], int]:
    """Return what systemd would say of these, and where the first is: copies, next to each other."""
    first = 200
    for at, sock in enumerate(socks):
        os.dup2(sock.fileno(), first + at)
    names = ":".join(f"unit{at}" for at in range(len(socks)))
    return {"LISTEN_PID": str(ME), "LISTEN_FDS": str(len(socks)), "LISTEN_FDNAMES": names}, first


def test_a_socket_is_taken_once_at_its_address_and_no_child_hears_of_it():
    with socket.create_server(("127.0.0.1", 0)) as opened:
        host, port = opened.getsockname()
        environ, first = handed_over(opened)
        handed = take_over(environ | {"HOME": "/"}, ME, first=first)
        assert handed.take(host, port + 1) is None
        assert handed.take("127.0.0.2", port) is None
        with handed.take(host, port) as sock:
            assert sock.getsockname() == (host, port)
            assert not sock.get_inheritable()
        assert handed.take(host, port) is None

        environ, first = handed_over()
        take_over(environ, ME)
        assert environ == {}


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this machine has no IPv6")
def test_a_socket_for_both_families_serves_who_configured_one():
    with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as opened:
        handed = Handed({"page": opened})
        assert handed.take("127.0.0.1", opened.getsockname()[1]) is None
        assert handed.take("0.0.0.0", opened.getsockname()[1]) is opened
    with socket.create_server(("::", 0), family=socket.AF_INET6) as v6_only:
        assert Handed({"page": v6_only}).take("0.0.0.0", v6_only.getsockname()[1]) is None


def test_what_nobody_asked_for_is_closed_and_said():
    with socket.create_server(("127.0.0.1", 0)) as opened:
        address = opened.getsockname()
        environ, first = handed_over(opened)
        handed = take_over(environ, ME, first=first)
    with structlog.testing.capture_logs() as logged:
        handed.close()

    assert [(each["event"], each["unit"]) for each in logged] == [("socket_not_wanted", "unit0")]
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address, timeout=5)


def test_what_does_not_listen_is_left_out_and_said():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams, socket.create_server(("127.0.0.1", 0)) as tcp:
        environ, first = handed_over(datagrams, tcp)
        with structlog.testing.capture_logs() as logged:
            handed = take_over(environ, ME, first=first)
        with handed.take(*tcp.getsockname()) as sock:
            assert sock.getsockname() == tcp.getsockname()

    assert [(each["event"], each["unit"]) for each in logged] == [("socket_not_usable", "unit0")]
