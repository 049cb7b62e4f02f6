# SPDX-License-Identifier: GPL-3.0-or-later
"""Three cores with radios on one mesh, and a log between them: what is on the air, and how each box's story ends.

Core, chorus and rule are the real ones; the mesh, the log and the cuts are as simple as they go.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

from bridges.lan.chorus import Beginning, LanChorus
from gateway.changes import TOO_LATE
from gateway.echoes import Echoes
from gateway.link import LinkState
from gateway.model import (
    Address,
    BridgeName,
    Edit,
    Foreseen,
    Message,
    NativeId,
    RateLimited,
    RemoteId,
    Sender,
    SenderId,
    Support,
    Text,
    message_id,
)
from gateway.routing import Route, RoutingTable
from gateway.speaking import Speaking
from tests.contract.delivery_desk import CHANNEL, ScriptedBridge, running_core

LAN = Address(BridgeName("lan"), "town")
TABLE = RoutingTable(routes=(Route(name="town", sources=(LAN, CHANNEL), targets=(LAN, CHANNEL)),))
MESH = "mt:EU_868/LongFast/LongFast/8f2c0d1e"
TURN_S = 0.4


class Radio(ScriptedBridge):
    turn_s = TURN_S

    def __init__(self, village, box, **capabilities):
        super().__init__(**capabilities)
        self.village, self.box = village, box

    def common_name(self, conversation):
        return MESH

    def native_of(self, remote_id):
        return NativeId(f"mt:{self.box}:{remote_id.removeprefix('radio-')}")

    def remote_of(self, native_id):
        return RemoteId(native_id.rpartition(":")[2])

    def foresee(self, key):
        return Foreseen(remote_id=RemoteId(key), native_id=NativeId(f"mt:{self.box}:{key}"))

    async def send(self, message, to, *, key):
        receipt = await super().send(message, to, key=key)
        self.village.on_air.append((self.box, message.native_id))
        self.village.hear(self.box, key, message.content)
        return receipt


@dataclass
class Box:
    """A `Ledger` for the chorus, with what belongs to it."""

    village: Village
    box: str
    served: frozenset[str] = frozenset()
    seen: set[str] = field(default_factory=set)
    core: object = None
    chorus: LanChorus | None = None

    def named(self, box):
        return box

    def belongs(self, box):
        return True

    def serving(self):
        return {other.box: other.served for other in self.village.reach(self.box) if other is not self}

    def serve(self, common_names):
        self.served = common_names

    is_behind = False

    def beginning(self, native_id):
        return self.village.begun.get(native_id)

    async def write(self, native, body):
        self.village.entries.append((self.box, native, body))
        self.village.spread()


class Village:
    def __init__(self):
        self.boxes = {}
        self.entries = []
        self.begun = {}
        self.on_air = []
        self.hearing = []
        self.deaf = set()
        self.apart = set()

    def reach(self, box):
        return [other for name, other in self.boxes.items() if (name in self.apart) == (box in self.apart)]

    def spread(self):
        """Let every box have what those that it reaches know."""
        for box in self.boxes.values():
            known = set().union(*(other.seen for other in self.reach(box.box)))
            for nth, (author, _, body) in enumerate(self.entries):
                if nth not in box.seen and (nth in known or author in {one.box for one in self.reach(box.box)}):
                    box.seen.add(nth)
                    box.chorus.learn(author, body)

    def hear(self, speaker, key, content):
        """Let the others hear it, by and by: the air is slower than the LAN, and nobody's send waits for that."""
        for name, box in self.boxes.items():
            if name != speaker and name not in self.deaf:
                heard = said(f"mt:{speaker}:{key}", CHANNEL, content, sender=f"!{speaker}")
                self.hearing.append(asyncio.create_task(box.core.intake.accept(heard)))

    async def log(self, native, *, at, said_in=None, to="abc", content=None, later_ms=0):
        """Write a message into the log at one box; return its deliveries to the radio, by box."""
        self.begun[NativeId(native)] = Beginning(box=at, said_in=said_in)
        found = {}
        for name in to:
            message = said(native, LAN, content or Text(body=f"text {native}"), later_ms=later_ms)
            await self.boxes[name].core.intake.accept(message)
            record = await self.boxes[name].core.journal.message(message.id)
            found[name] = next(one.id for one in record.deliveries if one.to == CHANNEL)
        return found

    async def ends(self, idents):
        states = {}
        for name, ident in idents.items():
            states[name] = await self.boxes[name].core.until(ident, "sent", "cancelled", timeout_s=20)
        return states


def said(native, origin, content, *, sender="@ali:example.org", later_ms=0):
    return Message(
        native_id=NativeId(native),
        origin=origin,
        sender=Sender(id=SenderId(sender), name="Ali"),
        content=content,
        received_ms=1_800_000_000_000 + later_ms,
        remote_id=RemoteId(native if origin == LAN else native.rpartition(":")[2]),
    )


@asynccontextmanager
async def village(folder, names="abc", **capabilities):
    here = Village()
    async with AsyncExitStack() as stack:
        for name in names:
            box = here.boxes[name] = Box(here, name)
            (folder / name).mkdir()
            radio = Radio(here, name, **capabilities)
            box.core = core = await stack.enter_async_context(running_core(folder / name, radio, table=TABLE))
            core.planner.capabilities[LAN.bridge] = radio.capabilities
            box.chorus = LanChorus(box, core.clock)
            speaking = Speaking({CHANNEL.bridge: radio, LAN.bridge: box.chorus}, core.clock)
            core.sender.speaking = speaking
            core.intake.recognise = Echoes(speaking, core.journal, core.clock).recognise
            core.intake.arrived, core.intake.is_said = speaking.arrived, speaking.is_said
            speaking.serve([CHANNEL])
        yield here
        await asyncio.gather(*here.hearing)


async def test_what_is_said_in_a_room_goes_on_the_air_once_and_ends_at_the_others_as_already_there(tmp_path):
    async with village(tmp_path) as here:
        for n in range(4):
            idents = await here.log(f"mx:${n}", at="a", said_in="mx:!town:example.org")
            assert sorted((await here.ends(idents)).values()) == ["cancelled", "cancelled", "sent"]
        assert sorted(native for _, native in here.on_air) == [f"mx:${n}" for n in range(4)]


async def test_what_came_from_the_air_goes_on_no_air_again(tmp_path):
    async with village(tmp_path) as here:
        idents = await here.log("mt:a1b2c301:7", at="a", said_in=MESH, to="bc")
        assert set((await here.ends(idents)).values()) == {"cancelled"}
        assert here.on_air == []
        counterpart = await here.boxes["b"].core.journal.counterpart(LAN, RemoteId("mt:a1b2c301:7"), CHANNEL)
        assert counterpart == "7"


async def test_a_line_from_a_page_is_said_by_its_own_box(tmp_path):
    async with village(tmp_path) as here:
        for at in "abc":
            await here.ends(await here.log(f"web:{at}/1", at=at))
        assert sorted(here.on_air) == [(at, f"web:{at}/1") for at in "abc"]


async def test_boxes_that_do_not_hear_each_others_radios_leave_it_to_one_all_the_same(tmp_path):
    async with village(tmp_path) as here:
        here.deaf = set("abc")
        idents = await here.log("web:a/1", at="a")
        assert await here.ends(idents) == {"a": "sent", "b": "cancelled", "c": "cancelled"}
        history = await here.boxes["b"].core.history(idents["b"])
        assert history[-1] == ("cancelled", "already there: box a said it")


async def test_a_box_whose_radio_is_full_is_replaced_and_says_nothing_later(tmp_path):
    async with village(tmp_path) as here:
        full = RateLimited("the transmit queue is full", retry_after_s=3 * TURN_S)
        here.boxes["a"].core.bridge.answers = [full]
        ends = await here.ends(await here.log("web:a/1", at="a"))
        assert sorted(ends.values()) == ["cancelled", "cancelled", "sent"]
        assert ends["a"] == "cancelled"
        assert len(here.on_air) == 1


async def test_a_box_that_lost_its_radio_is_waited_for_one_turn_and_not_at_all_once_it_said_so(tmp_path):
    async with village(tmp_path) as here:
        lost = here.boxes["a"].core
        lost.link.set(LinkState.DOWN, "unplugged", 0)
        begun = lost.clock.monotonic()
        idents = await here.log("web:a/1", at="a", to="abc")
        ends = await here.ends({name: idents[name] for name in "bc"})
        assert sorted(ends.values()) == ["cancelled", "sent"]
        assert lost.clock.monotonic() - begun >= TURN_S
        lost.link.set(LinkState.UP, "", 0)
        await lost.sender.due_now()
        assert await lost.until(idents["a"], "cancelled") == "cancelled"
        here.boxes["a"].served = frozenset()
        idents = await here.log("web:a/2", at="a", to="bc")
        assert sorted((await here.ends(idents)).values()) == ["cancelled", "sent"]
        assert len(here.on_air) == 2


async def test_a_reply_on_the_air_finds_what_another_box_said_there(tmp_path):
    async with village(tmp_path) as here:
        await here.ends(await here.log("web:a/1", at="a"))
        await asyncio.gather(*here.hearing)
        (key,) = here.boxes["a"].core.bridge.keys
        for name in "bc":
            found = await here.boxes[name].core.journal.find(CHANNEL, RemoteId(key))
            assert found.message_id == message_id(NativeId("web:a/1"))


async def test_what_a_box_heard_on_the_air_while_it_was_cut_off_is_shown_once_when_they_meet(tmp_path):
    async with village(tmp_path) as here:
        here.apart = {"c"}
        await here.ends(await here.log("web:a/1", at="a", to="ab"))
        await asyncio.gather(*here.hearing)
        (key,) = here.boxes["a"].core.bridge.keys
        core = here.boxes["c"].core
        assert (await core.journal.find(CHANNEL, RemoteId(key))).message_id == message_id(NativeId(f"mt:a:{key}"))
        here.apart = set()
        here.spread()
        late = said("web:a/1", LAN, Text(body="text web:a/1"))
        await core.intake.accept(late)
        assert await core.journal.message(late.id) is None
        assert (await core.journal.find(LAN, RemoteId("web:a/1"))).message_id == message_id(NativeId(f"mt:a:{key}"))
        await asyncio.sleep(2 * TURN_S)
        assert len(here.on_air) == 1


async def test_a_correction_after_the_box_that_said_it_died_reaches_what_that_one_said(tmp_path):
    async with village(tmp_path, edits=Support.NATIVE) as here:
        states = await here.ends(await here.log("web:z:1", at="z"))
        (speaker,) = (name for name, state in states.items() if state == "sent")
        ((key, _),) = here.boxes[speaker].core.bridge.sent
        here.apart.add(speaker)
        others = states.keys() - {speaker}
        idents = await here.log("web:z:2", at="z", to=others, content=Edit(target=RemoteId("web:z:1"), body="better"))
        ends = await here.ends(idents)
        assert sorted(ends.values()) == ["cancelled", "sent"]
        (heir,) = (name for name in others if ends[name] == "sent")
        (correction,) = here.boxes[heir].core.bridge.messages
        assert correction.content == Edit(target=RemoteId(key), body="better")


async def test_a_correction_of_what_another_box_said_is_not_put_into_the_words_that_wait_here(tmp_path):
    async with village(tmp_path, "ab", edits=Support.NATIVE) as here:
        a, b = here.boxes["a"].core, here.boxes["b"].core
        b.link.set(LinkState.DOWN, "unplugged", 0)
        here.deaf.add("b")
        here.boxes["b"].served = frozenset()
        first = await here.log("web:z:1", at="z", to="ab")
        assert await a.until(first["a"], "sent") == "sent"
        here.apart.add("a")
        edit = await here.log("web:z:2", at="z", to="b", content=Edit(target=RemoteId("web:z:1"), body="better"))
        b.link.set(LinkState.UP, "", 0)
        await b.sender.due_now()
        assert await here.ends({"b": edit["b"]}) == {"b": "sent"}
        assert await b.state(first["b"]) == "cancelled"
        assert [message.content for message in b.bridge.messages] == [
            Edit(target=RemoteId(a.bridge.keys[0]), body="better")
        ]


async def test_a_correction_that_comes_too_late_for_what_another_box_said_is_said_by_none(tmp_path):
    async with village(tmp_path, "ab", edits=Support.TEXT) as here:
        await here.ends(await here.log("web:z:1", at="z", to="ab"))
        edit = Edit(target=RemoteId("web:z:1"), body="better")
        idents = await here.log("web:z:2", at="z", to="ab", content=edit, later_ms=3_600_000)
        for name, ident in idents.items():
            core = here.boxes[name].core
            assert await core.until(ident, "sent", "cancelled") == "cancelled"
            assert (await core.history(ident))[-1] == ("cancelled", TOO_LATE)
        assert [native for _, native in here.on_air] == ["web:z:1"]
