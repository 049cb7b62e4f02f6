# SPDX-License-Identifier: GPL-3.0-or-later
"""The HTTP API, its documentation and the console."""

from gateway.api.app import create_app
from gateway.api.gateway import GatewayView

__all__ = ["GatewayView", "create_app"]
