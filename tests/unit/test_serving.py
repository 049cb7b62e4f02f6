# SPDX-License-Identifier: GPL-3.0-or-later
"""Where this box can speak, as it tells the others: not on a link that is down, nor on a radio that holds back."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from gateway.clock import ManualClock
from gateway.link import Link, LinkState
from gateway.model import BridgeName, Capabilities, RoutedConversation
from gateway.serving import Serving
from gateway.speaking import Speaking

HOME, RADIO, LAN = (BridgeName(name) for name in ("home", "radio", "lan"))


class Network:
    def __init__(self, prefix: str, turn_s: float) -> None:
        self.prefix, self.turn_s = prefix, turn_s
        self.capabilities = Capabilities(room_for=lambda *_: 200)

    def common_name(self, conversation: str) -> str | None:
        return None if conversation == "#nowhere" else f"{self.prefix}:{conversation}"

    def native_of(self, remote_id):
        raise NotImplementedError

    def remote_of(self, native_id):
        raise NotImplementedError


class Others:
    def __init__(self):
        self.told = []

    def serve(self, common_names):
        self.told.append(common_names)
        raise StopAsyncIteration

    def turn(self, utterance, **_): ...
    async def emitting(self, utterance, as_native): ...
    async def emitted(self, utterance, as_native): ...
    def echoed(self, as_native): ...

    def vouches(self, as_native): ...
    def called(self, native_id): ...
    def is_speaking(self, where): ...


def part(*, up=True, held_for_s=None):
    link = Link(0)
    link.set(LinkState.UP if up else LinkState.DOWN, "", 0)
    choosing = SimpleNamespace(look=lambda: SimpleNamespace(held_for_s=held_for_s))
    return SimpleNamespace(link=link, sender=SimpleNamespace(choosing=choosing))


class Routes:
    def conversations(self, bridge):
        found = {HOME: ["#town", "#nowhere"], RADIO: ["LongFast", "Hill"], LAN: ["town"]}[bridge]
        return tuple(RoutedConversation(name=name) for name in found)


@pytest.mark.parametrize(
    ("radio", "told"),
    [
        (part(), {"mx:#town", "mt:LongFast", "mt:Hill"}),
        (part(up=False), {"mx:#town"}),
        (part(held_for_s=24.0), {"mx:#town", "mt:LongFast", "mt:Hill"}),
        (part(held_for_s=25.0), {"mx:#town"}),
    ],
    ids=["all is up", "the radio is gone", "it paces", "its airtime is used up"],
)
async def test_what_is_told_is_what_can_be_said_now(radio, told):
    others, clock = Others(), ManualClock()
    bridges = {HOME: Network("mx", 2.0), RADIO: Network("mt", 25.0), LAN: others}
    home = part()
    home.sender.choosing = None
    serving = Serving(Speaking(bridges, clock), {HOME: home, RADIO: radio, LAN: part()}, Routes(), clock)
    assert serving.is_wanted
    with pytest.raises((StopAsyncIteration, RuntimeError)):
        await serving.run()
    assert others.told == [told]


def test_without_other_boxes_there_is_nobody_to_tell():
    assert not Serving(Speaking({HOME: Network("mx", 2.0)}, ManualClock()), {}, Routes(), ManualClock()).is_wanted
