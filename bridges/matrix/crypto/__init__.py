# SPDX-License-Identifier: GPL-3.0-or-later
"""End-to-end encrypted rooms: one device of the account's own, cross-signed.

`encryption` is what the bridge talks to. `machine` alone knows matrix-nio's objects; it is imported
only where the configuration allows encrypted rooms, and everybody else pays nothing.
"""
