# SPDX-License-Identifier: GPL-3.0-or-later
"""One device's keys, with another device's on the other side, and no homeserver between."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from bridges.matrix.crypto import room_keys
from bridges.matrix.crypto.database import open_olm
from bridges.matrix.crypto.errors import Bogus, KeysUnreadable, Shut, StoreFailed
from bridges.matrix.crypto.machine import Machine, Taken
from bridges.matrix.crypto.store import PICKLE_KEY, database_of, move_aside, prepare

ROOM = "!room"
ALI, BOT, EVE = "@ali:x", "@bot:x", "@eve:x"
WEEK = timedelta(days=7)


class Party:
    """A user with one device; `reload` is a restart."""

    def __init__(self, folder: Path, user_id: str) -> None:
        self.user_id = user_id
        self.device_id = user_id[1:4].upper()
        self.folder = folder / user_id[1:4]
        self.machine: Machine
        self.reload()
        self.uploaded = self.machine.upload()
        self.machine.uploaded(50)

    def reload(self) -> None:
        if hasattr(self, "machine"):
            self.machine.close()
        database = database_of(self.folder, self.device_id)
        self.machine = Machine(open_olm(self.user_id, self.device_id, database, prepare(self.folder, database)))

    def meets(self, *others: Party) -> None:
        self.machine.learn_devices(
            {other.user_id: {other.device_id: other.uploaded["device_keys"]} for other in others}
        )

    def key_for(self, other: Party) -> list[dict[str, Any]]:
        """Give the room's key to the other; return what is sent to their device."""
        (id_, key) = other.uploaded["one_time_keys"].popitem()
        self.machine.begin_sessions({other.user_id: {other.device_id: {id_: key}}})
        self.machine.rooms.rotate(ROOM, max_age=WEEK, max_messages=100)
        ((devices, body),) = self.machine.rooms.shares(ROOM, [other.user_id])
        assert devices == {(other.user_id, other.device_id)}
        content = body["messages"][other.user_id][other.device_id]
        return [{"type": "m.room.encrypted", "sender": self.user_id, "content": content}]

    def says(self, body: str, *, event_id: str = "$1", room_id: str = ROOM, **content: Any) -> dict[str, Any]:
        sealed = self.machine.rooms.encrypt(room_id, "m.room.message", {"body": body, **content})
        return {"type": "m.room.encrypted", "event_id": event_id, "sender": self.user_id, "content": sealed}


@pytest.fixture
def parties(tmp_path: Path) -> Iterator[tuple[Party, Party, Party]]:
    made = Party(tmp_path, ALI), Party(tmp_path, BOT), Party(tmp_path, EVE)
    for party in made:
        party.meets(*(other for other in made if other is not party))
    yield made
    for party in made:
        party.machine.close()


def test_what_one_encrypts_the_other_reads_with_its_relation_in_clear(parties: tuple[Party, Party, Party]) -> None:
    ali, bot, _ = parties
    relation = {"m.in_reply_to": {"event_id": "$0"}}
    came = bot.machine.take(ali.key_for(bot)).keys
    event = ali.says("hello", **{"m.relates_to": relation})

    assert came == {event["content"]["session_id"]}
    assert event["content"]["m.relates_to"] == relation
    assert "hello" not in str(event)
    opened = bot.machine.rooms.decrypt(event, ROOM)
    assert (opened.type, opened.content) == ("m.room.message", {"body": "hello", "m.relates_to": relation})


def test_keys_survive_a_restart_and_the_same_messages_again(parties: tuple[Party, Party, Party]) -> None:
    ali, bot, _ = parties
    key = ali.key_for(bot)
    bot.machine.take(key)
    bot.reload()
    assert not bot.machine.take(key).keys, "it was read already: nothing comes of it, and nothing breaks"
    assert bot.machine.rooms.decrypt(ali.says("hello"), ROOM).content == {"body": "hello"}
    assert bot.machine.take(ali.key_for(bot)).keys, "the session goes on"


def test_without_the_key_or_before_it_is_given_out_an_event_stays_shut(parties: tuple[Party, Party, Party]) -> None:
    ali, bot, eve = parties
    bot.machine.take(ali.key_for(bot))
    early = ali.says("for the bot")
    ((_, body),) = share_with(ali, eve)
    eve.machine.take([{"type": "m.room.encrypted", "sender": ALI, "content": body["messages"][EVE]["EVE"]}])

    with pytest.raises(Shut, match="doesn't open it"):
        eve.machine.rooms.decrypt(early, ROOM)
    assert eve.machine.rooms.decrypt(ali.says("for all"), ROOM).content == {"body": "for all"}
    with pytest.raises(Shut, match="hasn't come"):
        bot.machine.rooms.decrypt({**early, "content": {**early["content"], "session_id": "other"}}, ROOM)


def share_with(giver: Party, taker: Party) -> list[Any]:
    (id_, key) = taker.uploaded["one_time_keys"].popitem()
    giver.machine.begin_sessions({taker.user_id: {taker.device_id: {id_: key}}})
    return list(giver.machine.rooms.shares(ROOM, [taker.user_id]))


def test_a_homeserver_can_not_put_ones_words_into_anothers_mouth(parties: tuple[Party, Party, Party]) -> None:
    _, bot, eve = parties
    bot.machine.take(eve.key_for(bot))
    event = eve.says("I am Ali")
    with pytest.raises(Shut, match="device isn't known") as shut:
        bot.machine.rooms.decrypt({**event, "sender": ALI}, ROOM)
    assert shut.value.unknown_device
    with pytest.raises(Shut):
        bot.machine.rooms.decrypt({**event, "sender": None}, ROOM)
    with pytest.raises(Shut):
        bot.machine.rooms.decrypt(event, "!another")
    assert bot.machine.rooms.decrypt(event, ROOM).content == {"body": "I am Ali"}


def test_a_key_that_another_gives_again_as_their_own_opens_nothing_more_and_replaces_nothing(
    parties: tuple[Party, Party, Party],
) -> None:
    ali, bot, eve = parties
    bot.machine.take(ali.key_for(bot))
    early = ali.says("early")
    session_id = early["content"]["session_id"]
    given_again = ali.machine._olm.outbound_group_sessions[ROOM].session_key  # as every member has it by now
    eve_s = eve.machine._olm.account.identity_keys
    bot.machine._olm.create_group_session(eve_s["curve25519"], eve_s["ed25519"], ROOM, session_id, given_again)

    assert len(bot.machine.rooms._inbound(ROOM, session_id)) == 2
    with pytest.raises(Shut, match="device isn't known"):
        bot.machine.rooms.decrypt({**early, "sender": "@zoe:x"}, ROOM)
    bot.reload()
    assert bot.machine.rooms.decrypt(early, ROOM).content == {"body": "early"}


def test_the_same_words_again_under_another_id_are_no_message(parties: tuple[Party, Party, Party]) -> None:
    ali, bot, _ = parties
    bot.machine.take(ali.key_for(bot))
    event = ali.says("pay ten")
    bot.machine.rooms.decrypt(event, ROOM)
    assert bot.machine.rooms.decrypt(event, ROOM).content == {"body": "pay ten"}
    with pytest.raises(Bogus, match="replayed"):
        bot.machine.rooms.decrypt({**event, "event_id": "$2"}, ROOM)


def test_nobody_takes_back_anothers_words_by_a_redaction_that_no_homeserver_saw(
    parties: tuple[Party, Party, Party],
) -> None:
    ali, bot, _ = parties
    bot.machine.take(ali.key_for(bot))
    sealed = ali.machine.rooms.encrypt(ROOM, "m.room.redaction", {"redacts": "$of-another"})
    event = {"type": "m.room.encrypted", "event_id": "$1", "sender": ALI, "content": sealed}
    with pytest.raises(Bogus, match="a redaction"):
        bot.machine.rooms.decrypt(event, ROOM)


def test_the_same_words_again_are_no_message_after_a_restart_either(
    parties: tuple[Party, Party, Party], monkeypatch: pytest.MonkeyPatch
) -> None:
    ali, bot, _ = parties
    monkeypatch.setattr(room_keys, "MAX_INDEXES", 2)
    bot.machine.take(ali.key_for(bot))
    events = [ali.says(f"pay {number}", event_id=f"${number}") for number in range(3)]
    for event in events:
        bot.machine.rooms.decrypt(event, ROOM)
        bot.machine.rooms.keep_seen()
    bot.machine.rooms.keep_seen()
    bot.reload()
    assert bot.machine.rooms.decrypt(events[2], ROOM).content == {"body": "pay 2"}, "the event itself may come again"
    for event in events[1:]:
        with pytest.raises(Bogus, match="replayed"):
            bot.machine.rooms.decrypt({**event, "event_id": "$9"}, ROOM)
    count = "SELECT count(*) FROM crossband_seen"
    assert bot.machine._olm.store.database.execute_sql(count).fetchone() == (2,), (
        "no more is kept than there is room for"
    )


def test_nonsense_from_one_device_keeps_no_other_from_being_heard(parties: tuple[Party, Party, Party]) -> None:
    ali, bot, eve = parties
    key = ali.key_for(bot)
    own = next(iter(key[0]["content"]["ciphertext"]))
    olm = {"algorithm": "m.olm.v1.curve25519-aes-sha2", "sender_key": "x"}
    nonsense: list[Any] = [
        None,
        {"type": "m.room.encrypted"},
        {"type": "m.room.encrypted", "sender": EVE, "content": {**olm, "ciphertext": {own: {"type": 0, "body": "!"}}}},
        {"type": "m.room.encrypted", "sender": EVE, "content": {**olm, "ciphertext": {own: {"type": 1, "body": "AA"}}}},
        {"type": "m.room.encrypted", "sender": EVE, "content": {**olm, "ciphertext": {own: {"type": "0"}}}},
    ]
    assert bot.machine.take(nonsense) == Taken(keys=frozenset(), unreadable=4)
    assert bot.machine.take(key).keys
    bot.machine.learn_devices({ALI: None, EVE: {"EVE": {"keys": 1}, "X": eve.uploaded["device_keys"]}, "@x:x": []})
    bot.machine.begin_sessions({ALI: None, EVE: {"EVE": {}}, "@x:x": {"Y": {"signed_curve25519:A": {"key": 1}}}})
    assert bot.machine.recipients([ALI, "@x:x"]) == {(ALI, "ALI")}


def test_a_crash_between_uploading_keys_and_knowing_it_uploads_the_same_again(tmp_path: Path) -> None:
    bot = Party(tmp_path, BOT)
    bot.machine.note_key_count(10, has_fallback=True)
    assert bot.machine.needs_upload
    first = bot.machine.upload()
    bot.reload()
    bot.machine.note_key_count(50, has_fallback=False)
    again = bot.machine.upload()
    assert bot.machine.needs_upload
    assert again["fallback_keys"] == first["fallback_keys"]
    bot.machine.note_key_count(10, has_fallback=True)
    repeated = bot.machine.upload()["one_time_keys"]
    assert {id_: repeated[id_]["key"] for id_ in first["one_time_keys"]} == {
        id_: key["key"] for id_, key in first["one_time_keys"].items()
    }
    bot.machine.uploaded(50)
    assert not bot.machine.needs_upload
    bot.machine.close()


def test_a_room_key_ends_after_its_messages(parties: tuple[Party, Party, Party]) -> None:
    ali, _, _ = parties
    assert ali.machine.rooms.shared_with(ROOM) is None
    ali.machine.rooms.rotate(ROOM, max_age=WEEK, max_messages=2)
    for _ in range(2):
        assert ali.machine.rooms.shared_with(ROOM) == set()
        ali.says("one")
    assert ali.machine.rooms.shared_with(ROOM) is None


def test_keys_without_their_lock_or_with_another_are_unreadable_and_moved_together(tmp_path: Path) -> None:
    bot = Party(tmp_path, BOT)
    bot.machine.close()
    database = database_of(bot.folder, "BOT")
    with pytest.raises(KeysUnreadable, match="is damaged"):
        open_olm(BOT, "BOT", database, "another lock")
    (bot.folder / PICKLE_KEY).unlink()
    with pytest.raises(KeysUnreadable, match="is missing"):
        prepare(bot.folder, database)
    assert move_aside(database, 7) == "BOT.db.unreadable-7"
    assert {file.name for file in bot.folder.iterdir()} == {"BOT.db.unreadable-7"}


def test_a_closed_machine_writes_no_more(tmp_path: Path) -> None:
    bot = Party(tmp_path, BOT)
    bot.machine.close()
    with pytest.raises(StoreFailed):
        bot.machine.take([{"type": "m.room.encrypted"}])


def test_a_device_id_of_any_shape_is_a_file_name(tmp_path: Path) -> None:
    assert database_of(tmp_path, "../é/x").parent == tmp_path
    assert database_of(tmp_path, "a/b") != database_of(tmp_path, "a=b")
