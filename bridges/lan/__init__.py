# SPDX-License-Identifier: GPL-3.0-or-later
"""The bridge to the LAN mesh: boxes that have one log together, and people on the Wi-Fi with a browser."""
