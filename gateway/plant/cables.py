"""The serial cables: pty pairs that outlive the devices at their ends.

A pty has a device end and a gateway end only as long as some process holds it. This process
holds all four, so switching a device off leaves the gateway's port in place, silent, as a real
serial port would be.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import tty
from pathlib import Path

from gateway.plant import child
from gateway.plant.moment import Setting

CABLES = ("RTU", "SCALE1", "SCALE2")


def gateway_end(dir: Path, cable: str) -> Path:
    """The port the gateway opens, e.g. `<dir>/ttyRTU`."""
    return dir / f"tty{cable}"


def device_end(dir: Path, cable: str) -> Path:
    """The port the simulated device opens."""
    return dir / f"tty{cable}.device"


def identity(link: Path) -> tuple[int, int]:
    """Which cable this is: a new one may get the old one's pty number, not its link."""
    there = link.lstat()
    return there.st_ino, there.st_mtime_ns


def _pty(link: Path) -> tuple[int, int]:
    """A raw pty (no echo, no line editing) whose port is found under `link`."""
    master, port = os.openpty()
    tty.setraw(port)
    os.set_blocking(master, False)
    fresh = link.with_name(link.name + ".new")
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(os.ttyname(port))
    fresh.replace(link)
    return master, port


def _carry(source: int, target: int) -> None:
    """Move what has come to the other end. When nobody listens there, it is lost, as on a wire."""
    with contextlib.suppress(BlockingIOError):
        os.write(target, os.read(source, 4096))


async def lay(setting: Setting) -> None:
    """Lay all cables and carry bytes until cancelled."""
    loop = asyncio.get_running_loop()
    held: list[int] = []
    try:
        for cable in CABLES:
            near, near_port = _pty(gateway_end(setting.dir, cable))
            far, far_port = _pty(device_end(setting.dir, cable))
            held += [near, near_port, far, far_port]
            loop.add_reader(near, _carry, near, far)
            loop.add_reader(far, _carry, far, near)
        child.say_ready(setting.dir, "cables")
        await loop.create_future()
    finally:
        for number in held:
            loop.remove_reader(number)
            os.close(number)
