# SPDX-License-Identifier: GPL-3.0-or-later
"""Shows in rooms what became of their messages: read receipts, reactions, notices; all ours, and none carried on."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import structlog

from bridges.matrix import beeper
from bridges.matrix.board import Board
from bridges.matrix.client import Client, Refused
from bridges.matrix.content import answering, marked, notice
from bridges.matrix.pace import MAX_ROOMS, Pace
from bridges.matrix.plain import valid_id
from bridges.matrix.progress import Mark, Note, Standing, plan
from bridges.matrix.rooms import Rooms
from bridges.matrix.shown import Shown
from bridges.matrix.threads import Threads
from gateway.model import AuthFailed, BridgeContext, LinkDown, Progress, RateLimited, RemoteId, short_hash

log = structlog.get_logger()


class Reflector:
    """Does what `bridges.matrix.progress` says, as fast as the pace allows."""

    def __init__(self, client: Client, context: BridgeContext, rooms: Rooms, shown: Shown, threads: Threads) -> None:
        self._client = client
        self._context = context
        self._rooms = rooms
        self._shown = shown
        self._threads = threads
        self._board = Board(context.state_dir / "progress.json")
        self._pace = Pace()
        self._read_upto: OrderedDict[str, int] = OrderedDict()
        self._unanswered: dict[str, Note] = {}
        """By room: a notice that may be there. It is said again as it was, before anything is added to it."""

    async def reflect(self, news: Sequence[Progress]) -> None:
        """See `gateway.model.Reflects`: RateLimited while something owed must wait, LinkDown, NotThere."""
        try:
            await self._reflect(news)
        except AuthFailed as error:
            raise LinkDown(str(error)) from error  # the receiving side stops the bridge for this

    async def _reflect(self, news: Sequence[Progress]) -> None:
        await self._board.read()
        room_id = await self._rooms.ready(news[0].at.conversation)
        if (unanswered := self._unanswered.get(room_id)) is not None:
            await self._say(room_id, unanswered)
        now_ms = self._context.clock.now_ms()
        todo = plan(news, self._shown, marks=self._board.marks, told=self._board.told, now_ms=now_ms)
        if todo.receipt is not None:
            await self._receipt(room_id, todo.receipt)
        waits = [await self._note(room_id, note) for note in todo.notes]
        waits += [await self._status(room_id, status) for status in self._statuses(news, now_ms)]
        waits += [await self._mark(room_id, mark) for mark in sorted(todo.marks, key=lambda mark: not mark.is_owed)]
        if wait_s := max(waits, default=0.0):
            raise RateLimited("what became of messages is shown a little at a time", retry_after_s=wait_s)

    def _statuses(self, news: Sequence[Progress], now_ms: int) -> list[beeper.Status]:
        if not self._shown.beeper:
            return []
        server = self._client.user_id.partition(":")[2]
        after_s = self._shown.waiting_after_s
        told = self._board.told
        return list(beeper.statuses(news, told=told, now_ms=now_ms, pending_after_s=after_s, server=server))

    async def _status(self, room_id: str, status: beeper.Status) -> float:
        """Tell it; return how long it must wait if it must."""
        if wait_s := self._wait(room_id, 1, is_owed=status.is_owed):
            return wait_s if status.is_owed else 0.0
        content = status.content | marked(status.key, self._context.name)
        try:
            await self._client.put("rooms", room_id, "send", beeper.TYPE, status.key, body=content)
        except Refused as refused:
            self._refused(room_id, refused)
        await self._board.tell((status.about,))
        return 0.0

    async def _receipt(self, room_id: str, upto: Progress) -> None:
        if upto.seq <= self._read_upto.get(room_id, -1):
            return
        try:
            await self._client.post("rooms", room_id, "receipt", "m.read", upto.remote_id, body={})
        except Refused as refused:
            self._refused(room_id, refused)
        self._read_upto[room_id] = upto.seq
        self._read_upto.move_to_end(room_id)
        if len(self._read_upto) > MAX_ROOMS:
            self._read_upto.popitem(last=False)

    async def _note(self, room_id: str, note: Note) -> float:
        """Say it; return how long it must wait if it must."""
        if wait_s := self._wait(room_id, 1, is_owed=note.is_owed):
            return wait_s if note.is_owed else 0.0
        await self._say(room_id, note)
        return 0.0

    async def _say(self, room_id: str, note: Note) -> None:
        content = notice(note.words) | marked(note.key, self._context.name)
        if note.reply_to is not None:
            content["m.relates_to"] = answering(note.reply_to, await self._threads.root(room_id, note.reply_to))
        self._unanswered[room_id] = note
        try:
            await self._client.put("rooms", room_id, "send", "m.room.message", note.key, body=content)
        except Refused as refused:
            self._refused(room_id, refused)
        del self._unanswered[room_id]
        await self._board.tell(note.about)

    async def _mark(self, room_id: str, mark: Mark) -> float:
        """Put it in place of what stands; return how long it must wait if it must."""
        if wait_s := self._wait(room_id, mark.cost, is_owed=mark.is_owed):
            return wait_s if mark.is_owed else 0.0
        if mark.old is not None and mark.replaces:
            await self._take_away(room_id, mark.target, mark.old)
        if mark.emoji:
            # Noted first: what is put and not noted would stand for ever.
            await self._board.mark(mark.target, Standing(emoji=mark.emoji, reaction=None))
            reaction = await self._react(room_id, mark.target, mark.emoji)
            await self._board.mark(mark.target, Standing(emoji=mark.emoji, reaction=reaction))
        return 0.0

    def _wait(self, room_id: str, cost: int, *, is_owed: bool) -> float:
        wait_s = self._pace.take(room_id, cost, self._context.clock.monotonic())
        if wait_s and not is_owed:
            self._context.count("matrix_progress_skipped")
        return wait_s

    async def _react(self, room_id: str, target: RemoteId, emoji: str) -> str:
        key = f"mark.{short_hash('mark', self._context.name, target, emoji)}"
        relation = {"rel_type": "m.annotation", "event_id": target, "key": emoji}
        content = {"m.relates_to": relation} | marked(key, self._context.name)
        try:
            answer = await self._client.put("rooms", room_id, "send", "m.reaction", key, body=content)
        except Refused as refused:
            if refused.errcode != "M_DUPLICATE_ANNOTATION":
                self._refused(room_id, refused)
            return ""
        return valid_id(answer.get("event_id"), "$") or ""

    async def _take_away(self, room_id: str, target: RemoteId, old: Standing) -> None:
        # Of one that may be there, putting it once more tells the id.
        reaction = await self._react(room_id, target, old.emoji) if old.reaction is None else old.reaction
        if reaction:
            key = f"unmark.{short_hash('unmark', reaction)}"
            body = marked(key, self._context.name)
            try:
                await self._client.put("rooms", room_id, "redact", reaction, key, body=body)
            except Refused as refused:
                self._refused(room_id, refused)
        await self._board.mark(target, None)

    def _refused(self, room_id: str, refused: Refused) -> None:
        self._context.count("matrix_progress_refused")
        log.info("matrix_progress_refused", bridge=self._context.name, room=room_id, reason=str(refused))
