"""genba run: run flows until told to stop."""

from __future__ import annotations

import argparse
import asyncio
import importlib
import logging
import os
import signal
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from gateway.api.local import FILE, default_state, remove_token, write_token
from gateway.cli._explain import explain_options, take_explain
from gateway.cli._history import limits_of, take_limits
from gateway.cli.main import log_to_stderr, take_values
from gateway.cli.screens import Screens, add_listen, screens
from gateway.data.tag import TAGS_MAX
from gateway.engine.dashboards import seed
from gateway.engine.runtime import Runtime
from gateway.engine.store_room import roomy_store
from gateway.engine.tasks import Tasks
from gateway.errors import ConfigError, Disconnected
from gateway.flow.document import Document
from gateway.flow.lint import lint

PORT = 8780
_log = logging.getLogger("genba.run")


def add(commands: Any) -> None:
    """Declare the subcommand."""
    parser: argparse.ArgumentParser = commands.add_parser("run", help="run flows")
    parser.add_argument("flows", nargs="*", type=Path, help="flow files or folders of them")
    parser.add_argument("--state", type=Path, default=default_state(), help="folder for the state")
    parser.add_argument(
        "--port", type=port, default=PORT, help="port of the page and API; 0 takes a free one"
    )
    parser.add_argument("--port-file", type=Path, help="write the port here once it answers")
    parser.add_argument(
        "--tags-max", type=count, default=20_000, help="how many tags there may be, at most 65535"
    )
    parser.add_argument("--accounts", action="store_true", help="ask for a login from the start")
    add_listen(parser)
    take_limits(parser)
    take_explain(parser)
    take_values(parser)
    parser.add_argument("--live", action="store_true", help="show a live view in the terminal")
    parser.set_defaults(run=run)


def port(text: str) -> int:
    """A TCP port as an argument.

    >>> port("8780")
    8780
    """
    if not (text.isascii() and text.isdigit() and int(text) <= 65_535):
        raise argparse.ArgumentTypeError(f"{text!r} is no port; write 0 to 65535")
    return int(text)


def count(text: str) -> int:
    """A number of tags as an argument.

    >>> count("20000")
    20000
    """
    if not (text.isascii() and text.isdigit() and 0 < int(text) <= TAGS_MAX):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of tags; write 1 to {TAGS_MAX}")
    return int(text)


def load(paths: Sequence[Path], values: Mapping[str, str]) -> tuple[list[Document], list[str]]:
    """The flows in files and folders that can run, and what is wrong with the others.

    Each flow is checked as `genba lint` does. A flow with an error is left out and does not
    keep the others from running.

    Raises:
        ConfigError: A path is absent, or there are flows and none of them can run.
    """
    hint = "Name a *.flow.yaml or a folder of them."
    documents: dict[str, Document] = {}
    problems: list[str] = []
    for file in _files(paths, hint):
        try:
            document = Document.load(file)
        except ConfigError as error:
            problems.append(str(error))
            continue
        errors = (one for one in lint(document, values) if one.severity == "error")
        # A flow runs whatever is wrong with the tests inside it; `genba lint` says so.
        found = [str(one) for one in errors if not one.field.startswith("tests")]
        if document.name in documents:
            other = documents[document.name].file
            found.append(f"{file}: This flow is called {document.name!r}, as is that of {other}.")
        problems += found
        if not found:
            documents[document.name] = document
    if problems and not documents:
        raise ConfigError("No flow can run:\n  " + "\n  ".join(problems))
    return list(documents.values()), problems


def _files(paths: Sequence[Path], hint: str) -> list[Path]:
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            files += sorted(path.glob("*.flow.yaml"))
        elif path.exists():
            files.append(path)
        else:
            raise ConfigError(f"There is no {path}.", hint=hint)
    return files


def variables(pairs: Sequence[str]) -> dict[str, str]:
    """``NAME=VALUE`` pairs over those of the environment (``GENBA_VAR_NAME``)."""
    found = {k[10:].lower(): v for k, v in os.environ.items() if k.startswith("GENBA_VAR_")}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise ConfigError(f"{pair!r} is no variable.", hint="Write --set NAME=VALUE.")
        found[name] = value
    return found


def run(args: argparse.Namespace) -> int:
    """Run the subcommand."""
    usual = [path for path in (Path("flows"),) if path.is_dir()]
    documents, problems = load(args.flows or usual, variables(args.set))
    args.live = args.live and sys.stdout.isatty()
    if args.live:
        logging.disable(logging.CRITICAL)  # The live view owns the terminal.
    else:
        log_to_stderr()
    for text in problems:
        _log.error("This flow does not run: %s", text)
    return run_loop(_run(documents, problems, args))


async def _run(documents: list[Document], problems: list[str], args: argparse.Namespace) -> int:
    seed(args.state, args.flows or [Path("flows")])
    runtime = Runtime(
        documents,
        args.state,
        variables=variables(args.set),
        store=roomy_store(args.state / "genba.db"),
        tags_max=args.tags_max,
        history=limits_of(args),
        explain=explain_options(args),
    )
    for text in problems:
        runtime.lines.add(runtime.clock.now(), "error", "flows", f"A flow does not run: {text}")
    stop = stop_on_signals()
    watch = None
    if args.live:
        from gateway.cli.live import LiveView

        watch = LiveView(runtime, "Genba").run

    def told(port: int) -> None:
        if args.port_file is not None:
            args.port_file.write_text(str(port))

    shown = screens(args.listen, args.state, runtime.clock.now())
    await serve(runtime, args.port, stop, watch, told, always=args.accounts, shown=shown)
    return 0


async def serve(
    runtime: Runtime,
    port: int,
    stop: asyncio.Event,
    watch: Callable[[], Coroutine[Any, Any, None]] | None = None,
    told: Callable[[int], None] | None = None,
    *,
    always: bool = False,
    shown: Screens | None = None,
) -> None:
    """Start the gateway, its API and its screens, wait for `stop`, end all in order."""
    tasks = Tasks("run")
    try:
        async with asyncio.timeout(None) as limit:
            watching = tasks.start("stop", _cut_short(limit, stop))
            await runtime.start()
            watching.cancel()
    except TimeoutError:
        return  # Told to stop while the start waits, for a disk or in a long replay.
    finally:
        await tasks.stop()
    server = None
    try:
        tasks.start("first", _log_first_sample(runtime))
        # A second of imports: on a thread, so that they do not hold up the first sample.
        api = await asyncio.to_thread(importlib.import_module, "gateway.api.server")
        always = always or (shown is not None and shown.is_tls)
        server = api.Server(runtime, port, always=always, screens=shown.url if shown else "")
        serving = tasks.start("api", server.run())
        _let_commands_in(runtime.state_dir, server)
        _log.info("The API is at %s", server.url)
        if shown is not None:
            tasks.start("screens", shown.run())
            _log.info("The screens are at %s", shown.url)
            if shown.fingerprint:
                _log.info("Their certificate has the SHA-256 fingerprint %s", shown.fingerprint)
        await _tell_claim(server, is_quiet=watch is not None)
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
        if server is not None:
            remove_token(runtime.state_dir, server.access.local_token)
        await tasks.stop()
        await runtime.stop()
        _log.info("Stopped; the state is stored.")


def _let_commands_in(folder: Path, server: Any) -> None:
    try:
        write_token(folder, server.port, server.access.local_token)
    except OSError as error:  # A full disk keeps no gateway from running.
        _log.error("Commands must log in: %s cannot be written (%s).", folder / FILE, error)


async def _tell_claim(server: Any, *, is_quiet: bool) -> None:
    """Say how the first administrator is made, where nobody but who stands here can read it."""
    with suppress(Disconnected):  # Who has accounts is not known before the disk is there.
        await server.accounts.ready()
        if server.accounts.is_claimed:
            return
        text = (
            "This gateway has no account yet. `genba users claim NAME` makes the first "
            "administrator with this code, within 30 minutes: "
            f"{server.access.logins.claim_code.renew()}"
        )
        if is_quiet:  # The live view owns the terminal, and nothing is logged.
            print(text, file=sys.stderr)
        else:
            _log.warning("%s", text)


async def _cut_short(limit: asyncio.Timeout, stop: asyncio.Event) -> None:
    await stop.wait()
    limit.reschedule(asyncio.get_running_loop().time())


async def _log_first_sample(runtime: Runtime) -> None:
    # A count has no event; this ends within the first seconds, or there is no flow yet.
    pause_s = 0.01
    while not any(s.counts["rows_in"] for s in runtime.statuses):
        await asyncio.sleep(pause_s)
        pause_s = min(pause_s * 1.02, 1.0)
    passed = runtime.clock.monotonic() - runtime.started_s
    _log.info("First sample %.2f s after the start.", passed)


async def _log_alarms(runtime: Runtime) -> None:
    """One line an alarm event, for a pipe, CI and systemd."""
    log = logging.getLogger("genba.alarm")
    async for event in runtime.book.follow():
        level = logging.WARNING if event.change == "raised" else logging.INFO
        words = (event.priority, event.condition, event.change, event.tag, event.text)
        log.log(level, "%s %s %s %s: %s", *words)


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
