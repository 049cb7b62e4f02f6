# SPDX-License-Identifier: GPL-3.0-or-later
"""A superscript is a digit to Python and no number to `int`: one that is sent is answered as any other nonsense is."""

from __future__ import annotations

import pytest
from starlette.datastructures import Headers

from bridges.lan.administration import _check_invitation
from bridges.lan.page.guard import _malformed
from bridges.lan.page.reading import _number
from bridges.lan.server import check_listen
from bridges.lan.shared import go_on
from gateway.api.guard import _wrong_body
from gateway.model import ConfigError, Declined
from gateway.model.units import host_port

SUPERSCRIPT = "\N{SUPERSCRIPT TWO}"
ARABIC = "\N{ARABIC-INDIC DIGIT THREE}"
foreign = pytest.mark.parametrize("digit", [SUPERSCRIPT, ARABIC, f"1{SUPERSCRIPT}"])


class NoLog:
    """Must not be asked."""


@foreign
async def test_a_place_in_the_log_is_none_that_is_known(digit: str) -> None:
    assert await go_on(NoLog(), f"{digit}:00") is None  # type: ignore[arg-type]


@foreign
def test_an_invitation_is_declined_in_words(digit: str) -> None:
    with pytest.raises(Declined, match="for how many seconds"):
        _check_invitation("00" * 32, digit)


@foreign
def test_an_address_to_listen_at_is_refused_with_its_key(digit: str) -> None:
    with pytest.raises(ConfigError) as refused:
        check_listen(f"0.0.0.0:{digit}")
    assert refused.value.key == "sync"
    with pytest.raises(ValueError, match="is not an address to listen on"):
        host_port(f"127.0.0.1:{digit}")


@foreign
def test_a_place_among_lines_that_somebody_asks_for_is_as_if_not_asked_for(digit: str) -> None:
    assert _number(digit) is None
    assert _number("12") == 12


@pytest.mark.parametrize("length", ["\xb2", "1\xb9", "\xbd"])
def test_a_length_is_refused_at_the_page_and_at_the_api(length: str) -> None:
    headers = [(b"content-length", length.encode("latin-1"))]
    scope = {"type": "http", "http_version": "1.1", "method": "POST", "path": "/join", "headers": headers}
    assert _malformed(scope) == (400, "malformed")
    found = _wrong_body("POST", Headers(raw=[*headers, (b"content-type", b"application/json")]))
    assert found is not None
    assert found[0] == 400
