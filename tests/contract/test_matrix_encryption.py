# SPDX-License-Identifier: GPL-3.0-or-later
"""Encrypted rooms on a real homeserver, with matrix-js-sdk and Element's crypto on the other side."""

from __future__ import annotations

import asyncio
import io
import json
from pathlib import Path

import pytest

from bridges.sim.synapse import Synapse
from gateway.model import (
    Edit,
    Leg,
    LinkDown,
    MessageId,
    NotThere,
    Progress,
    Reaction,
    Redaction,
    RemoteId,
    State,
    Text,
)
from tests.contract.encrypted_rooms import (
    RADIO,
    Box,
    account,
    bodies,
    listening,
    log_in_anew,
    logging_to,
    nio_person,
    peer_and_box,
    pumping,
    radio_says,
    until,
)
from tests.disks import fill_up, mounted
from tests.peers.js_peer import js_peer


async def box_send(box: Box, body: str, key: str = "k.0") -> str:
    return (await box.last.send(radio_says(body), box.to, key=key)).remote_id


@pytest.mark.parametrize("version", ["11", "12"])
async def test_a_client_that_excludes_insecure_devices_reads_us_and_is_read_without_a_shield(
    synapse: Synapse, tmp_path: Path, version: str
) -> None:
    async with peer_and_box(synapse, tmp_path / "state", version=version) as (ali, box):
        bridge = box.bridge()
        async with pumping(bridge) as got:
            said = await ali.say(box.room_id, "good morning")
            await until(lambda: got)
            receipt = await bridge.send(radio_says("good morning, Ali"), box.to, key="k.0")
            seen = await ali.wait_for_body("good morning, Ali")
            facts = bridge.describe()

            assert bodies(got) == ["good morning"]
            assert got[0].remote_id == said
            assert (seen.event_id, seen.wire_type, seen.shield) == (receipt.remote_id, "m.room.encrypted", "none")
            assert seen.body == "Bea: good morning, Ali"
            assert "body" not in seen.wire_content
            assert seen.wire_content["org.crossband.id"] == "k.0"
            device = box.account.device_id
            assert (
                facts["encrypted"] == f"1 room, device {device}, cross-signed; no ghosts there, names stand in the text"
            )
            assert await ali.device_is_signed(box.account.user_id, device)


async def test_replies_reactions_edits_and_redactions_cross_encrypted_both_ways(
    synapse: Synapse, tmp_path: Path
) -> None:
    async with peer_and_box(synapse, tmp_path / "state") as (ali, box):
        bridge = box.bridge()
        async with pumping(bridge) as got:
            said = await ali.say(box.room_id, "at nine")
            await ali.react(box.room_id, "👍", to=said)
            await ali.edit(box.room_id, "at ten", of=said)
            reply = await ali.reply(box.room_id, "sure?", to=said)
            await ali.redact(box.room_id, reply)
            await until(lambda: len(got) == 5)

            assert [message.content for message in got] == [
                Text(body="at nine"),
                Reaction(target=said, emoji="👍"),
                Edit(target=said, body="at ten"),
                Text(body="sure?"),
                Redaction(target=reply),
            ]
            assert got[3].reply_to == said

            mine = (await bridge.send(radio_says("at one", reply_to=said), box.to, key="k1.0")).remote_id
            await bridge.send(radio_says("", number=2, content=Edit(target=mine, body="at two")), box.to, key="k2.0")
            await bridge.send(radio_says("", number=3, content=Reaction(target=mine, emoji="👀")), box.to, key="k3.0")
            edited = await ali.wait_for(lambda sight: "m.new_content" in sight.content and sight.sender != ali.user_id)
            reacted = await ali.wait_for(lambda sight: sight.type == "m.reaction" and sight.sender != ali.user_id)
            original = ali.seen[mine]

            assert original.wire_content["m.relates_to"] == {"m.in_reply_to": {"event_id": said}}
            assert edited.content["m.new_content"]["body"] == "Bea: at two"
            assert edited.wire_content["m.relates_to"] == {"rel_type": "m.replace", "event_id": mine}
            assert (edited.wire_type, edited.shield) == ("m.room.encrypted", "none")
            assert reacted.content["m.relates_to"]["key"] == "👀"

            await bridge.send(radio_says("", number=5, content=Redaction(target=mine)), box.to, key="k5.0")
            await ali.wait_for(lambda sight: sight.redacts == mine)


async def test_who_joins_later_reads_what_is_said_from_then_on_and_who_left_reads_no_more(
    synapse: Synapse, tmp_path: Path
) -> None:
    async with peer_and_box(synapse, tmp_path / "state") as (ali, box):
        bridge = box.bridge()
        async with pumping(bridge) as got, js_peer(synapse.url, await account(synapse, "cem")) as cem:
            await bridge.send(radio_says("before"), box.to, key="k1.0")
            first = (await ali.wait_for_body("before")).wire_content["session_id"]
            await ali.invite(box.room_id, cem.user_id)
            await cem.join(box.room_id)
            await cem.say(box.room_id, "I am new")
            await until(lambda: bodies(got) == ["I am new"])
            await bridge.send(radio_says("welcome"), box.to, key="k2.0")
            seen = await cem.wait_for_body("welcome")
            assert (seen.shield, seen.wire_content["session_id"]) == ("none", first)

            await cem.leave(box.room_id)
            await ali.say(box.room_id, "gone")
            await until(lambda: bodies(got)[-1] == "gone")
            await bridge.send(radio_says("among us"), box.to, key="k3.0")
            assert (await ali.wait_for_body("among us")).wire_content["session_id"] != first


async def test_a_person_with_another_library_is_read_and_reads_us(synapse: Synapse, tmp_path: Path) -> None:
    bot = await account(synapse, "crossband")
    async with nio_person(synapse, tmp_path / "nio") as bea:
        room_id = await bea.create_room(bot.user_id)
        box = Box(synapse, tmp_path / "state", bot, room_id)
        bridge = box.bridge()
        async with pumping(bridge) as got:
            await bea.say(room_id, "from nio")
            await until(lambda: bodies(got) == ["from nio"])
            await bridge.send(radio_says("to nio"), box.to, key="k.0")
            heard = await bea.hears("Bea: to nio")
    assert heard.decrypted


async def test_what_comes_before_its_key_is_kept_unread_and_carried_with_its_own_id_and_time(
    synapse: Synapse, tmp_path: Path
) -> None:
    async with peer_and_box(synapse, tmp_path / "state") as (ali, box):
        async with pumping(box.bridge()) as got:
            await ali.say(box.room_id, "the first has its key")
            await until(lambda: got)
        async with pumping(box.bridge(resume=got[-1].resume)) as got:
            await ali.do("forget_key", room_id=box.room_id)
            await ali.hold_keys()
            said = [await ali.say(box.room_id, f"keyless {n}") for n in range(2)]
            await until(lambda: box.counts.count("matrix_parked") == 2)
            came_ms = box.clock.now_ms()
            assert got == []

        bridge = box.bridge()  # as after a restart: they are on disk
        assert not any(b"keyless" in file.read_bytes() for file in box.crypto.iterdir())
        async with pumping(bridge) as got:
            assert bridge.describe()["undecryptable"] == "2 waiting for their keys"
            await asyncio.sleep(0.01)
            assert await ali.give_keys() > 0
            await ali.say(box.room_id, "and on")
            await until(lambda: len(got) == 3)
            await until(lambda: "undecryptable" not in bridge.describe())

    assert bodies(got) == ["keyless 0", "keyless 1", "and on"]
    assert [message.remote_id for message in got[:2]] == said
    assert all(message.received_ms <= came_ms for message in got[:2])


async def test_who_can_not_be_read_is_named_in_the_room_once_an_hour(synapse: Synapse, tmp_path: Path) -> None:
    async with peer_and_box(synapse, tmp_path / "state") as (ali, box):
        bridge = box.bridge()
        async with pumping(bridge) as got:
            await ali.say(box.room_id, "readable")
            await until(lambda: got)
            await ali.do("forget_key", room_id=box.room_id)
            await ali.hold_keys()
            for number in range(3):
                await ali.say(box.room_id, f"unreadable {number}")
            await until(lambda: box.counts.count("matrix_parked") == 3)
            box.clock.ahead_s += 31
            await ali.react(box.room_id, "👀", to=got[0].remote_id)
            seen = await ali.wait_for(lambda sight: "can't be decrypted" in sight.body and sight.shield != "pending")
            assert seen.body.startswith(f"3 messages from {ali.user_id} can't be decrypted by the gateway yet.")
            assert (seen.content["msgtype"], seen.wire_type) == ("m.notice", "m.room.encrypted")

            await ali.say(box.room_id, "unreadable too")
            await until(lambda: box.counts.count("matrix_parked") == 4)
            box.clock.ahead_s += 31
            await ali.react(box.room_id, "🕰", to=got[0].remote_id)
            await until(lambda: len(got) == 3)
            box.clock.ahead_s += 7 * 86_400 + 1
            await ali.react(box.room_id, "🗓", to=got[0].remote_id)
            await until(lambda: box.counts.count("matrix_undecryptable_lost") == 4)
            assert sum("can't be decrypted" in sight.body for sight in ali.seen.values()) == 1


async def test_a_repeat_shows_nothing_new_even_with_another_room_key_and_is_found_again(
    synapse: Synapse, tmp_path: Path
) -> None:
    async with peer_and_box(synapse, tmp_path / "state") as (ali, box):
        began_ms = box.clock.now_ms()
        async with pumping(box.bridge()):
            first = await box_send(box, "once")
        async with pumping(box.bridge()) as _:
            again = await box_send(box, "once")
            found = await box.last.recall(box.to, key="k.0", since_ms=began_ms)
            other = await box_send(box, "twice", key="k2.0")
            one, two = await ali.wait_for_body("once"), await ali.wait_for_body("twice")
    assert first == again == (found.remote_id if found else None) != other
    assert one.wire_content["session_id"] != two.wire_content["session_id"]
    assert (one.shield, two.shield) == ("none", "none")


async def test_a_room_that_becomes_encrypted_while_we_are_in_it_is_written_to_encrypted_from_then_on(
    synapse: Synapse, tmp_path: Path
) -> None:
    bot = await account(synapse, "crossband")
    async with js_peer(synapse.url, await account(synapse, "ali")) as ali:
        room_id = await ali.create_room(invite=(bot.user_id,), encrypted=False)
        box = Box(synapse, tmp_path / "state", bot, room_id)
        bridge = box.bridge()
        async with pumping(bridge) as got:
            await bridge.send(radio_says("in clear"), box.to, key="k1.0")
            await ali.state(room_id, "m.room.encryption", {"algorithm": "m.megolm.v1.aes-sha2"})
            await ali.say(room_id, "now in private")
            await until(lambda: bodies(got) == ["now in private"])
            await bridge.send(radio_says("agreed"), box.to, key="k2.0")
            clear, sealed = await ali.wait_for_body("in clear"), await ali.wait_for_body("agreed")
    assert (clear.wire_type, sealed.wire_type, sealed.shield) == ("m.room.message", "m.room.encrypted", "none")


async def test_more_than_a_sync_holds_is_read_after_an_outage_in_order(synapse: Synapse, tmp_path: Path) -> None:
    async with peer_and_box(synapse, tmp_path / "state", settings={"rotation_period_msgs": 40}) as (ali, box):
        async with pumping(box.bridge()) as got:
            await ali.say(box.room_id, "before")
            await until(lambda: got)
        for number in range(110):
            await ali.say(box.room_id, f"missed {number}")
        async with pumping(box.bridge(resume=got[-1].resume)) as got:
            await until(lambda: len(got) == 110)
    assert bodies(got) == [f"missed {number}" for number in range(110)]


async def test_a_crash_before_the_token_is_kept_reads_the_same_again(synapse: Synapse, tmp_path: Path) -> None:
    async with peer_and_box(synapse, tmp_path / "state") as (ali, box):
        async with listening(box.bridge()) as items:
            await ali.say(box.room_id, "one")
            resume = (await anext(items)).resume
        await ali.do("forget_key", room_id=box.room_id)
        async with listening(box.bridge(resume=resume)) as items:
            await ali.say(box.room_id, "two")
            assert (await anext(items)).content == Text(body="two")  # its key is on disk, the token isn't
        async with listening(box.bridge(resume=resume)) as items:
            assert (await anext(items)).content == Text(body="two")
            await ali.say(box.room_id, "three")
            assert (await anext(items)).content == Text(body="three")


async def test_keys_that_can_not_be_read_are_moved_aside_and_the_device_is_never_replaced_in_silence(
    synapse: Synapse, tmp_path: Path
) -> None:
    async with peer_and_box(synapse, tmp_path / "state") as (ali, box):
        async with pumping(box.bridge()):
            await box_send(box, "once")
        (database,) = box.crypto.glob(f"{box.account.device_id}.db")
        database.write_bytes(b"not a database" * 100)
        bridge = box.bridge()
        async with pumping(bridge):
            facts = bridge.describe()
            with pytest.raises(NotThere, match=r"has other keys on the homeserver .* `crossband matrix login`"):
                await bridge.send(radio_says("again"), box.to, key="k2.0")
        assert "matrix_keys_unreadable" in box.counts
        assert "is damaged" in facts["keys_lost"]
        assert facts["encryption"].startswith(f"device {box.account.device_id} has other keys on the homeserver")
        assert [file.read_bytes()[:5] for file in box.crypto.glob("*.db.unreadable-*")] == [b"not a"]

        login = await log_in_anew(synapse, box.account)
        (box.context.state_dir / "token").write_text(login["access_token"])
        bridge = box.bridge()
        async with pumping(bridge) as got:
            await bridge.send(radio_says("with a new device"), box.to, key="k3.0")
            seen = await ali.wait_for_body("with a new device")
            await ali.say(box.room_id, "welcome back")
            await until(lambda: bodies(got) == ["welcome back"])
            assert f"device {login['device_id']}, cross-signed" in bridge.describe()["encrypted"]
    assert seen.shield == "none"


async def test_an_account_whose_cross_signing_keys_are_elsewhere_says_so_and_leaves_them(
    synapse: Synapse, tmp_path: Path
) -> None:
    async with peer_and_box(synapse, tmp_path / "state") as (_ali, box), js_peer(synapse.url, box.account):
        bridge = box.bridge()
        async with pumping(bridge):
            facts = bridge.describe()
    assert "not cross-signed: the account has cross-signing keys that this box doesn't hold" in facts["encrypted"]
    assert not (box.crypto / "signing.json").exists()


async def test_keys_are_for_their_owner_only_and_nothing_of_them_or_of_what_is_said_is_logged(
    synapse: Synapse, tmp_path: Path
) -> None:
    stream = io.StringIO()
    with logging_to(stream):
        async with peer_and_box(synapse, tmp_path / "state") as (ali, box):
            bridge = box.bridge()
            async with pumping(bridge) as got:
                await ali.say(box.room_id, "a secret word")
                await until(lambda: got)
                await bridge.send(radio_says("another secret word"), box.to, key="k.0")
                await ali.wait_for_body("another secret word")
    seeds = json.loads((box.crypto / "signing.json").read_text()).values()
    lock = (box.crypto / "pickle.key").read_text().strip()
    assert box.crypto.stat().st_mode & 0o777 == 0o700
    assert {file.stat().st_mode & 0o777 for file in box.crypto.iterdir()} == {0o600}
    assert "matrix_device_cross_signed" in stream.getvalue()
    for secret in (*seeds, lock, "secret word", box.account.access_token):
        assert secret not in stream.getvalue()


async def test_a_bridge_without_encrypted_rooms_has_no_keys(synapse: Synapse, tmp_path: Path) -> None:
    async with peer_and_box(synapse, tmp_path / "state", allow_encrypted=False) as (ali, box):
        bridge = box.bridge()
        async with pumping(bridge) as got:
            await ali.say(box.room_id, "unheard")
            await until(lambda: "matrix_skipped_encrypted" in box.counts)
            with pytest.raises(NotThere, match="allow_encrypted"):
                await bridge.send(radio_says("unsaid"), box.to, key="k.0")
            assert "encrypted" not in bridge.describe()
    assert got == []
    assert not box.crypto.exists()


async def test_a_full_disk_stops_the_bridge_before_a_key_is_lost_and_it_goes_on_where_it_was(
    synapse: Synapse, tmp_path: Path
) -> None:
    with mounted(tmp_path / "disk", "8m") as disk:
        async with peer_and_box(synapse, disk / "state") as (ali, box):
            bridge = box.bridge()
            async with listening(bridge) as items:
                await ali.say(box.room_id, "before")
                await anext(items)
                filler = fill_up(disk)
                with pytest.raises(NotThere, match="can't be written"):
                    await bridge.send(radio_says("unsent"), box.to, key="k1.0")
                await ali.do("forget_key", room_id=box.room_id)
                await ali.say(box.room_id, "while it is full")
                with pytest.raises(LinkDown, match=r"can't be (kept|written)"):
                    await anext(items)
            filler.unlink()
            async with listening(bridge) as items:
                assert (await anext(items)).content == Text(body="while it is full")
                await bridge.send(radio_says("sent"), box.to, key="k2.0")
                assert (await ali.wait_for_body("sent")).shield == "none"


async def test_a_room_whose_encryption_was_taken_back_is_not_written_to_in_clear(
    synapse: Synapse, tmp_path: Path
) -> None:
    async with peer_and_box(synapse, tmp_path / "state") as (ali, box):
        async with pumping(box.bridge()):
            await box_send(box, "before")
            await ali.wait_for_body("before")
        encryption = await ali.wait_for(lambda sight: sight.type == "m.room.encryption")
        await ali.redact(box.room_id, encryption.event_id)
        bridge = box.bridge()  # one that asks anew what the room is
        async with pumping(bridge):
            with pytest.raises(NotThere, match="encrypted in a way we don't know"):
                await bridge.send(radio_says("in clear"), box.to, key="k2.0")
    assert not [sight for sight in ali.seen.values() if "in clear" in sight.body]


async def test_an_answer_to_what_is_in_an_encrypted_thread_stays_there_also_after_a_restart(
    synapse: Synapse, tmp_path: Path
) -> None:
    async with peer_and_box(synapse, tmp_path / "state") as (ali, box):
        async with pumping(box.bridge()) as got:
            root = await ali.say(box.room_id, "who comes?")
            fallback = {"is_falling_back": True, "m.in_reply_to": {"event_id": root}}
            relation = {"rel_type": "m.thread", "event_id": root, **fallback}
            inside = await ali.say(box.room_id, "I do", **{"m.relates_to": relation})
            await until(lambda: len(got) == 2)
            await box.last.send(radio_says("me too", reply_to=inside), box.to, key="k1.0")
        bridge = box.bridge(resume=got[-1].resume)
        async with pumping(bridge):
            await bridge.send(radio_says("and me", number=2, reply_to=inside), box.to, key="k2.0")
            answers = [await ali.wait_for_body(body) for body in ("me too", "and me")]
    assert got[1].reply_to is None
    for answer in answers:
        relation = answer.wire_content["m.relates_to"]
        assert (relation["rel_type"], relation["event_id"]) == ("m.thread", root)
        assert relation["m.in_reply_to"] == {"event_id": inside}
        assert answer.shield == "none"


async def test_beepers_status_is_in_clear_as_its_clients_expect_and_a_notice_is_not(
    synapse: Synapse, tmp_path: Path
) -> None:
    async with peer_and_box(synapse, tmp_path / "state", progress={"beeper": True}) as (ali, box):
        bridge = box.bridge()
        async with pumping(bridge) as got:
            said = await ali.say(box.room_id, "hi")
            await until(lambda: got)
            failed = Leg(to=RADIO, state=State.FAILED, reason="no radio is there")
            news = Progress(
                message_id=MessageId("m1"),
                at=box.to,
                remote_id=RemoteId(said),
                seq=1,
                received_ms=got[0].received_ms,
                kind="text",
                legs=(failed,),
            )
            await bridge.reflect([news])
            status = await ali.wait_for(lambda sight: sight.type == "com.beeper.message_send_status")
            notice = await ali.wait_for_body("no radio is there")
    assert (status.wire_type, status.content["status"]) == ("com.beeper.message_send_status", "FAIL_PERMANENT")
    assert status.content["m.relates_to"] == {"rel_type": "m.reference", "event_id": said}
    assert (notice.wire_type, notice.shield) == ("m.room.encrypted", "none")
    assert notice.wire_content["m.relates_to"] == {"m.in_reply_to": {"event_id": said}}


async def test_what_was_taken_back_before_its_key_came_is_not_carried(synapse: Synapse, tmp_path: Path) -> None:
    async with peer_and_box(synapse, tmp_path / "state") as (ali, box), pumping(box.bridge()) as got:
        await ali.say(box.room_id, "the first has its key")
        await until(lambda: got)
        await ali.do("forget_key", room_id=box.room_id)
        await ali.hold_keys()
        regretted = await ali.say(box.room_id, "regretted")
        await ali.say(box.room_id, "meant")
        await until(lambda: box.counts.count("matrix_parked") == 2)
        await ali.redact(box.room_id, regretted)
        await until(lambda: len(got) == 2)
        await ali.give_keys()
        await until(lambda: "meant" in bodies(got))
    assert bodies(got) == ["the first has its key", "meant"]
    assert Redaction(target=RemoteId(regretted)) in [message.content for message in got]
