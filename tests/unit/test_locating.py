# SPDX-License-Identifier: GPL-3.0-or-later
"""gateway.locating: asking somebody where they are, and what the asker is told."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from gateway.locating import where_is
from gateway.model import Address, Declined, LinkDown, Location, Node, SenderId

RIDGE = Address.parse("radio/!a1b2c301")


class Radio:
    """Knows one node, and where it is, unless something is the matter."""

    def __init__(self, trouble: Exception | None = None) -> None:
        self._trouble = trouble

    async def locate(self, node: SenderId) -> Location:
        if self._trouble is not None:
            raise self._trouble
        assert node == "!a1b2c301"
        return Location(latitude=47.07, longitude=8.33, accuracy_m=2918)

    def nodes(self) -> Sequence[Node]:
        return (Node(id=SenderId("!a1b2c301"), name="Ridge relay"),)


async def test_the_asker_is_told_who_is_where_and_how_exactly() -> None:
    assert await where_is(RIDGE, Radio()) == "Ridge relay: geo 47.07000,8.33000 ±3 km"


@pytest.mark.parametrize(
    ("bridge", "words"),
    [
        (Radio(Declined("no answer within 60 s")), "radio/!a1b2c301: no answer within 60 s"),
        (Radio(LinkDown("the radio is not connected")), "can't be asked now: the radio is not connected"),
        (None, "nobody on radio can be asked where they are"),
        (object(), "nobody on radio can be asked where they are"),
    ],
)
async def test_the_asker_is_told_why_it_is_not_known(bridge: object, words: str) -> None:
    with pytest.raises(Declined, match=words):
        await where_is(RIDGE, bridge)
