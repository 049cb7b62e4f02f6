# SPDX-License-Identifier: GPL-3.0-or-later
"""Moderation: who asks to be heard on radio, which rooms are slow, what is decided of people, and by whom."""

from __future__ import annotations

from fastapi import APIRouter, HTTPException, Request

from gateway.api.deps import Before, Limit, View
from gateway.api.schemas_rulings import ApprovalOut, AuditPage, CommandIn, CommandOut, DeedOut, SlowOut
from gateway.desk.commands import find
from gateway.desk.words import parse
from gateway.model import Declined, Level

router = APIRouter(prefix="/api/v1", tags=["moderation"])


@router.get("/approvals")
async def approvals(view: View) -> list[ApprovalOut]:
    """Return who asks to be heard on radio and has no answer yet, who asked first at the head."""
    return [ApprovalOut(sender=one.sender, since_ms=one.since_ms) for one in view.asking()]


@router.get("/slow")
async def slow(view: View) -> list[SlowOut]:
    """Return the rooms of whose pace something was decided while the gateway ran."""
    return [
        SlowOut(room=str(one.room), every_s=one.every_s, by=one.by, at_ms=one.at_ms, box=one.box)
        for one in view.rulings.slow_rooms()
    ]


@router.get("/audit")
async def audit(view: View, before: Before = None, limit: Limit = 100) -> AuditPage:
    """Return who decided what, when, where and why; the latest first."""
    found = await view.rulings.audit(before, limit)
    deeds = [
        DeedOut(
            number=one.number,
            what=one.what,
            about=one.about,
            detail=one.detail,
            by=one.by,
            at_ms=one.at_ms,
            where=one.where,
            why=one.why,
        )
        for one in found
    ]
    return AuditPage(
        audit=deeds, next_before=found[-1].number if len(found) == limit and found[-1].number > 1 else None
    )


@router.post("/commands")
async def command(asked: CommandIn, view: View, request: Request) -> CommandOut:
    """Do what a command of moderation says, in the words of chats: ``slow town 30s``, ``mute ~ali@hilltop for 1h``.

    allow, approve, ban, forget, mute, refuse, silence, slow, unban, unmute and unsilence; the audit has it.
    """
    where = "command line" if request.app.state.local else "API"
    try:
        is_moderation = find(parse(asked.command).name, Level.ADMIN).moderates
        answer = await view.command(asked.command, where) if is_moderation else None
    except Declined as declined:
        raise HTTPException(409, str(declined)) from declined
    if answer is None:
        raise HTTPException(422, "that is no command of moderation: it has an endpoint of its own")
    return CommandOut(answer=answer)
