# SPDX-License-Identifier: GPL-3.0-or-later
"""A simulated node's settings, as the firmware's source has them: queue, transactions, restarts, passkey."""

from __future__ import annotations

import pytest
from meshtastic.protobuf.admin_pb2 import AdminMessage
from meshtastic.protobuf.config_pb2 import Config
from meshtastic.protobuf.mesh_pb2 import Data, MeshPacket, Routing, User
from meshtastic.protobuf.portnums_pb2 import PortNum

from bridges.sim.packets import routing_error
from tests.unit.test_sim_node import OWN, Client, World

LoRa = Config.LoRaConfig
LORA = AdminMessage.ConfigType.LORA_CONFIG


class Operator:
    """A client that gives orders."""

    def __init__(self):
        self.world = World()
        self.client = Client(self.world)
        self.client.connect()
        self.admin = self.world.node.admin
        self.ids = iter(range(100, 10_000))

    def order(self, *, wait_s=0.5, passkey=b"", **fields):
        order = AdminMessage(session_passkey=passkey, **fields)
        packet = MeshPacket(to=OWN, id=next(self.ids))
        payload = order.SerializeToString()
        packet.decoded.CopyFrom(Data(portnum=PortNum.ADMIN_APP, payload=payload, want_response=True))
        self.client.ask(packet=packet)
        self.world.advance(wait_s)
        said = [each.packet for each in self.client.read() if each.HasField("packet")]
        return [each for each in said if each.decoded.request_id == packet.id]

    def lora(self, **fields):
        config = Config()
        config.CopyFrom(self.admin.now_set.sections["lora"])
        for name, value in fields.items():
            setattr(config.lora, name, value)
        return config

    def told(self, answers):
        (answer,) = answers
        return AdminMessage.FromString(answer.decoded.payload)


@pytest.fixture
def operator():
    return Operator()


def test_settings_are_told_with_a_passkey(operator):
    told = operator.told(operator.order(get_config_request=LORA))

    assert told.get_config_response.lora.region == LoRa.US
    assert len(told.session_passkey) == 8
    assert operator.told(operator.order(get_owner_request=True)).get_owner_response.long_name == "Hilltop gateway"
    assert operator.told(operator.order(get_channel_request=2)).get_channel_response.settings.name == "Town"


def test_of_five_orders_at_once_the_oldest_is_dropped_without_a_word(operator):
    for index in range(6):
        operator.order(wait_s=0.0, get_channel_request=index + 1)
    operator.world.advance(5.0)

    assert operator.admin.dropped == 2
    assert len([each for each in operator.client.read() if each.HasField("packet")]) == 4


def test_an_order_alone_is_saved_at_once_and_the_node_restarts_7_s_later(operator):
    (taken,) = operator.order(set_config=operator.lora(modem_preset=LoRa.SHORT_FAST))
    assert routing_error(taken) == Routing.NONE
    assert operator.admin.saved.sections["lora"].lora.modem_preset == LoRa.SHORT_FAST
    operator.world.advance(6.0)
    assert operator.world.node.radio.is_on
    operator.world.advance(1.5)
    assert not operator.world.node.radio.is_on
    operator.world.advance(2.0)
    assert any(each.HasField("rebooted") for each in operator.client.read())


def test_what_is_not_committed_is_gone_after_a_restart(operator):
    operator.order(begin_edit_settings=True)
    operator.order(set_config=operator.lora(hop_limit=7))
    operator.order(set_owner=User(long_name="Summit"))
    assert operator.admin.now_set.sections["lora"].lora.hop_limit == 7
    assert operator.admin.saved.sections["lora"].lora.hop_limit == 3
    operator.world.node.reboot(operator.world.now)

    assert operator.admin.now_set.sections["lora"].lora.hop_limit == 3
    assert operator.admin.now_set.owner.long_name == "Hilltop gateway"
    assert not operator.admin.is_open


def test_a_commit_saves_all_and_restarts_once(operator):
    operator.order(begin_edit_settings=True)
    operator.order(set_config=operator.lora(hop_limit=7))
    operator.order(set_owner=User(long_name="Summit"))
    operator.order(commit_edit_settings=True)

    assert operator.admin.saved.sections["lora"].lora.hop_limit == 7
    assert operator.admin.saved.owner.long_name == "Summit"


def test_a_passkey_is_asked_for_where_the_firmware_asks_everybody(operator):
    operator.admin.demands_passkey = True
    (refused,) = operator.order(set_owner=User(short_name="SUM"))
    assert routing_error(refused) == Routing.Error.ADMIN_BAD_SESSION_KEY
    passkey = operator.told(operator.order(get_owner_request=True)).session_passkey
    (taken,) = operator.order(set_owner=User(short_name="SUM"), passkey=passkey)

    assert routing_error(taken) == Routing.NONE
    assert operator.admin.saved.owner.short_name == "SUM"


def test_a_managed_node_says_nothing(operator):
    operator.admin.now_set.sections["security"].security.is_managed = True

    assert operator.order(get_owner_request=True) == []


def test_a_first_region_turns_the_transmitter_on_and_a_limited_one_ignores_mqtt(operator):
    operator.order(set_config=operator.lora(region=LoRa.UNSET))
    assert not operator.world.node.tx_enabled
    operator.order(set_config=operator.lora(region=LoRa.EU_868, tx_enabled=False))
    lora = operator.admin.saved.sections["lora"].lora

    assert (lora.tx_enabled, lora.ignore_mqtt, operator.world.node.tx_enabled) == (True, True, True)


def test_a_region_that_is_not_allowed_is_not_taken_and_nobody_is_told(operator):
    operator.admin.refused_regions = {"LORA_24"}
    (answer,) = operator.order(set_config=operator.lora(region=LoRa.LORA_24))

    assert routing_error(answer) == Routing.NONE
    assert operator.admin.saved.sections["lora"].lora.region == LoRa.US


def test_an_unknown_order_is_refused(operator):
    (answer,) = operator.order(shutdown_seconds=1)

    assert routing_error(answer) == Routing.Error.BAD_REQUEST
