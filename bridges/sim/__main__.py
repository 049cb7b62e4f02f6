# SPDX-License-Identifier: GPL-3.0-or-later
"""``python -m bridges.sim --dir DIR``: a simulated mesh in a process of its own, until SIGTERM."""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

from bridges.sim.airtime import PRESETS
from bridges.sim.control import RADIO, SOCKET
from bridges.sim.identity import FAR_NODES, GATEWAY, Settings
from bridges.sim.mesh import SimMesh
from bridges.sim.orders import Orders, serve
from bridges.sim.ports import PtyPort, TcpPort


def _arguments(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bridges.sim", description="A simulated Meshtastic mesh.")
    parser.add_argument("--dir", type=Path, required=True, help="where the serial port and the control socket appear")
    parser.add_argument("--tcp", type=int, default=None, help="TCP port of the gateway's node as well; 0: any")
    parser.add_argument(
        "--also", action="append", default=[], metavar="NODE", help="a serial port of this node as well"
    )
    parser.add_argument("--time-scale", type=float, default=1.0, help="mesh seconds per second")
    parser.add_argument("--preset", choices=sorted(PRESETS), default="LONG_FAST")
    parser.add_argument("--region", default="US", help="EU_868 brings a duty cycle of 10 %%")
    parser.add_argument(
        "--numbers-from",
        type=lambda text: int(text, 16),
        default=GATEWAY.number,
        metavar="HEX",
        help="the gateway's node number; those after it are the others'. Each mesh of several needs its own",
    )
    parser.add_argument("--buffered", type=int, choices=(8, 16, 32), default=32, help="packets kept for a client")
    parser.add_argument("--text-interval", type=float, default=2.0, help="mesh seconds between a client's texts")
    parser.add_argument("--seed", type=int, default=None, help="of all that is random; chosen and shown if absent")
    parser.add_argument("--deaf-close", action="store_true", help="the node doesn't notice a client closing the port")
    parser.add_argument("--with-parent", action="store_true", help="end when standard input does")
    return parser.parse_args(words)


async def run(words: Sequence[str] | None = None) -> None:
    """Serve until SIGTERM or SIGINT; one line of JSON on stdout says when it is ready and where."""
    options = _arguments(words)
    stop = _stop_event(with_parent=options.with_parent)
    settings = Settings(
        preset=options.preset,
        region=options.region,
        buffered=options.buffered,
        text_interval_s=options.text_interval,
    )
    options.dir.mkdir(parents=True, exist_ok=True)
    async with AsyncExitStack() as stack:
        mesh = await stack.enter_async_context(
            SimMesh(
                gateway=replace(GATEWAY, number=options.numbers_from),
                far=[replace(node, number=options.numbers_from + n) for n, node in enumerate(FAR_NODES, 1)],
                settings=settings,
                time_scale=options.time_scale,
                seed=options.seed,
            )
        )
        pty = await stack.enter_async_context(PtyPort(mesh, options.dir / RADIO, notices_close=not options.deaf_close))
        more = {node: PtyPort(mesh, options.dir / f"{RADIO}-{node}", node=node) for node in options.also}
        for port in more.values():
            await stack.enter_async_context(port)
        tcp = TcpPort(mesh, options.tcp) if options.tcp is not None else None
        if tcp is not None:
            await stack.enter_async_context(tcp)
        server = await serve(Orders(mesh, pty, tcp, more), options.dir / SOCKET)
        stack.callback((options.dir / SOCKET).unlink, missing_ok=True)
        stack.callback(server.close)
        _say_ready(options.dir, tcp, mesh)
        await stop.wait()


def _stop_event(*, with_parent: bool) -> asyncio.Event:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if with_parent:
        loop.add_reader(sys.stdin.fileno(), stop.set)
    return stop


def _say_ready(directory: Path, tcp: TcpPort | None, mesh: SimMesh) -> None:
    ready = {
        "ready": True,
        "port": str(directory / RADIO),
        "control": str(directory / SOCKET),
        "tcp": tcp.port if tcp is not None else None,
        "seed": mesh.seed,
    }
    sys.stdout.write(json.dumps(ready) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(run())
