"""genba run: run flows until told to stop."""

from __future__ import annotations

import argparse
import asyncio
import importlib
import logging
import os
import signal
import sys
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

from gateway.cli.main import log_to_stderr
from gateway.engine.runtime import Runtime
from gateway.engine.tasks import Tasks
from gateway.errors import ConfigError
from gateway.flow.document import Document

PORT = 8780
_log = logging.getLogger("genba.run")


def add(commands: Any) -> None:
    """Declare the subcommand."""
    parser: argparse.ArgumentParser = commands.add_parser("run", help="run flows")
    parser.add_argument("flows", nargs="*", type=Path, help="flow files or folders of them")
    parser.add_argument("--state", type=Path, default=default_state(), help="folder for the state")
    parser.add_argument(
        "--port", type=int, default=PORT, help="port of the page and API; 0 takes a free one"
    )
    parser.add_argument("--port-file", type=Path, help="write the port here once it answers")
    parser.add_argument(
        "--tags-max", type=int, default=20_000, help="how many tags there may be, at most 65535"
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a value for ${NAME} in the flows",
    )
    parser.add_argument("--live", action="store_true", help="show a live view in the terminal")
    parser.set_defaults(run=run)


def default_state() -> Path:
    """Where state lives when nobody says otherwise."""
    if "STATE_DIRECTORY" in os.environ:  # systemd's own word for it
        return Path(os.environ["STATE_DIRECTORY"])
    home = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(home) / "genba"


def load(paths: Sequence[Path]) -> list[Document]:
    """The flows in files and folders, in order of their names.

    Raises:
        ConfigError: A path is absent, a file is no flow, or two flows have one name.
    """
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            files += sorted(path.glob("*.flow.yaml"))
        elif path.exists():
            files.append(path)
        else:
            raise ConfigError(
                f"There is no {path}.", hint="Name a *.flow.yaml or a folder of them."
            )
    documents = [Document.load(file) for file in files]
    if not documents:
        raise ConfigError(
            "There is no flow to run.", hint="Name a *.flow.yaml or a folder of them."
        )
    seen: dict[str, Path] = {}
    for file, document in zip(files, documents, strict=True):
        if document.name in seen:
            raise ConfigError(
                f"{file} and {seen[document.name]} are both called {document.name!r}."
            )
        seen[document.name] = file
    return documents


def variables(pairs: Sequence[str]) -> dict[str, str]:
    """``NAME=VALUE`` pairs over those of the environment (``GENBA_VAR_NAME``)."""
    found = {k[10:].lower(): v for k, v in os.environ.items() if k.startswith("GENBA_VAR_")}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise ConfigError(f"{pair!r} is no variable.", hint="Write --set NAME=VALUE.")
        found[name] = value
    return found


def run(args: argparse.Namespace) -> int:
    """Run the subcommand."""
    documents = load(args.flows or [Path("flows")])
    if not args.live:
        log_to_stderr()
    return run_loop(_run(documents, args))


async def _run(documents: list[Document], args: argparse.Namespace) -> int:
    runtime = Runtime(documents, args.state, variables=variables(args.set), tags_max=args.tags_max)
    stop = stop_on_signals()
    watch = None
    if args.live:
        from gateway.cli.live import LiveView

        watch = LiveView(runtime, "Genba").run

    def told(port: int) -> None:
        if args.port_file is not None:
            args.port_file.write_text(str(port))

    await serve(runtime, args.port, stop, watch, told)
    return 0


async def serve(
    runtime: Runtime,
    port: int,
    stop: asyncio.Event,
    watch: Callable[[], Coroutine[Any, Any, None]] | None = None,
    told: Callable[[int], None] | None = None,
) -> None:
    """Start the gateway and its API, wait for `stop`, end both in order."""
    await runtime.start()
    tasks = Tasks("run")
    server = None
    try:
        tasks.start("first", _log_first_sample(runtime))
        # A second of imports: on a thread, so that they do not hold up the first sample.
        api = await asyncio.to_thread(importlib.import_module, "gateway.api.server")
        server = api.Server(runtime, port)
        serving = tasks.start("api", server.run())
        _log.info("The page is at %s", server.url)
        if told is not None:
            told(server.port)
        if watch is not None:
            tasks.start("live", watch())
        else:
            tasks.start("alarms", _log_alarms(runtime))
        await stop.wait()
        server.stop()
        await asyncio.wait([serving], timeout=3)
    finally:
        await tasks.stop()
        await runtime.stop()
        _log.info("Stopped; the state is stored.")


async def _log_first_sample(runtime: Runtime) -> None:
    while not any(status.counts["rows_in"] for status in runtime.statuses):
        await asyncio.sleep(0.01)
    passed = runtime.clock.monotonic() - runtime.started_s
    _log.info("First sample %.2f s after the start.", passed)


async def _log_alarms(runtime: Runtime) -> None:
    """One line an alarm event, for a pipe, CI and systemd."""
    log = logging.getLogger("genba.alarm")
    async for event in runtime.book.follow():
        level = logging.WARNING if event.change == "raised" else logging.INFO
        log.log(
            level,
            "%s %s %s %s: %s",
            event.priority,
            event.condition,
            event.change,
            event.tag,
            event.text,
        )


def stop_on_signals() -> asyncio.Event:
    """An event that SIGINT and SIGTERM set."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    return stop


def run_loop(work: Coroutine[Any, Any, int]) -> int:
    """Run a coroutine on the fastest loop there is."""
    factory = None
    if sys.platform == "linux":
        import uvloop

        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(work)
