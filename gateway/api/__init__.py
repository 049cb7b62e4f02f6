# SPDX-License-Identifier: GPL-3.0-or-later
"""The HTTP API, its documentation and the console."""

from gateway.api.app import create_app
from gateway.api.gateway import API_ADDRESS, GatewayView

__all__ = ["API_ADDRESS", "GatewayView", "create_app"]
