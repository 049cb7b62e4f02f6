# SPDX-License-Identifier: GPL-3.0-or-later
"""gateway.config: one file becomes Settings, or an error that names file, line, key and mend."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from gateway.config import InvalidConfig, Settings, control_socket, find, load
from gateway.emergency import EmergencyRules
from gateway.model import Address, BridgeKind, BridgeName, ConfigError, Level, SenderId, Topic
from gateway.registry import Registry

GOOD = """\
[gateway]
name = "hilltop"
data_dir = "data"

[bridges.home]
kind = "town"
homeserver = "https://matrix.example.org"
access_token_file = "secrets/matrix.token"

[bridges.radio]
kind = "air"
port = "serial:auto"
direct = "home/#town:example.org"

[[routes]]
name = "town"
join = ["home/#town:example.org", "radio/LongFast"]
expires = { radio = "6h" }
digest_after = { radio = "10m" }

[[routes]]
name = "warnings"
from = ["home/#warnings:example.org"]
to = ["radio/LongFast"]

[permissions]
"*" = "read"
"@*:example.org" = "transmit"
"@operator:example.org" = "admin"
"""


def _check(table: Mapping[str, Any]) -> frozenset[str]:
    if table.get("port") == "bad":
        raise ConfigError("'bad' is not a port", key="port", mend="Write serial:auto")
    return frozenset({str(table["port"])} if "port" in table else ())


def _never(_context: object) -> Any:
    raise AssertionError("a configuration is read without building bridges")


KINDS = {
    "town": BridgeKind(
        create=_never,
        check=_check,
        path_keys=frozenset({"store"}),
        malformed=lambda conversation: "" if conversation.startswith("#") else f"{conversation!r} is no room",
    ),
    "air": BridgeKind(create=_never, check=_check, in_clear=True),
    "boxes": BridgeKind(
        create=_never, check=_check, between_boxes=True, is_direct=lambda conversation: conversation.startswith("~")
    ),
}
REGISTRY = Registry({name: lambda kind=kind: kind for name, kind in KINDS.items()})  # type: ignore[misc]

Load = Callable[..., Settings]


@pytest.fixture
def read(tmp_path: Path) -> Load:
    def read(text: str = GOOD, **environ: str) -> Settings:
        path = tmp_path / "crossband.toml"
        path.write_text(text, encoding="utf-8")
        return load(path, environ, registry=REGISTRY)

    return read


def _told(read: Load, text: str, **environ: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read(text, **environ)
    return [line.rpartition("/crossband.toml")[2] for line in str(caught.value).splitlines()]


def test_a_whole_file_becomes_settings(read: Load, tmp_path: Path) -> None:
    settings = read()

    assert settings.gateway.name == "hilltop"
    assert settings.gateway.data_dir == tmp_path / "data"
    assert settings.bridges[BridgeName("radio")].direct == Address.parse("home/#town:example.org")
    assert settings.bridges[BridgeName("radio")].table["port"] == "serial:auto"
    town, warnings = settings.routes
    assert town.sources == town.targets == tuple(map(Address.parse, ("home/#town:example.org", "radio/LongFast")))
    assert town.expires_s == {"radio": 6 * 3600}
    assert town.digest_after_s == {"radio": 600}
    assert [str(one) for one in warnings.sources] == ["home/#warnings:example.org"]
    assert settings.permissions.level_of(SenderId("@ali:example.org")) is Level.TRANSMIT


def test_little_is_needed(read: Load) -> None:
    settings = read('[gateway]\nname = "box"\n')

    assert settings.queue.url == "embedded"
    assert settings.queue.fsync == "everysec"
    assert settings.api.listen == "127.0.0.1:8080"
    assert settings.journal.age_s == 7 * 86400
    assert settings.log.format == "auto"
    assert settings.gateway.data_dir == Path("/var/lib/crossband")
    assert settings.permissions.level_of(SenderId("anyone")) is Level.TRANSMIT


def test_file_keys_and_path_keys_are_relative_to_the_file(read: Load, tmp_path: Path) -> None:
    table = read(GOOD.replace("homeserver =", 'store = "keys"\nhomeserver =')).bridges[BridgeName("home")].table

    assert table["access_token_file"] == str(tmp_path / "secrets/matrix.token")
    assert table["store"] == str(tmp_path / "keys")


def test_a_secret_may_be_a_systemd_credential(read: Load) -> None:
    text = GOOD.replace("secrets/matrix.token", "credential:matrix.token")

    settings = read(text, CREDENTIALS_DIRECTORY="/run/credentials/x")

    table = settings.bridges[BridgeName("home")].table
    assert table["access_token_file"] == "/run/credentials/x/matrix.token"
    (line,) = _told(read, text)
    assert line.startswith(":8: bridges.home.access_token_file: ")
    assert "$CREDENTIALS_DIRECTORY" in line


def test_a_data_dir_too_deep_for_sockets_gets_a_short_run_dir(read: Load) -> None:
    deep = "/" + "d" * 90
    first, second = (read(GOOD.replace('"data"', f'"{deep}{n}"')).gateway for n in (1, 1))

    assert len(str(first.control_socket)) <= 100
    assert first.run_dir == second.run_dir
    assert read().gateway.control_socket.name == "control.sock"


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ('name = "hilltop"', "", ":1: gateway.name: is missing. Name this box"),
        ('name = "hilltop"', 'name = "a b"', ":2: gateway.name: 'a b' can't be the name of a box. Use up to"),
        ('data_dir = "data"', 'data_dri = "data"', ":3: gateway.data_dri: unknown key. Did you mean 'data_dir'?"),
        (
            'kind = "air"',
            'kind = "sea"',
            ":11: bridges.radio.kind: there is no kind of bridge called 'sea'. Known kinds: ",
        ),
        ('kind = "air"\n', "", ":10: bridges.radio.kind: is missing. Known kinds: air, boxes, town"),
        ('"serial:auto"', '"bad"', ":12: bridges.radio.port: 'bad' is not a port. Write serial:auto"),
        ('direct = "home/', 'direct = "hoem/', ":13: bridges.radio.direct: there is no bridge called 'hoem'. "),
        ('direct = "home/#town:example.org"', 'direct = "home"', ":13: bridges.radio.direct: 'home' is not an address"),
        ('direct = "home/#town', 'direct = "home/town', ":13: bridges.radio.direct: 'town:example.org' is no room. "),
        ('from = ["home/#', 'from = ["home/', ":23: routes[1].from[0]: 'warnings:example.org' is no room. Write one"),
        ("[bridges.radio]", "[bridges.api]", ":10: bridges.api: 'api' can't be the name of a bridge. "),
        (
            '"radio/LongFast"]\nexp',
            '"raido/LongFast"]\nexp',
            ":17: routes[0].join[1]: there is no bridge called 'raido'",
        ),
        ('"radio/LongFast"]\nexp', '"LongFast"]\nexp', ":17: routes[0].join[1]: 'LongFast' is not an address. Write "),
        ('radio = "6h"', 'radio = "6 hours"', ":18: routes[0].expires.radio: '6 hours' is not a duration. Write 30s"),
        ('radio = "6h"', 'lan = "6h"', ":18: routes[0].expires.lan: this route doesn't go there. Bridges it goes to: "),
        ('to = ["radio', 'also = ["sensor"]\nto = ["radio', ":24: routes[1].also[0]: 'sensor' is nothing a route can "),
        (
            'to = ["radio',
            'also = ["talk"]\nto = ["radio',
            ":24: routes[1].also[0]: 'talk' is nothing a route can carry",
        ),
        ('to = ["radio', 'also = true\nto = ["radio', ":24: routes[1].also: "),
        ('name = "warnings"', 'name = "town"', ":22: routes[1].name: there is another route called 'town'. "),
        ('to = ["radio/LongFast"]', "", ":21: routes[1].to: is missing. A one-way route has both from and to"),
        ('to = ["radio', 'join = ["radio', ":24: routes[1].join: a route has either join or from and to"),
        ('"*" = "read"', '"*" = "raed"', ":27: permissions.\"*\": 'raed' is not a permission. Write one of none, read"),
        ("[permissions]", "[permission]", ":26: permission: unknown key. Did you mean 'permissions'?"),
        ("[permissions]", '[api]\nlisten = "0.0.0.0:80"\n[permissions]', ":27: api.listen: 0.0.0.0:80 can be reached"),
        ("[permissions]", '[api]\nlisten = "8080"\n[permissions]', ":27: api.listen: '8080' is not an address to lis"),
        ("[permissions]", '[queue]\nurl = "http://x"\n[permissions]', ":27: queue.url: it is neither 'embedded' nor "),
        (
            "[permissions]",
            '[queue]\nurl = "redis+sentinel://a:1,b:2"\n[permissions]',
            ":27: queue.url: the primary's name is missing. Write redis+sentinel://HOST,HOST/NAME, ",
        ),
        ("[permissions]", '[queue]\nurl = "redis+cluster://a:x"\n[permissions]', ":27: queue.url: a port is not a "),
        (
            "[permissions]",
            '[queue]\nurl = "redis://u:p@a"\npassword_file = "p"\n[permissions]',
            ":28: queue.password_file: there is a password in the url already. Leave one of them out",
        ),
        ("[permissions]", '[queue]\nmax_bytes = "x"\n[permissions]', ":27: queue.max_bytes: 'x' is not a size. Write "),
        ("[permissions]", '[log]\nlevel = "all"\n[permissions]', ":27: log.level: input should be 'debug', "),
        (
            "[permissions]",
            '[emergency]\nwords = ["  "]\n[permissions]',
            ":27: emergency.words[0]: '  ' is not a word to ",
        ),
        ("[permissions]", '[emergency]\nwords = "SOS"\n[permissions]', ":27: emergency.words: "),
        (
            "[permissions]",
            "[emergency]\nwords = [911]\n[permissions]",
            ":27: emergency.words[0]: 911 is not a text. Put ",
        ),
        (
            "[permissions]",
            '[emergency]\nsenders = [""]\n[permissions]',
            ":27: emergency.senders[0]: is empty. Leave it ",
        ),
        (
            "[permissions]",
            '[emergency]\nlevel = "all"\n[permissions]',
            ":27: emergency.level: 'all' is not a permission",
        ),
        ("[permissions]", "[emergency]\nlimit = 0\n[permissions]", ":27: emergency.limit: "),
        (
            "[permissions]",
            "[emergency]\nword = []\n[permissions]",
            ":27: emergency.word: unknown key. Did you mean 'wor",
        ),
        ("[permissions]", '[bridges.home]\nkind="x"\n[permissions]', ":26: not TOML: cannot declare"),
        ("[permissions]", "[permissions", ":26: not TOML: "),
    ],
)
def test_what_is_wrong_is_told_with_line_key_and_mend(read: Load, old: str, new: str, line: str) -> None:
    assert old in GOOD

    told = _told(read, GOOD.replace(old, new, 1))

    assert [one for one in told if one.startswith(line)], told


def test_a_route_carries_alerts_and_places_besides_talk_or_what_it_lists(read: Load) -> None:
    given = GOOD.replace('name = "warnings"', 'name = "warnings"\nalso = ["sensors", "telemetry"]')

    town, warnings = read(given).routes
    silent = read(given.replace('["sensors", "telemetry"]', "[]")).routes[1]

    assert town.also == {Topic.ALERT, Topic.POSITION, Topic.WAYPOINT}
    assert warnings.also == {Topic.SENSOR, Topic.TELEMETRY}
    assert silent.also == frozenset()


def test_one_end_is_enough_where_it_is_a_room_between_boxes(read: Load) -> None:
    mesh = '[gateway]\nname = "valley"\n[bridges.lan]\nkind = "boxes"\n[[routes]]\nname = "town"\njoin = ["lan/{}"]\n'
    in_clear = mesh.replace('"boxes"', '"air"')

    (town,) = read(mesh.format("town")).routes

    assert town.ends == (Address.parse("lan/town"),)
    for text in (mesh.format("~ali@valley"), in_clear.format("town")):
        (told,) = _told(read, text)
        assert told.startswith(":7: routes[0].join: a route needs two conversations. List at least two addresses; one ")
    (told,) = _told(read, mesh.format("town") + 'from = ["lan/town"]\nto = ["lan/other"]\n')
    assert "a route has either join or from and to" in told


def test_what_is_an_emergency_is_configured_or_nothing_but_a_radios_alert(read: Load) -> None:
    given = '[emergency]\nwords = ["SOS", "help me"]\nlevel = "commands"\nsenders = ["!a1b2c3*"]\nlimit = 2\n'

    assert read(GOOD + given).emergency == EmergencyRules(
        words=("SOS", "help me"), level=Level.COMMANDS, senders=("!a1b2c3*",), limit=2
    )
    assert read(GOOD).emergency == EmergencyRules()


def test_everything_that_is_wrong_is_told_at_once(read: Load) -> None:
    text = GOOD.replace('kind = "air"', 'kind = "sea"').replace('"home/#warnings', '"hoem/#warnings')

    assert len(_told(read, text)) == 2


def test_two_bridges_on_one_port_are_refused_at_the_second_ones_key(read: Load) -> None:
    text = GOOD + '[bridges.other]\nkind = "air"\nport = "serial:auto"\n'

    assert _told(read, text) == [
        ":32: bridges.other.port: serial:auto is already taken by bridges.radio. Give each its own"
    ]


@pytest.mark.parametrize("mine", ["tcp:127.0.0.1:8080", "tcp:0.0.0.0:8080", "tcp:[::]:8080"])
def test_a_bridge_on_the_apis_port_is_refused(read: Load, mine: str) -> None:
    (line,) = _told(read, GOOD.replace("serial:auto", mine))

    assert "is already taken by the API" in line


def test_the_same_port_on_two_hosts_is_no_conflict(read: Load) -> None:
    read(GOOD.replace("serial:auto", "tcp:10.0.0.7:8080"))


def test_the_environment_overrides_the_file(read: Load, tmp_path: Path) -> None:
    settings = read(
        CROSSBAND_API__LISTEN="127.0.0.1:9999",
        CROSSBAND_BRIDGES__HOME__HOMESERVER="http://[::1]:8008",
        CROSSBAND_BRIDGES__HOME__ACCESS_TOKEN_FILE="other.token",
        CROSSBAND_BRIDGES__HOME__ALLOW="true",
        CROSSBAND_QUEUE__MAX_DELIVERIES="500",
        CROSSBAND_LOG__LEVEL="debug",
        CROSSBAND_UNRELATED="x",
    )

    table = settings.bridges[BridgeName("home")].table
    assert settings.api.port == 9999
    assert table["homeserver"] == "http://[::1]:8008"
    assert table["access_token_file"] == str(tmp_path / "other.token")
    assert table["allow"] is True
    assert settings.queue.max_deliveries == 500
    assert settings.log.level == "debug"


def test_what_is_wrong_in_the_environment_is_told_by_its_variable(read: Load) -> None:
    assert _told(read, GOOD, CROSSBAND_GATEWAY__NMAE="x") == [
        "environment CROSSBAND_GATEWAY__NMAE: gateway.nmae: unknown key. Did you mean 'name'?"
    ]
    assert _told(read, GOOD, CROSSBAND_ROUTES__0__NAME="x") == [
        "environment CROSSBAND_ROUTES__0__NAME: routes: routes can't be set by the environment. Write them in the file"
    ]
    assert _told(read, GOOD, CROSSBAND_GATEWAY__NAME__X="x")[0].endswith("with two underscores per level")


def test_only_configured_kinds_are_imported(tmp_path: Path) -> None:
    path = tmp_path / "crossband.toml"
    path.write_text('[gateway]\nname = "box"\n')

    load(path, {}, registry=Registry({"air": lambda: _never(None)}))


def test_a_listen_address_others_can_reach_needs_a_token(read: Load) -> None:
    settings = read('[gateway]\nname = "box"\n[api]\nlisten = "0.0.0.0:8080"\ntoken_file = "t"\n')

    assert settings.api.listen == "0.0.0.0:8080"


@pytest.mark.parametrize(
    ("data", "words"),
    [(b"\xff\xfe", ":1: not UTF-8"), (b"a" * 2**21, "longer than 1 MiB"), (b"a = " + b"[" * 9999, "nested too deeply")],
)
def test_a_file_that_is_no_text_is_refused(tmp_path: Path, data: bytes, words: str) -> None:
    path = tmp_path / "crossband.toml"
    path.write_bytes(data)

    with pytest.raises(ConfigError, match=words):
        load(path, {}, registry=REGISTRY)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        load(tmp_path / "crossband.toml", {}, registry=REGISTRY)


def test_the_file_is_looked_for_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "crossband.toml").touch()

    assert find() == Path("crossband.toml")
    assert find(tmp_path / "x") == tmp_path / "x"


def test_what_is_wrong_is_told_in_the_order_of_the_file(read: Load) -> None:
    text = GOOD.replace('kind = "air"', 'kind = "sea"').replace("[gateway]", "[gateway]", 1) + '[api]\nlisten = ":"\n'
    with pytest.raises(InvalidConfig) as caught:
        read(text.replace('name = "hilltop"', 'name = "a b"'))

    assert [problem.path[0] for problem in caught.value.problems] == ["gateway", "api"]


def test_the_control_socket_is_found_without_the_rest_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "crossband.toml"
    path.write_text('[gateway]\nname = "box"\nrun_dir = "run"\n[bridges.x]\nkind = 5\n[nonsense]\n')

    assert control_socket(path, {}) == tmp_path / "run" / "control.sock"
    assert control_socket(path, {"CROSSBAND_GATEWAY__RUN_DIR": "/r"}) == Path("/r/control.sock")
    path.write_text("[gateway]\n")
    with pytest.raises(ConfigError, match=r"crossband\.toml:1: gateway\.name: is missing"):
        control_socket(path, {})


def test_problems_can_be_read_one_by_one(read: Load) -> None:
    with pytest.raises(InvalidConfig) as caught:
        read(GOOD.replace('"bad"', "").replace('kind = "air"', 'kind = "sea"'))

    (problem,) = caught.value.problems
    assert problem.path == ("bridges", "radio", "kind")
    assert caught.value.key == "bridges.radio.kind"
