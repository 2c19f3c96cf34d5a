"""The product as a user has it: `genba run` as a process of its own, asked over its API."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import sqlite3
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from gateway.api.client import Client
from gateway.cli.demo import variables
from gateway.errors import GatewayError

FLOWS = Path(__file__).resolve().parents[2] / "flows"
LONG_S = 60.0
Found = Callable[[], Any] | Callable[[], Awaitable[Any]]


async def until(found: Found, about: str, *, seconds: float = LONG_S) -> Any:
    """Wait until it gives something true, which is returned; an error of ours counts as no."""
    last: Any = None
    try:
        async with asyncio.timeout(seconds):
            while True:
                try:
                    answer = found()
                    last = await answer if asyncio.iscoroutine(answer) else answer
                except GatewayError as error:
                    last = f"{error}"
                else:
                    if last:
                        return last
                await asyncio.sleep(0.1)
    except TimeoutError:
        raise AssertionError(f"Not within {seconds:.0f} s: {about}. Last: {last!r}") from None


@contextlib.asynccontextmanager
async def broker(folder: Path, port: int) -> AsyncIterator[None]:
    """The plant's broker alone, as a process."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway.plant", "broker", f"--dir={folder}", f"--port={port}"
    )
    try:

        async def answers() -> bool:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                return True
            return False

        await until(answers, "the broker")
        yield
    finally:
        process.terminate()
        await process.wait()


def free_port() -> int:
    """A TCP port nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def shipped() -> list[Path]:
    """The flows of the demo."""
    return sorted(FLOWS.glob("*.flow.yaml"))


class Product:
    """`genba run` with a state folder of its own; it can be killed and started again.

    Args:
        folder: For state, port file and log.
        flows: What it runs.
        values: For the variables in the flows.
        state: Another state folder than the one in `folder`.
        environment: Variables it gets besides those of the test.
        options: More words for the command line.
    """

    def __init__(
        self,
        folder: Path,
        flows: Sequence[Path],
        values: Mapping[str, str] | None = None,
        *,
        state: Path | None = None,
        environment: Mapping[str, str] | None = None,
        options: Sequence[str] = (),
    ) -> None:
        self.folder = folder
        self.state = state or folder / "state"
        self.log = folder / "gateway.log"
        self._flows = list(flows)
        self._values = dict(values or {})
        self._environment = {**os.environ, **(environment or {})}
        self._options = list(options)
        self._process: asyncio.subprocess.Process | None = None
        self._client: Client | None = None

    async def __aenter__(self) -> Product:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    async def start(self, *, answers: bool = True) -> None:
        """Start it, and wait until it answers."""
        port_file = self.folder / "port"
        port_file.unlink(missing_ok=True)
        words = ["run", *map(str, self._flows), "--state", str(self.state), "--port", "0"]
        words += ["--port-file", str(port_file), *self._options]
        for name, value in self._values.items():
            words += ["--set", f"{name}={value}"]
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "gateway", *words),
                stderr=log,
                stdout=log,
                env=self._environment,
            )
        if not answers:
            return

        def port() -> int:
            assert self._process is not None
            assert self._process.returncode is None, self.said()[-3000:]
            text = port_file.read_text() if port_file.exists() else ""
            return int(text or 0)

        self._client = Client(f"http://127.0.0.1:{await until(port, 'the port file')}")
        await until(self.status, "an answer of the gateway")

    async def kill(self) -> None:
        """End it as a power cut does."""
        assert self._process is not None
        self._process.kill()
        await self._process.wait()

    async def terminate(self) -> int:
        """Ask it to end, as systemd does; returns the exit code."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        return await self.ended()

    async def ended(self) -> int:
        """Wait for its end; returns the exit code."""
        assert self._process is not None
        async with asyncio.timeout(LONG_S):
            return await self._process.wait()

    @property
    def pid(self) -> int:
        """Its process."""
        assert self._process is not None
        return self._process.pid

    @property
    def client(self) -> Client:
        """Its API."""
        assert self._client is not None
        return self._client

    def said(self) -> str:
        """All it logged."""
        text = self.log.read_text("utf-8", "replace") if self.log.exists() else ""
        assert "Traceback" not in text, text[-8000:]
        return text

    # ------------------------------------------------------------------ what it knows

    async def status(self) -> dict[str, Any]:
        """Its status."""
        return await asyncio.to_thread(self.client.status)

    async def lines(self) -> list[str]:
        """The sentences it has said to people since it was started."""
        return [f"{where}: {text}" for _, _, where, text in (await self.status())["lines"]]

    async def node(self, node: str) -> dict[str, Any]:
        """The status of one node; a connection and a node may have one name, the node wins."""
        rows = [row for row in (await self.status())["nodes"] if row["node"] == node]
        assert rows, f"there is no node {node}"
        return sorted(rows, key=lambda row: row["kind"] == "connection")[0]

    async def counts(self, node: str) -> dict[str, int]:
        """The counts of one node."""
        return dict((await self.node(node))["counts"])

    async def rows(self) -> dict[str, int]:
        """Rows of every measured tag so far; a tag that is Bad now has none that count."""
        found = await asyncio.to_thread(self.client.tags)
        return {
            row["tag"]: row["rows"] if row["quality"] == "Good" else -1
            for row in found
            if "#" not in row["tag"]
        }

    async def open_alarms(self) -> dict[str, dict[str, Any]]:
        """Open alarms by id."""
        found = await asyncio.to_thread(self.client.alarms)
        return {row["alarm"]: row for row in found}

    async def history(self) -> list[dict[str, Any]]:
        """Every alarm event it remembers, oldest first."""
        return await asyncio.to_thread(lambda: self.client.alarms(history=True))

    async def all_flow(self, wanted: int) -> None:
        """Wait until so many tags are Good and all but setpoints get new rows."""
        before = {
            tag: 0 if tag.endswith("_setpoint") else rows
            for tag, rows in (await self.rows()).items()
        }

        async def stuck() -> str:
            after = await self.rows()
            still = [tag for tag, rows in after.items() if rows <= max(before.get(tag, 0), 0)]
            if len(after) < wanted:
                return f"only {len(after)} tags"
            return ", ".join(still)

        last = ""
        try:
            async with asyncio.timeout(LONG_S):
                while last := await stuck():
                    await asyncio.sleep(0.2)
        except TimeoutError:
            raise AssertionError(f"After {LONG_S:.0f} s there is no row of: {last}") from None

    def stored(self, sql: str) -> list[tuple[Any, ...]]:
        """Rows of the state file, read from outside."""
        with sqlite3.connect(f"file:{self.state}/genba.db?mode=ro", uri=True, timeout=30) as db:
            return db.execute(sql).fetchall()

    def history_rows(self, folder: str, tag: str) -> list[tuple[int, float]]:
        """(ts, value) of a tag in a history of `sqlite.sink`, in order of time."""
        found: list[tuple[int, float]] = []
        for path in sorted((self.state / folder).glob("????-??-??.db")):
            with sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30) as db:
                if not db.execute("SELECT 1 FROM sqlite_master WHERE name='sample'").fetchone():
                    continue  # It was made this very moment and has no tables yet.
                found += db.execute(
                    "SELECT ts, value FROM sample JOIN tag USING (code) WHERE name=? ORDER BY ts",
                    (tag,),
                ).fetchall()
        return found

    def json_rows(self, path: str) -> list[dict[str, Any]]:
        """The whole lines of a file of `file.jsonl_sink`."""
        file = self.state / path
        text = file.read_text("utf-8") if file.exists() else ""
        return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]


def changes(history: Sequence[Mapping[str, Any]], condition: str) -> dict[str, list[str]]:
    """What happened to the alarms of a condition, by tag, in order."""
    found: dict[str, list[str]] = {}
    for row in history:
        if row["condition"] == condition:
            found.setdefault(row["tag"], []).append(row["change"])
    return found


def can_mount() -> bool:
    """Whether a file system may be mounted here, which a full disk is made with."""
    return os.geteuid() == 0 and sys.platform == "linux" and Path("/bin/mount").exists()


__all__ = [
    "FLOWS",
    "LONG_S",
    "Product",
    "broker",
    "can_mount",
    "changes",
    "free_port",
    "shipped",
    "until",
    "variables",
]
