"""Notify: what systemd is told, over a real socket."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.cli.notify import Notify

FLOW = """
flow: one
version: 1
nodes:
  sim: {type: simulate.signal}
"""


@pytest.fixture
def systemd(tmp_path: Path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(str(tmp_path / "notify"))
        heard.settimeout(60)
        yield heard


def environment(heard: socket.socket, watchdog_s: float = 0.3) -> dict[str, str]:
    return {
        "NOTIFY_SOCKET": heard.getsockname(),
        "WATCHDOG_USEC": str(int(watchdog_s * 1e6)),
        "WATCHDOG_PID": str(os.getpid()),
    }


async def hear(heard: socket.socket) -> str:
    return (await asyncio.to_thread(heard.recv, 4096)).decode()


async def test_it_is_fed_while_the_writer_works(systemd: socket.socket) -> None:
    notify = Notify(environment(systemd))
    works = asyncio.Event()
    works.set()
    notify.starting()
    assert (await hear(systemd)).startswith("EXTEND_TIMEOUT_USEC=")
    await notify.ready("Runs.", works.wait)
    assert await hear(systemd) == "READY=1\nSTATUS=Runs."
    assert await hear(systemd) == "WATCHDOG=1"
    works.clear()
    while True:  # One may be on its way.
        systemd.settimeout(1.0)
        try:
            assert await hear(systemd) == "WATCHDOG=1"
        except TimeoutError:
            break
    works.set()
    systemd.settimeout(60)
    assert await hear(systemd) == "WATCHDOG=1"
    await notify.stopping()
    while (told := await hear(systemd)) == "WATCHDOG=1":
        pass
    assert told.startswith("STOPPING=1")
    assert await hear(systemd) == "EXTEND_TIMEOUT_USEC=60000000", "a busy machine stops slowly"


async def test_without_systemd_nothing_is_said() -> None:
    notify = Notify({})
    notify.starting()
    await notify.ready("Runs.", asyncio.Event().wait)
    await notify.stopping()
    another = Notify({"WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "1", "NOTIFY_SOCKET": "@x"})
    assert another.watchdog_s == 0.0
    another.send("READY=1")  # Nobody listens there.


@pytest.mark.plant
def test_the_gateway_says_when_it_is_ready(systemd: socket.socket, tmp_path: Path) -> None:
    words = ["run", "--state", str(tmp_path / "state"), "--port", "0", "--safe"]
    told = environment(systemd) | {"GENBA_LISTEN": "off"}
    del told["WATCHDOG_PID"]  # It would be ours; systemd gives that of the child.
    process = subprocess.Popen(
        [sys.executable, "-m", "gateway", *words], env={**os.environ, **told}
    )
    try:
        heard = ""
        while "WATCHDOG=1" not in heard:
            heard += systemd.recv(4096).decode() + "\n"
        assert heard.index("READY=1") < heard.index("WATCHDOG=1")
        process.send_signal(signal.SIGTERM)
        while "STOPPING=1" not in heard:
            heard += systemd.recv(4096).decode() + "\n"
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()
