# SPDX-License-Identifier: GPL-3.0-or-later
"""The bridge to the LAN mesh: boxes that have one log together, and people on the Wi-Fi with a browser.

Where to look. (p): pure, with time and chance as arguments.

=================================== ================================================================================
One event, and the order of all     event (p), hlc (p), fields (p)
What is written into one            entries (p), contents (p), emissions (p), verdicts (p), statements (p)
Who belongs                         membership (p), believing (p), community, identity, pairing (p), joining
The log, and the disk it is on      log, feeds, batch, reclaiming (p), store, schemas, opening, keeping,
                                    held (its thread)
What two boxes say to become equal  wire (p), peer (p), conduct (p), exchange, own, refilling
Sockets to other boxes              mesh opens all (mesh_settings): tls, server, reception, patience, staying,
                                    answering, caller, links
Who is there, and where             presence (p), addresses (p), zones, lookout, discovery
Who of several boxes speaks         turns (p), beginnings (p), chorus, ledger
What boxes decide of people         concord
The bridge, as the core has it      making chooses: bridge; meshed and paged add to it. shared is what they ask of
                                    a log: mesh or alone. inward (p), introductions, config (p)
`crossband lan`                     commands, and administration at the running gateway
What was said, as rooms have it     diary, transcript (p), times (p), chronicle, lately (p), reading,
                                    followers
The chat, as the page asks it       hall is what it asks, chat answers: rooms, speech, private, slash, people (p),
                                    chats, places (p), limits (p), pricing (p), page_rules (p)
Nicknames, and who holds them       nicknames (p), admission, holders, behind
The page itself                     page/app and what it names; announcing, responder, page_name (p)
=================================== ================================================================================

From a page to other boxes: page/speaking, `ChatHall.say`, `Diary.write`, `Mesh.append`, `Log.append`; `Links` tell.
From there to the core: `Exchange.take`, `Log.take`, `LanBridge.receive` by arrival; to pages: `Diary.catch_up`.
"""

from __future__ import annotations

from bridges.lan.config import apart, check
from bridges.lan.places import is_direct, malformed
from gateway.model import Bridge, BridgeContext, BridgeKind

__all__ = ["kind"]


def _create(context: BridgeContext) -> Bridge:
    # Keys and certificates cost memory: only a gateway that has the LAN pays for them, and a page for its templates.
    from bridges.lan.making import make  # noqa: PLC0415

    return make(context)


kind = BridgeKind(
    create=_create,
    check=check,
    apart=apart,
    is_direct=is_direct,
    malformed=malformed,
    acknowledges=False,
    between_boxes=True,
)
