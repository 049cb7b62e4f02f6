# SPDX-License-Identifier: GPL-3.0-or-later
"""Managing the gateway from Matrix rooms: commands, bridging rooms, direct chats, a Space."""
