# SPDX-License-Identifier: GPL-3.0-or-later
"""One package per network. None knows another; all import only `gateway.model`."""
