# SPDX-License-Identifier: GPL-3.0-or-later
"""One box's part in the LAN mesh, as the core sees it: it receives what others log, and logs what the core sends."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncGenerator, Mapping, Sequence
from types import TracebackType
from typing import Self

from bridges.lan.alone import Alone
from bridges.lan.chat import ChatHall
from bridges.lan.chats import Chats
from bridges.lan.config import LanConfig
from bridges.lan.diary import ROOMS_FILE, Diary, readable
from bridges.lan.entries import CUT, PAGE, Said, Standing
from bridges.lan.introductions import Introductions
from bridges.lan.inward import to_message
from bridges.lan.places import CAPABILITIES
from bridges.lan.shared import SharedLog, go_on
from bridges.lan.store import Arrived
from bridges.lan.times import since_when, when_had
from bridges.lan.transcript import entry_in
from gateway.model import (
    Address,
    Asking,
    BridgeContext,
    BridgeName,
    Capabilities,
    Leg,
    LinkDown,
    Message,
    NativeId,
    Node,
    NotThere,
    Progress,
    Receipt,
    RemoteId,
    Report,
    RoutedConversation,
    SenderId,
    Showing,
    State,
)

AT_ONCE = 64
MOST_ASKING = 10
"""Who asked for the radio, as far as the status tells."""
WAITING_AFTER_S = 10.0
REPLAY_S = 86_400
"""Where it isn't known how far the core had read: what is older was routed, or is nothing to route any more."""


class LanBridge:
    """The bridge. Its `hall` is there for the page as long as the bridge itself is."""

    def __init__(self, context: BridgeContext, *, shared: SharedLog | None = None) -> None:
        """`shared`: None is a box that knows no other."""
        self._context = context
        self.config = LanConfig.read(context.table)
        box = context.box or context.name
        self._diary = Diary(
            shared or Alone(context.state_dir, box, context.clock),
            context.state_dir / ROOMS_FILE,
            context.clock,
            retention_s=self.config.retention_s,
            count=context.count,
            learn=self.learn,
        )
        self.hall = ChatHall(context, self._diary, box=box, pace=self.config.pace)
        """What the page asks."""
        self._introductions = Introductions(context, self._tell, Chats(context, self._diary, self.hall.chats))
        self._diary.on_retained = self._introductions.chats.end_silent
        self._resume = context.resume

    @property
    def name(self) -> BridgeName:
        """Its name in the configuration."""
        return self._context.name

    @property
    def capabilities(self) -> Capabilities:
        """What an entry of the log can hold."""
        return CAPABILITIES

    @property
    def showing(self) -> Showing | None:
        """People at a page see what becomes of their lines."""
        return Showing(waiting_after_s=WAITING_AFTER_S, stopped=True)

    @property
    def is_open(self) -> bool:
        """Whether its log is open: then the hall takes what is said."""
        return self._diary.rooms is not None

    async def __aenter__(self) -> Self:
        await self.hall.admission.open()
        try:
            await self._diary.__aenter__()
        except BaseException as error:
            await self.hall.admission.close()
            if isinstance(error, sqlite3.Error | OSError | ValueError):
                raise LinkDown(f"the log can't be opened: {error}") from error
            raise
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self._diary.__aexit__(exc_type, exc, tb)
        await self.hall.admission.close()

    async def receive(self) -> AsyncGenerator[Message | Report]:
        """Yield what was said at this box's page and at other boxes, in the order it came."""
        shared = self._diary.shared
        with readable():
            found = await go_on(shared, self._resume)
            replayed_since = self._context.clock.monotonic() - REPLAY_S
            after = found or 0
            while True:
                batch = await shared.news(after, AT_ONCE)
                self.learn(batch)
                for arrived in batch:
                    after = arrived.arrival
                    age_s = self._context.clock.monotonic() - replayed_since
                    message = self._message(arrived, None if found is not None else age_s)
                    if message is not None and await self._introductions.is_carried(message):
                        yield message
                        self._resume = message.resume
                if not batch:
                    await shared.wait(after)

    def learn(self, batch: Sequence[Arrived]) -> None:
        """Be told of all that comes, before any of it is received; of some of it more than once."""

    async def send(self, message: Message, to: Address, *, key: str) -> Receipt:
        """Log it under its native id: whichever box does so first, it is there once."""
        del key
        if not self.hall.has_place(to.conversation):
            raise NotThere(f"no route names the room {to.conversation}")
        await self._diary.write(message, to.conversation)
        return Receipt(remote_id=RemoteId(message.native_id))

    def reroute(self, conversations: tuple[RoutedConversation, ...]) -> None:
        """Have these rooms from now on."""
        for name in self.hall.reroute(conversations):
            self._context.appeared(name)

    async def reflect(self, news: Sequence[Progress]) -> None:
        """Show people at a page what becomes of what they said: here, or by the log at their box."""
        for progress in news:
            native = NativeId(progress.remote_id)
            if progress.kind in ("text", "location") and native.startswith(PAGE):
                for leg in progress.legs:
                    await self._tell(_standing(native, leg))
                if self._is_at_our_page(native):  # what another box doesn't say is no news here
                    for leg in progress.stopped:
                        self._diary.stand(_standing(native, leg))

    def nodes(self) -> Sequence[Node]:
        """Return the boxes, and who is at this one's page."""
        return (*self.hall.nodes(), *self._boxes())

    def asking(self) -> Sequence[Asking]:
        """Return who asks to be heard on radio and has no answer yet: see `gateway.model.Moderates`."""
        return self.hall.admission.asking()

    def describe(self) -> Mapping[str, str]:
        """Return facts for the status."""
        boxes = [box.name if box.last_heard_ms is not None else f"{box.name} (not heard)" for box in self._boxes()]
        facts = {"page": self.config.page or "none", "other boxes": ", ".join(boxes) or "none"}
        facts["kept for"] = f"{self.config.retention_s // 86_400} d"
        if asking := self.asking():
            facts["asking for the radio"] = ", ".join(one.sender for one in asking[:MOST_ASKING])
        return facts | ({"warnings": self._diary.trouble} if self._diary.trouble else {})

    def _message(self, arrived: Arrived, oldest_s: float | None) -> Message | None:
        said = entry_in(arrived)
        if not isinstance(said, Said):
            return None
        is_ours = arrived.event.box == self._diary.shared.box
        if is_ours and not self._is_at_our_page(arrived.event.native):
            return None  # the core itself put it in
        now_ms = self._context.clock.now_ms()
        if oldest_s is not None and now_ms - since_when(said, arrived, now_ms) > oldest_s * 1000:
            self._context.count("lan_entry_not_replayed")
            return None
        return to_message(said, arrived, self.name, received_ms=when_had(said, arrived, now_ms), is_ours=is_ours)

    async def _tell(self, standing: Standing) -> None:
        if self._is_at_our_page(standing.about):
            self._diary.stand(standing)
        elif standing.reason or not State(standing.state).is_pending:  # that it is on its way is no news for a box
            await self._diary.tell(standing)

    def _is_at_our_page(self, native: str) -> bool:
        return native.startswith(f"{PAGE}{self._diary.shared.box}:")

    def _boxes(self) -> Sequence[Node]:
        if self._diary.rooms is None:
            return ()
        shared = self._diary.shared
        heard = shared.present()
        others = (member for member in shared.roll.members if member.box != shared.box)
        return [
            Node(id=SenderId(one.box), name=one.name, role="box", last_heard_ms=heard.get(one.box)) for one in others
        ]


def _standing(native: NativeId, leg: Leg) -> Standing:
    # Why a line is cut is for who runs this box: it names devices and hosts. The log has it told at every box's page.
    return Standing(about=native, leg=str(leg.to), state=leg.state.value, reason=CUT if leg.cut else leg.reason)
