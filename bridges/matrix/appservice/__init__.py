# SPDX-License-Identifier: GPL-3.0-or-later
"""Appservice mode: people on radios and on the LAN are users of the homeserver, each under their own name."""
