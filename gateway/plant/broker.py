"""The MQTT broker: mosquitto when it is installed, else amqtt when that is.

mosquitto's own defaults keep 1,000 queued messages and lose the rest without a word, so it gets
a configuration of ours. Source: mosquitto.conf(5).
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import os
import shutil
from pathlib import Path
from typing import Literal

from gateway.errors import ConfigError
from gateway.plant import child
from gateway.plant.moment import Setting

MISSING = "No MQTT broker is installed, and the plant needs one."
INSTALL = "Install mosquitto: sudo apt-get install mosquitto. Or, without root: pip install amqtt."


def mosquitto() -> str | None:
    """The mosquitto program; Debian puts it where ordinary users do not look."""
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])
    return shutil.which("mosquitto", path=path)


def software() -> Literal["mosquitto", "amqtt"]:
    """Which broker there is; a clear error when there is none."""
    if mosquitto() is not None:
        return "mosquitto"
    if importlib.util.find_spec("amqtt") is not None:
        return "amqtt"
    raise ConfigError(MISSING, hint=INSTALL)


def versions() -> list[str]:
    """The MQTT versions the broker speaks; amqtt refuses version 5."""
    return ["3.1.1", "5"] if software() == "mosquitto" else ["3.1.1"]


def configuration(dir: Path, port: int) -> str:
    """The text of mosquitto's configuration."""
    kept = dir / "mosquitto"
    lines = [
        f"listener {port} 127.0.0.1",
        "allow_anonymous true",
        "max_queued_messages 100000",
        "max_inflight_messages 2000",
        "persistence true",
        f"persistence_location {kept}/",
        "autosave_interval 30",
        "log_type error",
        "log_type warning",
    ]
    if os.geteuid() == 0:  # Else it changes its user, cannot write here and outlives us.
        lines.append("user root")
    return "\n".join(lines) + "\n"


def become_mosquitto(setting: Setting, port: int) -> None:
    """Turn this process into mosquitto; it still dies with its parent."""
    program = mosquitto()
    assert program is not None, "asked for only when there is one"
    (setting.dir / "mosquitto").mkdir(exist_ok=True)
    path = setting.dir / "mosquitto.conf"
    path.write_text(configuration(setting.dir, port), encoding="utf-8")
    os.execv(program, [program, "-c", str(path)])  # noqa: S606 - no shell is meant


async def serve_amqtt(setting: Setting, port: int) -> None:
    """Run amqtt in this process until cancelled."""
    anonymous = "amqtt.plugins.authentication.AnonymousAuthPlugin"
    broker = importlib.import_module("amqtt.broker").Broker(
        {
            "listeners": {"default": {"type": "tcp", "bind": f"127.0.0.1:{port}"}},
            "plugins": {anonymous: {"allow_anonymous": True}},
        }
    )
    await broker.start()
    child.say_ready(setting.dir, "broker")
    try:
        await asyncio.get_running_loop().create_future()
    finally:
        await broker.shutdown()
