# SPDX-License-Identifier: GPL-3.0-or-later
"""What can't be opened as a serial port, in words."""

from __future__ import annotations

import pytest

from bridges.meshtastic.port import open_serial
from gateway.model import LinkDown


@pytest.mark.parametrize(
    ("path", "words"), [("/dev/null", "/dev/null: is not a serial port"), ("/dev/nosuch", "/dev/nosuch: is not there")]
)
async def test_what_is_no_serial_port_is_said_in_words(path: str, words: str):
    with pytest.raises(LinkDown) as raised:
        open_serial(path)

    assert str(raised.value) == words
