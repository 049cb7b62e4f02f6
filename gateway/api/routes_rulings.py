# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may what: the file's rules, those made in chats, and who is muted."""

from __future__ import annotations

from fastapi import APIRouter

from gateway.api.deps import View
from gateway.api.schemas_rulings import MuteOut, RulingOut

router = APIRouter(prefix="/api/v1", tags=["permissions"])


@router.get("/permissions")
async def permissions(view: View) -> list[RulingOut]:
    """Return the file's rules, those that beat others first, then the rules made in chats."""
    return [
        RulingOut(
            pattern=one.rule.pattern,
            level=one.rule.level.name.lower(),
            source="chat" if one.rule.in_chat else "file",
            by=one.by,
            at_ms=one.at_ms,
            overruled=one.rule.overruled,
        )
        for one in view.rulings.rulings()
    ]


@router.get("/mutes")
async def mutes(view: View) -> list[MuteOut]:
    """Return who is muted, the oldest mute first."""
    now = view.clock.monotonic()
    return [
        MuteOut(
            sender=one.sender,
            by=one.by,
            at_ms=one.at_ms,
            for_s=one.for_s,
            left_s=one.left_s(now),
            ban=one.ban,
            box=one.box,
        )
        for one in view.rulings.mutes()
    ]
