# SPDX-License-Identifier: GPL-3.0-or-later
"""Crossband's core. It knows no network: bridges are found through entry points."""
