"""`genba plant`: the whole plant in the foreground, or one of its devices."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import tempfile
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

from gateway.errors import GatewayError
from gateway.plant import broker, cables, child, scale
from gateway.plant.moment import Setting
from gateway.plant.physics import LINES
from gateway.plant.plant import DEVICES, Plant, PlantEvent

_PORTS = ("opcua", "modbus", "broker")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `genba plant`; `run` takes what they parse to."""
    Setting.add_arguments(parser)
    parser.add_argument("device", nargs="?", choices=DEVICES, help="serve this device only")
    parser.add_argument("--port", type=int, default=0, help="port of the device")
    parser.add_argument("--pki", type=Path, help="folder of the OPC UA server's certificate")
    parser.add_argument("--parent", type=int, help="end when this process ends")
    for name in _PORTS:
        parser.add_argument(f"--{name}-port", type=int, default=0, help="0 takes a free port")


def main(argv: list[str] | None = None) -> int:
    """Run `genba plant` with these arguments; returns the exit code."""
    parser = argparse.ArgumentParser(prog="genba plant", description=__doc__)
    add_arguments(parser)
    return run(parser.parse_args(argv))


def run(args: argparse.Namespace) -> int:
    """Run the plant or one device, as `add_arguments` parsed it."""
    try:
        return _device(args) if args.device else asyncio.run(_plant(args))
    except GatewayError as error:
        sys.stderr.write(f"{error}\n")
        return 1


def _device(args: argparse.Namespace) -> int:
    child.die_with(args.parent)
    folder = args.dir or Path(tempfile.mkdtemp(prefix="genba-plant-"))
    folder.mkdir(parents=True, exist_ok=True)
    setting = Setting.of(args, folder)
    return child.run(_WORKS[args.device](args, setting), parent=args.parent)


# Each device loads its own protocol library only: it starts in half the time.
_Work = Callable[[], Awaitable[int | None]]


def _opcua(args: argparse.Namespace, setting: Setting) -> _Work:
    from gateway.plant import opcua

    return partial(opcua.serve, setting, args.port, args.pki)


def _modbus(args: argparse.Namespace, setting: Setting) -> _Work:
    from gateway.plant import modbus

    if args.device == "rtu":
        return partial(modbus.serve_rtu, setting)
    return partial(modbus.serve_tcp, setting, args.port)


def _sensors(args: argparse.Namespace, setting: Setting) -> _Work:
    from gateway.plant import sensors

    return partial(sensors.publish, setting, args.port)


def _broker(args: argparse.Namespace, setting: Setting) -> _Work:
    if broker.software() == "mosquitto":
        broker.become_mosquitto(setting, args.port)
    return partial(broker.serve_amqtt, setting, args.port)


def _scale(args: argparse.Namespace, setting: Setting) -> _Work:
    return partial(scale.send, setting, LINES[int(args.device[-1]) - 1])


def _cables(_args: argparse.Namespace, setting: Setting) -> _Work:
    return partial(cables.lay, setting)


_WORKS: dict[str, Callable[[argparse.Namespace, Setting], _Work]] = {
    "cables": _cables,
    "broker": _broker,
    "opcua": _opcua,
    "modbus": _modbus,
    "rtu": _modbus,
    "sensors": _sensors,
    "scale1": _scale,
    "scale2": _scale,
}


async def _plant(args: argparse.Namespace) -> int:
    """Run everything until Ctrl-C, saying what is where and what breaks."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    ports = {name: value for name in _PORTS if (value := getattr(args, f"{name}_port"))}
    plant = Plant(
        args.dir,
        seed=args.seed,
        speed=args.speed,
        with_faults=not args.no_faults,
        ports=ports,
        on_event=_say_event,
    )
    _say("Starting the plant …")
    async with plant:
        for name, device in plant.manifest()["devices"].items():
            at = device.get("endpoint") or device.get("port") or device.get("status_topic")
            where = f"{device['host']}:{at}" if "host" in device else at
            _say(f"  {name:8} {device['protocol']:11} {where}")
        _say(f"  manifest {plant.dir / 'manifest.json'}")
        _say("Ctrl-C ends it.")
        await stop.wait()
    return 0


def _say_event(event: PlantEvent) -> None:
    words = {"fault_begins": "begins  ", "fault_ends": "ends    "}
    where = f" ({event.fault.protocol})" if event.fault is not None else ""
    _say(f"{event.at_s:7.1f} s  {words.get(event.kind, '')}{event.text}{where}")


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
