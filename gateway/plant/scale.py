"""The scale: a text line five times a second, whether or not anybody listens.

`ST,GS,+  12.34 kg` is a stable gross weight; `US` instead of `ST` means that the piece moves.
Source: the "A&D standard format" that many makers of industrial scales follow.
"""

from __future__ import annotations

import asyncio
import os

from gateway.plant import child
from gateway.plant.cables import device_end, identity
from gateway.plant.moment import Setting
from gateway.plant.physics import IN, OUT, ram
from gateway.plant.signals import SIGNALS, SITE
from gateway.plant.view import STEP_S, PlantView

EVERY_STEPS = 2


def line_of(view: PlantView, line: str, k: int) -> str:
    """The scale's line at step k, without its end."""
    value = view.read(SIGNALS[f"{SITE}/{line}/scale/weight"], k).value
    moving = OUT <= ram(line, k * STEP_S).u < IN
    sign = "-" if value < 0 else "+"
    return f"{'US' if moving else 'ST'},GS,{sign}{abs(value):7.2f} kg"


async def send(setting: Setting, line: str) -> int:
    """Send lines until cancelled; end when the cable was replaced, to be started on the new one."""
    view, moment = setting.view(), setting.moment()
    name = f"scale{line[-1]}"
    link = device_end(setting.dir, name.upper())
    there = identity(link)
    port = os.open(link, os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK)
    child.say_ready(setting.dir, name)
    try:
        k = moment.step()
        while identity(link) == there:
            k = max(k + EVERY_STEPS, moment.step())
            await asyncio.sleep(moment.until(k * STEP_S))
            _write(port, f"{line_of(view, line, k)}\r\n".encode("ascii"))
    except OSError:
        return 3
    finally:
        os.close(port)
    return 3


def _write(port: int, data: bytes) -> None:
    try:
        os.write(port, data)
    except BlockingIOError:
        return  # The cable is full: a real line would have lost it too.
