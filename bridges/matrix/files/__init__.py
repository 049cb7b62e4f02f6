# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that people send in rooms, fetched by those on the LAN through links the gateway makes."""
