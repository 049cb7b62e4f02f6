# SPDX-License-Identifier: GPL-3.0-or-later
"""The front desk: what people ask of the gateway in chats, whatever network they ask from."""

from gateway.desk.front import FrontDesk
from gateway.desk.visit import Joining, Running

__all__ = ["FrontDesk", "Joining", "Running"]
