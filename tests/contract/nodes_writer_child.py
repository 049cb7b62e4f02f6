# SPDX-License-Identifier: GPL-3.0-or-later
"""A process that writes the node directory again and again until it is killed: `FILE`. It says when it has begun."""

from __future__ import annotations

import sys
from itertools import count
from pathlib import Path

from bridges.meshtastic.nodestore import NodeStore


def main() -> None:
    store = NodeStore(Path(sys.argv[1]))
    for turn in count(1):
        # All rows say the same turn: half a transaction would show.
        store.save(dict.fromkeys(range(1, 400), f'{{"name": "turn {turn}"}}'), [500 + turn % 7])
        print(turn, flush=True)


if __name__ == "__main__":
    main()
