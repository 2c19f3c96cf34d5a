"""The plant as a whole: starts its processes, keeps them alive, switches them off by the script."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Literal, Self

from gateway.data.tasks import Tasks
from gateway.engine.clock import SystemClock
from gateway.errors import FaultError
from gateway.plant import broker, child, faults
from gateway.plant import manifest as manifests
from gateway.plant.faults import Fault
from gateway.plant.moment import Setting

DEVICES = ("cables", "broker", "opcua", "modbus", "rtu", "sensors", "scale1", "scale2")
_NEEDS = {"rtu": "cables", "scale1": "cables", "scale2": "cables", "sensors": "broker"}
_START_S = 60.0
_STOP_S = 3.0
_AGAIN_S = 0.5
_LOOK_S = 0.05


@dataclass(frozen=True, slots=True)
class PlantEvent:
    """Something that happened to the plant; `at_s` is in seconds since its start."""

    at_s: float
    kind: Literal["fault_begins", "fault_ends", "off", "on", "died"]
    text: str
    fault: Fault | None = None
    device: str | None = None


class Plant:
    """The simulated factory, for `async with`; every process of it ends with the block.

    Ports are free ones unless given (`opcua`, `modbus`, `broker`). The folder holds manifest.json,
    the serial ports and a log of each device. A device that is killed comes back on its port.

    Args:
        dir: Where to put them; a fresh temporary folder if left out.
        seed: Another seed is another plant.
        speed: 2 makes the plant's time run twice as fast as the wall's.
        with_faults: Whether the script of faults runs.
        secure: Whether OPC UA offers Basic256Sha256 as well.
        ports: Fixed ports by device.
        on_event: Called with everything that happens.
    """

    def __init__(
        self,
        dir: Path | None = None,
        *,
        seed: int = 1,
        speed: float = 1.0,
        with_faults: bool = True,
        secure: bool = True,
        ports: dict[str, int] | None = None,
        on_event: Callable[[PlantEvent], None] | None = None,
    ) -> None:
        folder = dir if dir is not None else Path(tempfile.mkdtemp(prefix="genba-plant-"))
        self.setting = Setting(folder.resolve(), seed, 0.0, speed, with_faults)
        self.ports = dict(ports or {})
        self._secure = secure
        self._on_event = on_event
        self._tasks = Tasks("plant")
        self._processes: dict[str, asyncio.subprocess.Process] = {}
        self._power = {name: asyncio.Event() for name in DEVICES}
        self._stopping = False

    @property
    def dir(self) -> Path:
        """The plant's folder."""
        return self.setting.dir

    def now(self) -> float:
        """Seconds of the plant since its start."""
        return self.setting.moment().now()

    def schedule(self, until_s: float) -> list[Fault]:
        """The faults that begin before then; none when the plant runs without faults."""
        return faults.schedule(self.setting.seed, until_s) if self.setting.faults else []

    def pid(self, device: str) -> int | None:
        """The process of a device; None while it is off."""
        process = self._processes.get(device)
        return process.pid if process is not None and process.returncode is None else None

    def manifest(self) -> dict[str, Any]:
        """Endpoints, and for every tag what it is and where it is found."""
        return manifests.manifest(self.setting, self.ports, self._secure)

    async def __aenter__(self) -> Self:
        broker.software()
        self.dir.mkdir(parents=True, exist_ok=True)
        for device in ("opcua", "modbus", "broker"):
            self.ports.setdefault(device, _free_port())
        self.setting = Setting(
            self.dir,
            self.setting.seed,
            SystemClock().now() * 1e-9,
            self.setting.speed,
            self.setting.faults,
        )
        for name in DEVICES:
            child.ready_file(self.dir, name).unlink(missing_ok=True)
            self._power[name].set()
        try:
            for name in DEVICES:
                self._tasks.start(name, self._keep(name))
            async with asyncio.timeout(_START_S):
                for name in DEVICES:
                    await self._until_ready(name)
        except TimeoutError as error:
            late = [n for n in DEVICES if not child.ready_file(self.dir, n).exists()]
            await self._stop()
            text = f"No start of {', '.join(late)} in {_START_S:.0f} s. See the logs in {self.dir}."
            raise FaultError(text) from error
        except BaseException:
            await self._stop()
            raise
        self._write_manifest()
        if self.setting.faults:
            self._tasks.start("script", self._play())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._stop()

    async def switch_off(self, device: str) -> None:
        """Cut the power of a device: its process is killed at once."""
        self._power[device].clear()
        process = self._processes.get(device)
        if process is not None and process.returncode is None:
            process.kill()
            await process.wait()
        self._tell("off", f"{device} is switched off", device=device)

    def switch_on(self, device: str) -> None:
        """Give a device its power back: it starts again on its port."""
        self._power[device].set()
        self._tell("on", f"{device} is switched on", device=device)

    async def _keep(self, name: str) -> None:
        """Run one device, again whenever it ends, as long as it has power."""
        while True:
            await self._power[name].wait()
            if name in _NEEDS:
                await self._until_ready(_NEEDS[name])
            with (self.dir / f"{name}.log").open("wb") as log:
                process = await self._spawn(name, log)
            self._processes[name] = process
            if not self._power[name].is_set():  # Switched off while it was being started.
                process.kill()
            if name == "broker" and broker.software() == "mosquitto":
                await self._until_broker_answers(process)
            code = await process.wait()
            child.ready_file(self.dir, name).unlink(missing_ok=True)
            if self._power[name].is_set():
                text = f"{name} ended (code {code}), next start in {_AGAIN_S} s"
                self._tell("died", text, device=name)
                await asyncio.sleep(_AGAIN_S)

    async def _spawn(self, name: str, log: IO[bytes]) -> asyncio.subprocess.Process:
        arguments = [*self.setting.arguments(), f"--parent={os.getpid()}"]
        if name in self.ports:
            arguments.append(f"--port={self.ports[name]}")
        if name == "sensors":
            arguments.append(f"--port={self.ports['broker']}")
        if name == "opcua" and self._secure:
            arguments.append(f"--pki={self.dir / 'pki'}")
        # The pipe to its standard input is never written to; its end tells the child of ours.
        return await asyncio.create_subprocess_exec(
            *child.command(name, arguments),
            stdin=asyncio.subprocess.PIPE,
            stdout=log,
            stderr=log,
            env=child.environment(),
            start_new_session=True,  # Ctrl-C is for us; we stop them in order.
        )

    async def _until_broker_answers(self, process: asyncio.subprocess.Process) -> None:
        """mosquitto cannot write our ready file, so we do when it takes a connection."""
        while process.returncode is None:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", self.ports["broker"])
                writer.close()
                text = f"{process.pid}\n"
                child.ready_file(self.dir, "broker").write_text(text, encoding="ascii")
                return
            await asyncio.sleep(_LOOK_S)

    async def _until_ready(self, name: str) -> None:
        while not child.ready_file(self.dir, name).exists():  # noqa: ASYNC110 - a file has no event
            await asyncio.sleep(_LOOK_S)

    async def _play(self) -> None:
        """Follow the script: announce faults, and cut the power where it says so."""
        moment = self.setting.moment()
        n = 0
        while True:
            marks = [(f.start_s, True, f) for f in faults.cycle(self.setting.seed, n)]
            marks += [(f.end_s, False, f) for f in faults.cycle(self.setting.seed, n)]
            for at, begins, fault in sorted(marks, key=lambda mark: mark[0]):
                wait_s = moment.until(at)
                while wait_s > 0:  # uvloop may wake us a millisecond early.
                    await asyncio.sleep(wait_s)
                    wait_s = moment.until(at)
                kind: Literal["fault_begins", "fault_ends"] = (
                    "fault_begins" if begins else "fault_ends"
                )
                self._tell(kind, fault.text(), fault, fault.device)
                if fault.kind == "power_off":
                    if begins:
                        await self.switch_off(fault.device)
                    else:
                        self.switch_on(fault.device)
            n += 1

    def _tell(
        self,
        kind: Literal["fault_begins", "fault_ends", "off", "on", "died"],
        text: str,
        fault: Fault | None = None,
        device: str | None = None,
    ) -> None:
        if self._on_event is not None and not self._stopping:
            self._on_event(PlantEvent(self.now(), kind, text, fault, device))

    def _write_manifest(self) -> None:
        path = self.dir / "manifest.json"
        fresh = path.with_suffix(".new")
        fresh.write_text(json.dumps(self.manifest(), indent=1) + "\n", encoding="utf-8")
        fresh.replace(path)

    async def _stop(self) -> None:
        """End all processes, those that talk before those they talk to."""
        self._stopping = True
        await self._tasks.stop()
        for name in reversed(DEVICES):
            process = self._processes.get(name)
            if process is None or process.returncode is not None:
                continue
            process.terminate()
            try:
                await asyncio.wait_for(process.wait(), _STOP_S)
            except TimeoutError:
                process.kill()
                await process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
