# SPDX-License-Identifier: GPL-3.0-or-later
"""How our node's channels are spelled: as the configuration does that routes them. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from bridges.meshtastic import places
from bridges.meshtastic.station import Station
from gateway.model import NotThere, RoutedConversation


class Spelling:
    """The conversations that are routed, against the channels that the node told of."""

    def __init__(self, station: Station, conversations: Sequence[RoutedConversation]) -> None:
        self._station = station
        self.routed: tuple[str, ...] = ()
        """The names of the conversations that are routed."""
        self.reroute(conversations)

    def reroute(self, conversations: Sequence[RoutedConversation]) -> None:
        """Spell channels as these do from now on."""
        self.routed = tuple(each.name for each in conversations)

    def conversations(self) -> Sequence[str]:
        """Return our node's channels, as they are spelled."""
        channels = self._station.channels
        return [places.spelling(index, channels, self.routed) for index in channels]

    def spelled(self, conversation: str) -> str:
        """Return how a channel is spelled, of whose names or index this is one."""
        channels = self._station.channels
        try:
            place = places.find(conversation, channels)
        except NotThere:
            return conversation
        return conversation if place.is_direct else places.spelling(place.channel, channels, self.routed)
