# SPDX-License-Identifier: GPL-3.0-or-later
"""A box that is put back while it runs, or runs twice: no start shows it, so it goes on under numbers that are used."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from bridges.lan.event import FeedId, written
from bridges.lan.held import State
from bridges.lan.membership import Add
from tests.lan_histories import (
    BEGAN_MS,
    BOXES,
    DAY_S,
    FOUNDERS,
    RETENTION_S,
    Act,
    Node,
    World,
    checked_once,
    founded,
    history,
    run,
)


@pytest.fixture(scope="module", autouse=True)
def _signatures() -> Iterator[None]:
    with checked_once():
        yield


def rewound(*, before: int, since: int) -> tuple[World, Node, Node]:
    """Return a world, a box that said something, was put back to before that, and said more; and one that heard it."""
    world = founded(f"rewound {before} {since}")
    box, other = world.nodes[1:3]
    box.say("web:1/first")
    world.meet(box, other)
    box.remember()
    for number in range(before):
        box.say(f"web:1/before-{number}")
    world.meet(box, other)
    assert box.snapshot is not None
    box.go_back(box.snapshot)
    for number in range(since):
        box.say(f"web:1/since-{number}")
    return world, box, other


@pytest.mark.parametrize("calls", [True, False], ids=["it calls", "it is called"])
@pytest.mark.parametrize(("before", "since"), [(3, 0), (3, 1), (3, 3), (1, 5), (700, 2), (2, 700)])
def test_a_box_that_is_put_back_while_it_runs_loses_nothing(before: int, since: int, calls: bool) -> None:
    world, box, other = rewound(before=before, since=since)
    feed = box.log.feed
    for _ in range(3):
        world.meet(*((box, other) if calls else (other, box)))
    said = {f"web:1/before-{number}" for number in range(before)} | {f"web:1/since-{n}" for n in range(since)}
    assert box.natives() == other.natives() == {"web:1/first", *said}
    assert box.log.feed != feed
    begun = box.counts["feed_begun_anew"]
    assert begun in {1, 2}
    for node in (box, other):
        assert max(node.shown.values()) == 1
        assert node.counts["peer_shut_out"] == 0
    box.say("web:1/now")
    world.meet(box, other)
    assert other.log.knows("web:1/now")
    assert box.counts["feed_begun_anew"] == begun


def test_what_it_said_again_has_the_time_it_was_said_first() -> None:
    world, box, other = rewound(before=2, since=2)
    when = {each.event.native: each.event.hlc for each in box.log.news(0)}
    world.meet(box, other)
    again = {each.event.native: each.event for each in other.log.news(0)}
    for number in range(2):
        native = f"web:1/since-{number}"
        assert again[native].hlc == when[native]
        assert again[native].feed == box.log.feed


def test_both_are_quiet_once_it_is_mended() -> None:
    world, box, other = rewound(before=3, since=3)
    for _ in range(3):
        world.meet(box, other)
    before = world.posts
    world.meet(box, other)
    world.meet(other, box)
    assert world.posts == before + 2


def test_two_that_run_from_one_snapshot_each_go_on_under_a_feed_of_their_own() -> None:
    world = founded("twins")
    box, here, there = world.nodes[1:4]
    box.say("web:1/first")
    box.remember()
    twin = Node(world, len(world.nodes), box.key, 0)
    world.nodes.append(twin)
    assert box.snapshot is not None
    twin.go_back(box.snapshot)
    said = {"web:1/first"}
    for number in range(4):
        for node, name in ((box, "box"), (twin, "twin")):
            native = f"web:1/{name}-{number}"
            node.say(native)
            said.add(native)
        world.meet(box, here)
        world.meet(there, twin)
        world.meet(here, there)
    for _ in range(3):
        for node in (box, twin):
            for other in (here, there):
                world.meet(node, other)
        world.meet(here, there)
    assert box.log.feed != twin.log.feed
    for node in (box, twin, here, there):
        assert node.natives() == said
        assert max(node.shown.values()) == 1
    # They say it all by way of the others.
    for node in (box, twin, here, there):
        assert node.exchange.peers.keys() <= {each.id for each in world.nodes} - {node.id}


def test_a_clones_hello_is_answered_and_changes_nothing() -> None:
    world = founded("clone")
    box = world.nodes[1]
    clone = Node(world, len(world.nodes), box.key, 0)
    world.nodes.append(clone)
    clone.start(box.store._db.serialize())
    clone.say("web:1/clone")
    posts = world.posts
    world.meet(clone, box)
    world.meet(box, clone)
    assert world.posts == posts + 2
    assert not box.log.knows("web:1/clone")
    assert box.id not in box.exchange.peers
    assert clone.id not in clone.exchange.peers
    world.meet(clone, world.nodes[2])
    world.meet(world.nodes[2], box)
    assert box.log.knows("web:1/clone")


def test_a_box_that_only_says_that_a_feed_ends_otherwise_changes_nothing() -> None:
    """It has to show it, signed: else a bad one would have us begin feeds until there is no place for more."""
    world = founded("liar")
    box, liar = world.nodes[1:3]
    box.say("web:1/first")
    world.meet(box, liar)
    feed = box.log.feed
    liar.held._state = _lying(liar, feed)
    for _ in range(5):
        world.meet(box, liar)
        liar.held._state = _lying(liar, feed)
    assert box.log.feed == feed
    assert box.counts["feed_begun_anew"] == 0


def test_it_says_again_what_another_lacks_that_dropped_all_it_had_of_the_other_version() -> None:
    """What would show that the feed was written two ways is too old to be kept: then that box's word is enough."""
    world, box, other = rewound(before=3, since=1)
    world.time.passed_s += RETENTION_S + DAY_S
    other.shorten()
    box.say("web:1/late")
    feed = box.log.feed
    for _ in range(3):
        world.meet(box, other)
    assert other.log.knows("web:1/late")
    assert box.log.feed != feed
    box.say("web:1/now")
    world.meet(box, other)
    assert other.log.knows("web:1/now")


def test_so_it_does_if_both_dropped_all_they_had_and_it_wrote_more() -> None:
    world, box, other = rewound(before=1, since=1)
    world.time.passed_s += RETENTION_S + DAY_S
    box.shorten()
    other.shorten()
    box.say("web:1/late")
    for _ in range(3):
        world.meet(box, other)
    assert other.log.knows("web:1/late")


def test_a_box_that_says_it_dropped_more_than_we_wrote_is_believed_once_a_day() -> None:
    """Else one that lies would have us begin feeds until there is no place for more."""
    world = founded("liar of bases")
    box, liar = world.nodes[1:3]
    begun = []
    for _ in range(3):
        for _ in range(5):
            box.say(f"web:1/{len(world.said)}")
            world.meet(box, liar)
            state, feed = liar.held.state, box.log.feed
            more = {feed: state.frontier.get(feed, 0) + 9}
            lies = replace(state, frontier={**state.frontier, **more}, bases={**state.bases, **more}, have="0" * 32)
            liar.held._state = lies
            world.meet(box, liar)
        begun.append(box.counts["feed_begun_anew"])
        world.time.passed_s += DAY_S + 1
    assert begun == [1, 2, 3]


def test_a_line_that_it_says_again_is_not_read_twice_though_its_twin_says_it_too() -> None:
    """What had come from the twin stood behind the box's own words, and was news when those moved to another feed."""
    history(
        [
            Act("rewind", 6, 4, 10),
            Act("rewind", 1, 3, 16),
            Act("meet", 12, 6, 3),
            Act("rewind", 6, 21, 4),
            Act("twin", 6, 10, 19),
        ]
    )


def test_a_box_that_has_to_show_what_it_has_is_not_told_of_what_comes_after_that() -> None:
    """It took us to have all before, too, and showed nothing: while there was anything else it refused, for ever."""
    history(
        [
            Act("rewind", 6, 4, 10),
            Act("rewind", 1, 3, 16),
            Act("meet", 12, 6, 3),
            Act("meet", 12, 21, 10),
            Act("rewind", 1, 13, 12),
            Act("rewind", 1, 8, 3),
            Act("rewind", 6, 21, 4),
            Act("rewind", 1, 5, 9),
            Act("twin", 6, 10, 19),
        ]
    )


@pytest.mark.parametrize("calls", [True, False], ids=["it calls", "it is called"])
def test_it_lets_in_again_whom_it_let_in_where_another_heard_something_else(calls: bool) -> None:
    """It dropped the words, and so did who heard them; who belongs is kept, but not believed by who has others."""
    world = founded(f"twin that lets in {calls}")
    box, here, there, new = *world.nodes[1:4], world.nodes[FOUNDERS]
    box.say("web:1/first")
    box.remember()
    assert box.snapshot is not None
    twin = Node(world, len(world.nodes), box.key, 0)
    world.nodes.append(twin)
    twin.go_back(box.snapshot)
    box.state(Add(key=new.key.public_key().public_bytes_raw(), name="new"))
    box.say("web:1/box")
    world.meet(box, here)
    world.time.passed_s += RETENTION_S + DAY_S
    here.shorten()
    for number in range(3):
        twin.say(f"web:1/twin-{number}")
    world.meet(twin, there)
    for _ in range(2):
        for one, other in ((twin, here), (twin, there), (here, there)):
            world.meet(*((one, other) if calls else (other, one)))
    for node in (here, twin, there):
        assert node.log.roll.is_member(new.id)
    assert here.held.state.believe == twin.held.state.believe == there.held.state.believe
    posts = world.posts
    world.meet(twin, here)
    world.meet(here, there)
    assert world.posts == posts + 2


def test_so_it_does_if_it_is_told_only_that_it_had_written_more() -> None:
    """Neither it nor who says so keeps anything of what it wrote; a third keeps what its twin wrote there."""
    world = founded("told that it had written more")
    box, here, there, new = *world.nodes[1:4], world.nodes[FOUNDERS]
    box.say("web:1/first")
    box.remember()
    assert box.snapshot is not None
    twin = Node(world, len(world.nodes), box.key, 0)
    world.nodes.append(twin)
    twin.go_back(box.snapshot)
    box.state(Add(key=new.key.public_key().public_bytes_raw(), name="new"))
    for number in range(3):
        twin.say(f"web:1/twin-{number}")
    world.meet(twin, here)
    world.time.passed_s += RETENTION_S + DAY_S
    world.meet(twin, there)
    for node in (box, here):
        node.shorten()
    box.say("web:1/late")
    feed = box.log.feed
    world.meet(box, here)
    assert box.log.feed != feed
    world.meet(box, there)
    assert there.log.roll.is_member(new.id)
    assert box.held.state.believe == there.held.state.believe


def test_a_box_that_showed_its_version_and_was_then_put_back_itself_has_the_beginning_again() -> None:
    """We said to have all that it had shown, to be shown it once; its next start had not even what came before."""
    world, box, other = rewound(before=3, since=1)
    empty = world.nodes[3].store._db.serialize()
    world.meet(box, other)
    assert "web:1/first" in other.natives()
    other.start(empty)
    assert "web:1/first" not in other.natives()
    for _ in range(2):
        world.meet(box, other)
    assert other.natives() == box.natives()


def test_of_two_that_run_as_one_box_each_hears_the_beginning_of_a_feed_that_the_other_showed() -> None:
    history([Act("say", 9, 3, 16), Act("rewind", 9, 2, 15), Act("twin", 9, 5, 17), Act("clone", 0, 14, 15)])


def test_an_event_of_ours_that_another_signed_changes_nothing() -> None:
    world = founded("forger")
    box, forger = world.nodes[1:3]
    box.say("web:1/first")
    feed = box.log.feed
    forged = written(forger.key, feed=feed, seq=2, hlc=BEGAN_MS, previous=b"\1" * 16, native="web:1/x", body="{}")
    found = box.log.reclaim([forged], {}, BEGAN_MS, start=lambda: 7)
    assert found.left == [forged]
    assert not found.is_begun
    assert box.log.feed == feed


@pytest.mark.parametrize(
    "kinds",
    ["say rewind meet say rewind say", "rewind say meet rewind meet kill say", "say twin meet say twin meet rewind"],
)
def test_after_a_history_of_it_all_have_everything(kinds: str) -> None:
    history([Act(kind, n % BOXES, n * 7 % BOXES, n * 3) for n in range(8) for kind in kinds.split()])


def _lying(node: Node, feed: FeedId) -> State:
    run(node.held.write(lambda log: None))
    state = node.held.state
    return replace(state, heads={**state.heads, feed: b"\2" * 16})
