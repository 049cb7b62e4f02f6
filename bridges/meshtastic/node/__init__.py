# SPDX-License-Identifier: GPL-3.0-or-later
"""A node of our own in software, on the Meshtastic LAN mesh: what `connection = "udp:IFACE"` talks to.

It speaks to its client, our bridge, as a radio's firmware does (`FromRadio`, `ToRadio`), so that everything
above the port is the same with a radio and without. Pure: `crypto`, `channels`, `wire`, `codebook`, `roster`,
`sent`, `seen`, `bucket`, `identity`, `announcing`, `introducing`, `greeting`, `router`, `firmware`. With I/O:
`keeping` (what it keeps on disk), `interfaces` and `multicast` (sockets), `port` (all of it as a line to a radio),
`own` (from its configuration).

Importing this package and `setup`, its part of the configuration, loads neither protobufs nor cryptography.
"""
