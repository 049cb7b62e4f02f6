# SPDX-License-Identifier: GPL-3.0-or-later
"""All the API knows of the gateway; `gateway.service` implements it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from gateway.config import Settings
from gateway.costs import Price
from gateway.journal import Accepted, DeadLetters, Journal, Seen
from gateway.metrics import Metrics
from gateway.model import Address, Adjustable, Asking, BridgeName, Clock, DeliveryId, Message, Node, Topic
from gateway.outbox.outbox import Outbox
from gateway.outlook import Outlook
from gateway.redrive import Redrives
from gateway.routing import Route
from gateway.rulings import Rulings
from gateway.status import BridgeStatus, DryPart, EventHub, JournalStatus, QueueStatus


class GatewayView(Protocol):
    """The running gateway, as the API sees it.

    Calls that reach the stores raise JournalError or OutboxError; the API answers 503 with the reason.
    """

    @property
    def settings(self) -> Settings:
        """The configuration it runs by."""
        ...

    @property
    def journal(self) -> Journal:
        """For reading only."""
        ...

    @property
    def outbox(self) -> Outbox:
        """For reading only."""
        ...

    @property
    def clock(self) -> Clock:
        """The gateway's own."""
        ...

    @property
    def started_ms(self) -> int:
        """When it started, by its clock."""
        ...

    @property
    def rulings(self) -> Rulings:
        """Who may what, and who is muted."""
        ...

    @property
    def events(self) -> EventHub:
        """What happens, as it happens; closed first when the gateway stops."""
        ...

    @property
    def metrics(self) -> Metrics:
        """What it counts itself."""
        ...

    def bridges(self) -> Sequence[BridgeStatus]:
        """Every configured bridge, in the order of the file."""
        ...

    async def outlooks(self) -> Mapping[BridgeName, Outlook]:
        """How long what waits will take, of each bridge that schedules."""
        ...

    def queue_state(self) -> QueueStatus:
        """Whether the queue can be used."""
        ...

    def journal_state(self) -> JournalStatus:
        """Whether messages can be accepted: up is what `/readyz` means by ready."""
        ...

    def dropped(self) -> Mapping[str, int]:
        """How many records (never messages) were dropped at a limit, by kind."""
        ...

    def routes(self) -> Sequence[Route]:
        """Every route: the configuration's, then those made in chats."""
        ...

    def asking(self) -> Sequence[Asking]:
        """Who asks to be heard on radio and has no answer yet."""
        ...

    async def command(self, words: str, where: str) -> str:
        """Do what a command of moderation says, by the operator's word; Declined, with the reason."""
        ...

    def adjustable(self, name: BridgeName) -> Adjustable | None:
        """A configured bridge whose far side has settings of its own; None if that one's has none."""
        ...

    def nodes(self) -> Sequence[tuple[BridgeName, Node]]:
        """Everyone the bridges know of."""
        ...

    async def submit(self, message: Message, *, only: Address | None, route: str | None) -> Accepted | Seen:
        """Journal a message for exactly one address, or for all of one route. Both exist."""
        ...

    async def dry_run(self, text: str, route: str, topic: Topic = Topic.TALK) -> Sequence[DryPart]:
        """Return what would be sent, and send nothing."""
        ...

    @property
    def redrives(self) -> Redrives:
        """Sends many dead letters again, at a pace."""
        ...

    async def price(self, which: DeadLetters) -> Price:
        """Return what sending these dead letters again would cost, and send nothing."""
        ...

    async def redrive(self, ids: Sequence[DeliveryId]) -> tuple[DeliveryId, ...]:
        """Send dead letters again; return those there were."""
        ...

    async def drop(self, ids: Sequence[DeliveryId]) -> tuple[DeliveryId, ...]:
        """Forget dead letters for good; return those there were."""
        ...

    async def cancel(self, ids: Sequence[DeliveryId]) -> tuple[DeliveryId, ...]:
        """Take deliveries that wait off the queue; return those that were not on their way yet."""
        ...

    async def retry(
        self, *, destination: BridgeName | None = None, ids: Sequence[DeliveryId] = ()
    ) -> tuple[BridgeName, ...]:
        """Try now what is backed off: of one destination, of these deliveries, or (neither) all; say where."""
        ...
