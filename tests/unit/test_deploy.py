# SPDX-License-Identifier: GPL-3.0-or-later
"""deploy/: the example, the units, the udev rules and what makes an access point are what they say."""

from __future__ import annotations

import configparser
import ipaddress
import os
import re
import shutil
import subprocess
from functools import partial
from pathlib import Path

import pytest

from bridges.lan.page.probes import PROBES
from gateway.config import load
from gateway.model import BridgeKind
from gateway.registry import Registry

DEPLOY = Path(__file__).parents[2] / "deploy"
ACCESS_POINT = DEPLOY / "access-point"


def _any(name: str) -> BridgeKind:
    return BridgeKind(create=lambda _: pytest.fail(f"{name} is not built"), check=lambda _: frozenset())


def test_the_example_is_a_configuration(tmp_path: Path) -> None:
    registry = Registry({name: partial(_any, name) for name in ("matrix", "meshtastic", "lan")})

    settings = load(DEPLOY / "crossband.toml", {}, registry=registry)

    assert [route.name for route in settings.routes] == ["town", "warnings"]


def test_the_examples_commented_keys_are_defaults_that_may_be_uncommented(tmp_path: Path) -> None:
    registry = Registry({name: partial(_any, name) for name in ("matrix", "meshtastic", "lan")})
    text = re.sub(r"^#(?=\w+ = )", "", (DEPLOY / "crossband.toml").read_text(), flags=re.MULTILINE)
    (tmp_path / "all.toml").write_text(text)

    every, example = (
        load(tmp_path / "all.toml", {}, registry=registry),
        load(DEPLOY / "crossband.toml", {}, registry=registry),
    )

    assert every.journal == example.journal
    assert every.log == example.log
    assert every.emergency == example.emergency
    assert every.api.listen == example.api.listen
    assert every.queue.max_bytes == example.queue.max_bytes
    for bridge in every.bridges.values():
        assert Registry.installed().kind(bridge.kind).check(bridge.table)


def test_the_unit_notifies_and_is_watched_and_does_not_restart_on_a_wrong_configuration() -> None:
    lines = set((DEPLOY / "crossband.service").read_text().splitlines())

    assert {"Type=notify", "WatchdogSec=60", "RestartPreventExitStatus=2", "NoNewPrivileges=yes"} <= lines
    assert {"PrivateDevices=no", "DevicePolicy=closed", "CapabilityBoundingSet="} <= lines


@pytest.mark.parametrize(
    "name",
    [
        "crossband.service",
        "crossband-page.socket",
        "access-point/crossband-upstream.service",
        "access-point/crossband-upstream.timer",
    ],
)
def test_systemd_takes_the_unit(tmp_path: Path, name: str) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd-analyze is part of systemd, which a container may lack")
    for unit in (*DEPLOY.glob("*.service"), *DEPLOY.glob("*.socket"), *ACCESS_POINT.glob("*.*er*")):
        text = re.sub(r"(?m)^ExecStart=\S+", f"ExecStart={shutil.which('true')}", unit.read_text())
        (tmp_path / unit.name).write_text(text)

    own = (tmp_path / name).name
    done = subprocess.run([analyze, "verify", tmp_path / own], capture_output=True, text=True, check=False, timeout=60)

    assert own not in done.stderr, done.stderr


def test_the_socket_unit_opens_the_pages_port_for_the_gateways_unit() -> None:
    lines = set((DEPLOY / "crossband-page.socket").read_text().splitlines())

    assert {"ListenStream=80", "BindIPv6Only=both", "Service=crossband.service", "WantedBy=sockets.target"} <= lines


def _settings(name: str) -> list[tuple[str, str]]:
    """Return the keys and values of an access point's file, in its order."""
    lines = (ACCESS_POINT / name).read_text().splitlines()
    given = [line for line in lines if line and not line.startswith("#")]
    return [(key, value) for key, _, value in (line.partition("=") for line in given)]


def test_devices_are_led_to_the_page_at_exactly_the_hosts_whose_probes_it_answers() -> None:
    settings = _settings("crossband-probes.conf")
    led = [value.strip("/").split("/") for key, value in settings if key == "address"]
    (local,) = [value.strip("/").split("/") for key, value in settings if key == "local"]

    assert [host for host, _ in led] == list(PROBES) == local
    assert {key for key, _ in settings} == {"address", "local", "local-ttl"}
    assert len({at for _, at in led}) == 1


def test_all_of_the_access_point_says_the_same_address_and_interface() -> None:
    connection = configparser.ConfigParser()
    connection.read(ACCESS_POINT / "hilltop.nmconnection")
    shared = ipaddress.ip_interface(connection["ipv4"]["address1"])
    names = dict(_settings("dnsmasq.conf"))
    first, last, mask, _ = names["dhcp-range"].split(",")

    for at in (*(value for key, value in _settings("crossband-probes.conf") if key == "address"), names["address"]):
        assert at.endswith(f"/{shared.ip}")
    assert str(shared.netmask) == mask
    assert all(ipaddress.ip_address(at) in shared.network for at in (first, last))
    assert (
        connection["connection"]["interface-name"] == names["interface"] == dict(_settings("hostapd.conf"))["interface"]
    )
    assert connection["wifi"]["mode"] == "ap"
    assert connection["wifi"]["ssid"] == dict(_settings("hostapd.conf"))["ssid"]


@pytest.mark.parametrize("name", ["dnsmasq.conf", "crossband-probes.conf"])
def test_dnsmasq_takes_the_snippet(name: str) -> None:
    dnsmasq = shutil.which("dnsmasq", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if dnsmasq is None:
        pytest.skip("dnsmasq is not installed")
    done = subprocess.run(
        [dnsmasq, "--test", "-C", ACCESS_POINT / name], capture_output=True, text=True, check=False, timeout=60
    )

    assert done.returncode == 0, done.stderr


def test_the_chat_is_announced_while_there_is_no_internet_and_only_then(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "dnsmasq.d").mkdir()
    ping = tmp_path / "bin" / "ping"
    ping.write_text(f"#!/bin/sh\n[ -e {tmp_path}/up ]\n")
    ping.chmod(0o755)
    probes = ACCESS_POINT / "crossband-probes.conf"

    def look() -> tuple[str, bool]:
        command = ["sh", ACCESS_POINT / "crossband-upstream", probes, tmp_path / "dnsmasq.d", "echo", "again"]
        path = f"{tmp_path}/bin:{os.environ['PATH']}"
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60, env={"PATH": path})
        return done.stdout.strip(), (tmp_path / "dnsmasq.d" / probes.name).exists()

    assert [look(), look()] == [("again", True), ("", True)]
    (tmp_path / "up").touch()
    assert [look(), look()] == [("again", False), ("", False)]


def test_every_board_of_the_udev_rules_is_let_in_and_kept_from_modem_manager() -> None:
    text = (DEPLOY / "70-crossband.rules").read_text()
    rules = [line for line in text.splitlines() if line and not line.startswith("#")]
    boards = [line for line in rules if "idVendor" in line]

    assert len(boards) == len(set(boards))
    assert all('GOTO="crossband_allow"' in line or 'ENV{CROSSBAND_RADIO}="1"' in line for line in boards)
    assert set(re.findall(r'GOTO="(\w+)"', text)) == set(re.findall(r'LABEL="(\w+)"', text))
    (allow,) = [line for line in rules if "GROUP=" in line]
    for part in ('GROUP="dialout"', 'MODE="0660"', 'ENV{ID_MM_DEVICE_IGNORE}="1"', 'TAG+="uaccess"'):
        assert part in allow
