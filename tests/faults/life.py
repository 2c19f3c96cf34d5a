"""The gateway as the kill tests run it: the whole of `genba run`, many lives one after another.

    python -m tests.faults.life FOLDER URL

holds all modules ready and starts a life for each line of JSON on its input, in a process of its
own, so that a life costs a tenth of a second and not the second that imports take. It answers with
the process, and when that has ended, with how. With ``--cold`` it is a single life itself, imports
included. A life writes when it had started and when it had worked on its first sample, for the
time a recovery takes.

Here stand the mutants too: gateways that are wrong on purpose, which the tests must find out.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import nodes.alarm.communication
import nodes.alarm.limit
import nodes.feature.statistics
import nodes.file.jsonl_sink
import nodes.mqtt.connection
import nodes.mqtt.source
import nodes.sqlite.sink
import nodes.window.count
import nodes.window.tumbling  # noqa: F401 - so that no life has to import it
from gateway.cli import run as run_command
from gateway.cli.main import main as genba
from gateway.engine import crash
from gateway.engine.arrived import Arrived
from gateway.engine.graph import Graph
from gateway.engine.inbox import Inbox
from gateway.engine.runtime import Runtime
from gateway.flow.node import State

CHECKPOINT_S: Final = 0.25  # So that many a kill comes by one.
LIFE_S: Final = 600  # No life outlasts this, should the test itself be killed.


class Watched(Runtime):
    """The runtime with frequent checkpoints; it writes down when it worked on its first sample."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs, checkpoint_s=CHECKPOINT_S)

    async def start(self) -> None:
        await super().start()
        started = time.monotonic()
        seen = self._worked_on()
        self.state_dir.parent.joinpath("ready").touch()
        self._first = asyncio.get_running_loop().create_task(self._write_first(started, seen))

    def _worked_on(self) -> int:
        """Rows that the graph has worked on in this life; the replay of the journal counts."""
        return sum(row["rows"] for row in self.wires() if row["from"] == "numbers.out")

    async def _write_first(self, started: float, seen: int) -> None:
        while self._worked_on() == seen:
            await asyncio.sleep(0.002)
        now, spawned = time.monotonic(), float(os.environ["LIFE_SPAWNED"])
        line = {
            "kind": os.environ["LIFE_KIND"],
            "started_s": started - spawned,
            "first_s": now - spawned,
        }
        with self.state_dir.parent.joinpath("recoveries.jsonl").open("a") as file:
            file.write(json.dumps(line) + "\n")


def acknowledge_early() -> None:
    """A mutant: it tells the source before the input is on the disk."""
    take = Inbox.take

    async def mutant(self: Inbox[Any], *args: Any) -> list[Any]:
        taken = await take(self, *args)
        for entry in taken:
            if isinstance(entry, Arrived) and entry.ingress is not None and entry.token is not None:
                await entry.ingress.acknowledge(entry.token)
                entry.token = None
        await asyncio.sleep(0.005)  # The line takes it away before the process is killed.
        return taken

    Inbox.take = mutant  # type: ignore[method-assign, assignment]  # that is what a mutant is


def forget() -> None:
    """A mutant: after a start one node is without the state that a checkpoint had of it."""
    restore = Graph.restore

    def mutant(self: Graph, states: Mapping[str, State], **more: Any) -> list[str]:
        kept = {node: state for node, state in states.items() if node != "fifty"}
        return restore(self, kept, **more)

    Graph.restore = mutant  # type: ignore[method-assign]  # that is what a mutant is


MUTANTS: Final[dict[str, Callable[[], None]]] = {
    "acknowledge_early": acknowledge_early,
    "forget": forget,
}


def live(folder: Path, url: str, environment: dict[str, str], mutant: str) -> int:
    """One life, to its end."""
    os.environ.update(environment)
    crash.arm(os.environ)
    if mutant:
        MUTANTS[mutant]()
    vars(run_command)["Runtime"] = Watched  # The same, with other times.
    return genba(
        [
            *("run", str(folder / "kills.flow.yaml"), "--state", str(folder / "state")),
            *("--port", "0", "--port-file", str(folder / "port"), "--set", f"mqtt_url={url}"),
        ]
    )


def start(folder: Path, url: str, order: dict[str, Any], log: int) -> int:
    """Begin a life in a process of its own; returns its number."""
    if pid := os.fork():
        return pid
    code = 70
    with contextlib.suppress(BaseException):
        signal.alarm(LIFE_S)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.dup2(log, 1)
        os.dup2(log, 2)
        code = live(folder, url, order["environment"], order["mutant"])
    sys.stderr.flush()
    os._exit(code)


def main(words: Sequence[str]) -> int:
    folder, url = Path(words[0]), words[1]
    if "--cold" in words:
        signal.alarm(LIFE_S)
        return live(folder, url, {}, os.environ.get("LIFE_MUTANT", ""))
    from gateway.api import server  # noqa: F401 - a second of imports that a life need not wait for

    log = os.open(folder / "gateway.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    print("ready", flush=True)
    for line in sys.stdin:
        pid = start(folder, url, json.loads(line), log)
        print(pid, flush=True)
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
