# SPDX-License-Identifier: GPL-3.0-or-later
"""The durable queue between journal and bridges: one protocol, Redis or memory under it."""
