"""The screens in a process that says what it holds, for what visitors may leave behind.

``python -m tests.ui.soak STATE [soon]`` serves the screens of a running gateway. It prints its
port, and for each line that it reads what it holds, as one JSON object; it ends with its input.
The visitors are in another process: what a browser needs is nothing that the screens hold.

The product keeps a page for a minute for its browser, here it is seconds. With ``soon`` the looks
for what nobody has come for, each ten seconds in the product, are made before each answer.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

os.environ["NICEGUI_STORAGE_PATH"] = tempfile.mkdtemp(prefix="genba-soak-")
for name in [name for name in os.environ if name.startswith("PYTEST_")]:
    del os.environ[name]

import psutil  # noqa: E402
import uvicorn  # noqa: E402
from nicegui import Client, app, core, ui  # noqa: E402
from nicegui.app.app import prune_tab_storage  # noqa: E402
from nicegui.slot import Slot  # noqa: E402

from tests.memory import memory  # noqa: E402
from ui import main  # noqa: E402
from ui.editor.sessions import open_now  # noqa: E402
from ui.sockets import end_the_lost  # noqa: E402

FORGOTTEN_S = 4.0
BEAT_S = 0.02


class Pulse:
    """How late the loop comes to what it should do, and how much it computed meanwhile."""

    def __init__(self) -> None:
        self._late: list[float] = []
        self._worked: list[float] = []

    async def beat(self) -> None:
        """Look all the time."""
        while True:
            wall, worked = time.monotonic(), time.thread_time()
            await asyncio.sleep(BEAT_S)
            self._late.append(time.monotonic() - wall - BEAT_S)
            self._worked.append(time.thread_time() - worked)

    def taken(self) -> dict[str, float]:
        """Since it was asked last [ms]: late, and what of it was our own work."""
        late, worked = sorted(self._late), sorted(self._worked)
        self._late, self._worked = [], []
        at = [min(len(late) - 1, int(len(late) * part)) for part in (0.5, 0.99, 1.0)]
        names = ("p50", "p99", "max")
        return {
            **{f"late_{n}": round(1e3 * late[i]) for n, i in zip(names, at, strict=True)},
            **{f"worked_{n}": round(1e3 * worked[i]) for n, i in zip(names, at, strict=True)},
        }


def counts() -> dict[str, int]:
    """What could be left behind."""
    process = psutil.Process()
    rooms = core.sio.manager.rooms.values()
    return {
        "pages": len(Client.instances),
        "editors": sum(len(session.tabs) for session in open_now().values()),
        "sockets": len(core.sio.eio.sockets) + len(core.sio.environ) + sum(map(len, rooms)),
        "tabs": len(app.storage._tabs),
        "stacks": len(Slot.stacks),
        "tasks": len(asyncio.all_tasks()),
        "files": process.num_fds(),
        "threads": process.num_threads(),
    }


async def slow() -> None:
    """A page that is given up before it is made."""
    await asyncio.sleep(1.0)


async def answer(soon: bool, pulse: Pulse) -> None:
    """Say what there is for each line that comes."""
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while await reader.readline():
        stalls = pulse.taken()
        if soon:
            Client.prune_instances(client_age_threshold=FORGOTTEN_S)
            await prune_tab_storage()
            await end_the_lost()
        tasks = Counter(getattr(t.get_coro(), "__qualname__", "?") for t in asyncio.all_tasks())
        found = {"held": counts(), "tasks": tasks, "memory": memory(), "stalls": stalls}
        found["connections"] = Counter(
            f"{one.status} {one.laddr[1]}-{one.raddr[1] if one.raddr else ''}"
            for one in psutil.Process().net_connections("tcp")
        )
        sys.stdout.write(json.dumps(found) + "\n")
        sys.stdout.flush()


async def run(state: Path, soon: bool) -> None:
    """Serve and answer until the input ends."""
    main.RECONNECT_S = FORGOTTEN_S  # type: ignore[misc]  # shorter than a person would bear
    listening = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        main.application(state, []), log_level="error", ws="websockets-sansio", proxy_headers=False
    )
    ui.page("/slow", response_timeout=0.05)(slow)
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve([listening]))
    while not server.started:
        await asyncio.sleep(0.05)
    sys.stdout.write(f"{listening.getsockname()[1]}\n")
    sys.stdout.flush()
    pulse = Pulse()
    beating = asyncio.create_task(pulse.beat())
    await answer(soon, pulse)
    beating.cancel()
    server.should_exit = True
    await serving


if __name__ == "__main__":
    asyncio.run(run(Path(sys.argv[1]), "soon" in sys.argv[2:]))
