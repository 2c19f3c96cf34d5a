"""The MQTT sensors of both lines: JSON with a time and a number, or a plain number.

QoS 1. Each JSON payload carries `seq`, which grows by one a message; a hole shows a loss. The
sensors keep no backlog: what was measured while the broker was away is not sent later.
"""

from __future__ import annotations

import asyncio

import aiomqtt
import orjson

from gateway.plant import child
from gateway.plant.endpoints import STATUS_TOPIC
from gateway.plant.moment import Moment, Setting
from gateway.plant.signals import Signal, Topic, of_device
from gateway.plant.view import STEP_S, PlantView

EVERY_STEPS = 5
_RETRY_S = 1.0


def payload(view: PlantView, moment: Moment, signal: Signal, topic: Topic, k: int) -> bytes:
    """What a sensor publishes at step k. A broken sensor's plain number is `nan`."""
    reading = view.read(signal, k)
    if topic.format == "plain":
        return (f"{reading.value:.3f}" if reading.good else "nan").encode("ascii")
    stamp = moment.stamp(k).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return orjson.dumps(
        {
            "value": round(reading.value, 4) if reading.good else None,
            "ts": stamp,
            "unit": signal.unit,
            "quality": "good" if reading.good else "bad",
            "seq": k // EVERY_STEPS,
        }
    )


async def publish(setting: Setting, port: int) -> None:
    """Publish until cancelled; come back a second after the broker has gone."""
    view, moment = setting.view(), setting.moment()
    while True:
        try:
            await _session(setting, view, moment, port)
        except (aiomqtt.MqttError, OSError):
            if _is_told_to_leave():
                return  # Leaving went wrong on the broker's side; we were told to leave.
            await asyncio.sleep(_RETRY_S)


async def _session(setting: Setting, view: PlantView, moment: Moment, port: int) -> None:
    will = aiomqtt.Will(STATUS_TOPIC, b"offline", qos=1, retain=True)
    version = aiomqtt.ProtocolVersion.V311
    async with aiomqtt.Client(
        "127.0.0.1", port, identifier="genba-plant-sensors", will=will, protocol=version
    ) as client:
        try:  # Who hears "online" may end us before its acknowledgement is here.
            await _send(client, STATUS_TOPIC, b"online", retain=True)
            child.say_ready(setting.dir, "sensors")
            await _measure(client, view, moment)
        finally:
            await client.publish(STATUS_TOPIC, b"offline", qos=1, retain=True)


async def _measure(client: aiomqtt.Client, view: PlantView, moment: Moment) -> None:
    found = [(s, s.address) for s in of_device("sensors") if isinstance(s.address, Topic)]
    k = moment.step() // EVERY_STEPS * EVERY_STEPS
    while True:
        k = max(k + EVERY_STEPS, moment.step() // EVERY_STEPS * EVERY_STEPS)
        await asyncio.sleep(moment.until(k * STEP_S))
        for signal, topic in found:
            await _send(client, topic.topic, payload(view, moment, signal, topic, k))


async def _send(client: aiomqtt.Client, topic: str, data: bytes, *, retain: bool = False) -> None:
    """Publish; a cancel that comes with the acknowledgement counts too.

    Source: github.com/python/cpython/issues/86296: asyncio.wait_for, which aiomqtt waits with,
    loses such a cancel before Python 3.12.
    """
    await client.publish(topic, data, qos=1, retain=retain)
    if _is_told_to_leave():
        raise asyncio.CancelledError


def _is_told_to_leave() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
