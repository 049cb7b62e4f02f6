# SPDX-License-Identifier: GPL-3.0-or-later
"""What the journal promises when the process dies or the disk fails."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from gateway.clock import ManualClock
from gateway.journal import Accepted, OutageKind, Seen, database
from gateway.journal.database import VERSION
from gateway.model import BridgeName, JournalError, NativeId, RemoteId, ResumePoint, message_id
from tests.contract.journal_desk import LAN, RADIO, START_MS, bound, moved, opened, parts_of, said, states
from tests.disks import fill_up, mounted, remount

HOME = BridgeName("home")


# Killed.


async def test_killed_at_any_point_every_acknowledged_message_is_there_and_whole(tmp_path):
    """kill -9 of a process that writes as fast as it can, several times on one file."""
    acknowledged: dict[int, str] = {}
    for wanted in (1, 40, 150, 333):
        acknowledged |= await run_and_kill(tmp_path, wanted)
    async with opened(tmp_path) as journal:
        head = await journal.head()
        records = await journal.messages(limit=head)
        pending = await journal.pending(HOME, after=0, limit=4 * head)

    assert [record.seq for record in records] == list(range(1, head + 1))
    for seq, native in acknowledged.items():
        assert records[seq - 1].message.id == message_id(NativeId(native))
    # Nothing is half there: each message has all its deliveries, acknowledged or not.
    assert {len(record.deliveries) for record in records} == {4}
    assert len(pending.deliveries) == 3 * head
    lan = {record.seq: one for record in records for one in record.deliveries if one.to == LAN}
    assert all(lan[seq].state == "sent" for seq in acknowledged)


async def run_and_kill(folder, wanted):
    root = Path(__file__).parents[2]
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.contract.journal_writer_child",
        str(folder),
        stdout=subprocess.PIPE,
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
    )
    lines = [await child.stdout.readline() for _ in range(wanted)]
    child.kill()
    lines += (await child.stdout.read()).splitlines(keepends=True)
    await child.wait()
    told = [line.decode().split() for line in lines if line.endswith(b"\n")]
    return {int(seq): native for seq, native in told}


# The disk.


async def test_a_full_disk_is_said_in_words_and_forgotten_when_there_is_room_again(tmp_path):
    with mounted(tmp_path / "disk", "2m") as disk:
        async with opened(disk) as journal:
            accepted = await fill(journal)
            answers = await asyncio.gather(
                *(journal.accept(said(f"more {n}", body="x" * 5000), []) for n in range(20)), return_exceptions=True
            )
            assert {type(answer) for answer in answers} == {JournalError}
            assert all("disk is full" in str(answer) for answer in answers)
            with pytest.raises(JournalError, match="disk is full"):
                await journal.upkeep.prune()

            remount(disk, "size=8m")
            await journal.upkeep.prune()
            assert await journal.accept(said("after"), []) == Accepted(seq=accepted + 1)
        async with opened(disk) as journal:
            assert await journal.head() == accepted + 1
            assert len(await journal.messages(limit=10_000)) == accepted + 1


async def test_on_a_full_disk_what_became_of_messages_is_written_all_the_same(tmp_path):
    """Receipts free what is full; they have room that nobody else was given."""
    with mounted(tmp_path / "disk", "40m") as disk:
        async with opened(disk) as journal:
            first = [said(n, body="x" * 3000) for n in range(200)]
            await asyncio.gather(*(journal.accept(message, [bound(message)]) for message in first))
            fill_up(disk)
            accepted = len(first) + await fill(journal, body="x" * 20_000)
            for message in first:
                await journal.record([moved(bound(message), "sending")])
                await journal.record([moved(bound(message), "sent", remote_id=RemoteId(f"${message.id}"))])
            assert await states(journal, *map(bound, first)) == ["sent"] * len(first)
            await journal.set_resume(RADIO.bridge, ResumePoint("there"))
        async with opened(disk) as journal:  # started again on the full disk
            assert await journal.head() == accepted
            assert await journal.resume_point(RADIO.bridge) == "there"
            assert await states(journal, *map(bound, first)) == ["sent"] * len(first)
            with pytest.raises(JournalError, match="disk is full"):
                await journal.accept(said("more"), [])
            (disk / "somebody-elses").unlink()
            assert await journal.accept(said("more"), []) == Accepted(seq=accepted + 1)


async def test_a_journal_is_opened_on_a_disk_that_somebody_else_filled_meanwhile(tmp_path):
    with mounted(tmp_path / "disk", "8m") as disk:
        async with opened(disk) as journal:
            await journal.accept(said(1), [bound(said(1))])
        fill_up(disk)
        async with opened(disk) as journal:
            await journal.record([moved(bound(said(1)), "sent")])
            assert await states(journal, bound(said(1))) == ["sent"]


async def fill(journal, body="x" * 2000):
    """Accept messages until the disk is full; return how many it took."""
    for n in range(10_000):
        message = said(f"fill {n}", body=body)
        try:
            await journal.accept(message, [bound(message)])
        except JournalError:
            return n
    pytest.fail("the disk never got full")


async def test_on_a_disk_that_turns_read_only_reading_goes_on_and_writing_says_why(tmp_path):
    with mounted(tmp_path / "disk", "8m") as disk:
        async with opened(disk) as journal:
            await journal.accept(said(1), [bound(said(1))])
        async with opened(disk) as journal:
            await journal.accept(said(2), [])
        remount(disk, "ro")
        with pytest.raises(JournalError, match="can't be used: Read-only"):
            async with opened(disk):
                pass
        remount(disk, "rw")
        async with opened(disk) as journal:
            assert await journal.head() == 2


async def test_a_folder_that_is_not_there_is_said_in_words(tmp_path):
    with pytest.raises(JournalError, match="No such file"):
        async with opened(tmp_path / "nowhere"):
            pass


async def test_what_can_not_be_stored_does_not_spoil_what_is_written_with_it(tmp_path):
    """One call's trouble is its own, though they share a transaction."""
    async with opened(tmp_path) as journal:
        impossible = said("far future", received_ms=2**70)
        asked = [said(1), impossible, said(2)]
        answers = await asyncio.gather(*(journal.accept(one, []) for one in asked), return_exceptions=True)

        assert [type(answer) for answer in answers] == [Accepted, JournalError, Accepted]
        assert "can't store this" in str(answers[1])
        assert await journal.head() == 2


# The file.


@pytest.mark.parametrize("damage", ["noise", "cut", "zeros in the middle"])
async def test_a_damaged_file_is_moved_aside_and_a_new_journal_begun(tmp_path, damage):
    file = tmp_path / "journal.db"
    async with opened(tmp_path) as journal:
        source = journal.source
        await asyncio.gather(*(journal.accept(said(n), parts_of(said(n))) for n in range(200)))
    spoil(file, damage)
    spoilt = file.read_bytes()
    (tmp_path / "journal.db-wal").write_bytes(b"")  # it was not closed cleanly

    with capture_logs() as logs:
        async with opened(tmp_path, clock=ManualClock(START_MS)) as journal:
            assert journal.source != source
            assert await journal.accept(said(1), []) == Accepted(seq=1)

    aside = tmp_path / "journal.db.damaged-20231114T221320Z"
    assert aside.read_bytes() == spoilt
    (said_so,) = [entry for entry in logs if entry["event"] == "journal_damaged"]
    assert said_so["log_level"] == "critical"
    assert said_so["moved_to"] == str(aside)


async def test_found_damaged_in_use_it_is_moved_aside_at_the_next_start(tmp_path):
    """Where a clean stop followed, nothing else would make the next start look at all of it."""
    file = tmp_path / "journal.db"
    async with opened(tmp_path) as journal:
        await asyncio.gather(*(journal.accept(said(n), parts_of(said(n))) for n in range(200)))
    spoil(file, "zeros in the middle")
    async with opened(tmp_path) as journal:
        changes = [moved(one, "sent") for n in range(200) for one in parts_of(said(n))]
        with pytest.raises(JournalError, match="damaged; started again"):
            await journal.record(changes)
    assert not list(tmp_path.glob("*damaged*"))

    async with opened(tmp_path) as journal:
        assert await journal.accept(said(1), []) == Accepted(seq=1)
    async with opened(tmp_path) as journal:
        assert await journal.head() == 1
    assert len(list(tmp_path.glob("*damaged*"))) == 1


def spoil(file, damage):
    data = bytearray(file.read_bytes())
    match damage:
        case "noise":
            data[:4096] = os.urandom(4096)
        case "cut":
            del data[len(data) // 2 :]
        case _:
            # Where deliveries are: a table's leaf (the file format's 0x0d) with their state on it, after the schema's.
            pages = range(4096 * 20, len(data), 4096)
            theirs = [at for at in pages if data[at] == 0x0D and b"waiting" in data[at : at + 4096]]
            assert len(theirs) > 10
            for at in theirs[:10]:
                data[at : at + 4096] = bytes(4096)
    file.write_bytes(data)


async def test_a_second_damaged_file_does_not_replace_the_first(tmp_path):
    for n in range(2):
        (tmp_path / "journal.db").write_bytes(b"no database, nr %d" % n * 100)
        async with opened(tmp_path):
            pass

    names = sorted(path.name for path in tmp_path.glob("*damaged*"))
    assert names == ["journal.db.damaged-20231114T221320Z", "journal.db.damaged-20231114T221320Z-2"]


@pytest.mark.parametrize("version", range(1, VERSION))
async def test_a_journal_of_an_older_version_is_read_and_written_on(tmp_path, version):
    old = Path(__file__).with_name("journal_of_version_1.sql").read_text(encoding="utf-8")
    with closing(sqlite3.connect(tmp_path / "journal.db")) as connection:
        connection.executescript(old)
        for newer in range(2, version + 1):
            upgrade = Path(database.__file__).with_name(f"upgrade_to_{newer}.sql").read_text(encoding="utf-8")
            connection.executescript(f"{upgrade} PRAGMA user_version = {newer};")
    one = parts_of(said(1))
    for _ in range(2):
        async with opened(tmp_path) as journal:
            assert [record.message for record in await journal.messages()] == [said(n) for n in (1, 2, 3)]
            assert await journal.resume_point(RADIO.bridge) == "s1"
            assert await states(journal, *one, bound(said(3))) == ["sent", "sending", "waiting", "failed"]
            assert (await journal.pending(HOME, after=0, limit=9)).deliveries == (one[1], one[2], bound(said(2)))
            echo = replace(said(4, LAN), native_id=NativeId("mt:own:1"))
            await journal.record([moved(one[1], "sending", also=echo.id)])
            assert await journal.accept(echo, []) == Seen(seq=1, origin=LAN)
            outage = await journal.outages.begin(OutageKind.BRIDGE, HOME, START_MS, "the cable is out")
            assert (await journal.outages.counted(outage, for_s=5)).became.waiting == 3
    async with opened(tmp_path) as journal:
        old_one, carrier = bound(said(2)), one[2]
        assert (await journal.standings([carrier.id]))[carrier.id].revised is None
        await journal.revisions.fold(carrier.id, [old_one.id], lambda delivery, _: delivery)
        assert await states(journal, old_one, carrier) == ["folded", "waiting"]
        assert (await journal.standings([carrier.id]))[carrier.id].revised == carrier
    with closing(sqlite3.connect(tmp_path / "journal.db")) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (VERSION,)


async def test_a_journal_of_a_newer_release_is_refused_and_left_alone(tmp_path):
    async with opened(tmp_path) as journal:
        await journal.accept(said(1), [])
    with closing(sqlite3.connect(tmp_path / "journal.db")) as connection:
        connection.execute("PRAGMA user_version = 9")

    with pytest.raises(JournalError, match="newer release"):
        async with opened(tmp_path):
            pass
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".db"] == ["journal.db"]


async def test_a_message_of_an_unknown_version_is_left_out_and_its_neighbours_shown(tmp_path):
    async with opened(tmp_path) as journal:
        for n in range(3):
            await journal.accept(said(n), [bound(said(n), LAN)])
        await journal.record([moved(bound(said(n), LAN), "failed") for n in range(3)])
    with closing(sqlite3.connect(tmp_path / "journal.db", isolation_level=None)) as connection:
        connection.execute("UPDATE message SET envelope = '[99]' WHERE seq = 2")
    async with opened(tmp_path) as journal:
        assert [record.seq for record in await journal.messages()] == [1, 3]
        assert [letter.seq for letter in await journal.failed(limit=9)] == [1, 3]
        with pytest.raises(JournalError, match="can't be read"):
            await journal.find(RADIO, said(1).remote_id)
