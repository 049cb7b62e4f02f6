# SPDX-License-Identifier: GPL-3.0-or-later
"""A simulated Meshtastic mesh: several radios on one channel, with real clients on serial and TCP ports.

It ships with Crossband for the demo and the tests, behaves as firmware 2.7.26 was measured to, and knows
no bridge: any Meshtastic client can use it. Four nodes by default, on LongFast with a second channel
"Town": "Hilltop gateway" (HILL, !a1b2c300, the one with the ports), "Ridge relay" (RDGE), "Market square"
(MRKT), "River lock" (RIVR).

In the test's own event loop:

    async with SimMesh() as mesh, PtyPort(mesh, tmp_path / "radio") as port:
        ...                                            # connect a client to port.path
        id = mesh["RDGE"].say("anybody there?")        # somebody at a far node speaks
        heard = await mesh["MRKT"].wait_text("yes")    # and somebody at another hears the client
        port.unplug(); port.plug(); port.reboot()      # trouble at the port
        port.power_cycle(); swap(port, another)        # of boards with USB of their own
        port.firmware.hang = Hang.DEAF                 # a board that runs and doesn't answer
        port.noise(b"..."); port.cut_next_frame(7)     # on the line: port.faults has the rest
        mesh.isolate("HILL"); mesh.rejoin("HILL")      # in the air: also link(), replay(), inject()

In a process of its own, where kill -9 of the client's process doesn't reach:

    python -m bridges.sim --dir DIR --tcp 0            # DIR/radio, DIR/control.sock, one JSON line when ready
    async with SimProcess(DIR, tcp=0) as sim:          # the same as a child process
        await sim.say("RDGE", "anybody there?")
        await sim.call("unplug")                       # every order is a do_... method of `orders.Orders`

Time runs in mesh seconds, `time_scale` of them in a second: air and firmware keep step with each other.

The parts, from the bytes up: `framing`, `airtime`, `agenda` (what happens when), `air` (the channel),
`radio` (a node's router), `limits` and `outgoing` (what a client may send), `handshake`, `node` (the
firmware a client talks to): pure, with time as an argument. `people`, `mesh`: nodes in an event loop.
`wire`, `ports`: file descriptors. `orders`, `control`, `__main__`: a process of its own.
"""

from bridges.sim.control import RemoteMesh, SimProcess
from bridges.sim.identity import BROADCAST, FAR_NODES, GATEWAY, ChannelSetup, Identity, Settings
from bridges.sim.mesh import SimMesh
from bridges.sim.node import Firmware, Hang
from bridges.sim.people import Heard, SimNode
from bridges.sim.ports import Port, PtyPort, TcpPort, swap
from bridges.sim.wire import Faults

__all__ = [
    "BROADCAST",
    "FAR_NODES",
    "GATEWAY",
    "ChannelSetup",
    "Faults",
    "Firmware",
    "Hang",
    "Heard",
    "Identity",
    "Port",
    "PtyPort",
    "RemoteMesh",
    "Settings",
    "SimMesh",
    "SimNode",
    "SimProcess",
    "TcpPort",
    "swap",
]
