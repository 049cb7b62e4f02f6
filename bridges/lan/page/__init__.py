# SPDX-License-Identifier: GPL-3.0-or-later
"""The chat page: any browser on the Wi-Fi, with no account, and no script where there is none."""

from bridges.lan.page.app import Page
from bridges.lan.page.settings import PageSettings

__all__ = ["Page", "PageSettings"]
