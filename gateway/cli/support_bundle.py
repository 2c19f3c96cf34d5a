"""genba support-bundle: all that helps to find a fault, in one file, without secrets."""

from __future__ import annotations

import argparse
import io
import json
import os
import re
import socket
import subprocess
import tarfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from gateway.api.client import URL
from gateway.api.client_flows import FlowClient
from gateway.api.licences import packages
from gateway.cli._scrub import known_secrets, scrub, scrubbed, without
from gateway.cli.config import plain
from gateway.cli.doctor import examined
from gateway.cli.settings import Settings, read, take_config, usual
from gateway.cli.words import local_time, size
from gateway.engine.clock import SystemClock
from gateway.errors import ConfigError, Disconnected, GatewayError
from gateway.flow.yaml_read import read as read_yaml

_LINES_MAX: Final = 2_000
_LETTERS_MAX: Final = 200
_ERROR_MAX: Final = 200
_UNITS: Final = "etc/systemd/system"
_README: Final = """What helps to find a fault of this gateway; made by `genba support-bundle`.

Not in it: samples, payloads of messages, passwords, tokens, keys, cookies, accounts, the audit.
In it: names of tags, flows and devices, addresses in the plant, texts of errors and log lines.
Where *** stands, something was taken out that is a secret or looked like one.
"""


def add(commands: Any) -> None:
    """Declare the subcommand."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "support-bundle", help="write all that helps to find a fault into one file, without secrets"
    )
    parser.add_argument("file", nargs="?", type=Path, help="the .tar.gz; must not exist yet")
    parser.add_argument("--api", help=f"address of the gateway; else $GENBA_API, else {URL}")
    parser.add_argument("--state", type=Path, help="folder of the state; else that of the settings")
    take_config(parser)
    parser.add_argument("--list", action="store_true", help="only say what would be in it")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the subcommand; returns the exit code."""
    now = SystemClock().now()
    stamp = re.sub(r"\D", "", local_time(now))
    path = args.file or Path(f"genba-support-{socket.gethostname()}-{stamp}.tar.gz")
    if path.exists() and not args.list:
        raise ConfigError(f"{path} is there already.", hint="Choose another name.")
    try:
        settings = read(args)
    except ConfigError:  # What is wrong with them stands in the doctor's findings.
        settings = usual()
    known = known_secrets(args.state or settings["state"])
    members = {
        # What is JSON was scrubbed value by value, and stays JSON.
        name: without(text, known) if name.endswith(".json") else scrub(text, known)
        for name, text in _gathered(args, settings, known, now)
    }
    print(f"{path} {'would hold' if args.list else 'is to hold'}:")
    for name, text in members.items():
        print(f"  {size(len(text.encode())):>9}  {name}")
    if args.list:
        return 0
    _write(path, members, now)
    print(f"{path}: {size(path.stat().st_size)}. Look into it before you send it: tar -xzf {path}")
    return 0


def _gathered(
    args: argparse.Namespace, settings: Settings, known: list[str], now: int
) -> Iterator[tuple[str, str]]:
    """Name and text of each file."""

    def of_json(value: Any) -> str:
        return json.dumps(scrubbed(value, known), indent=1, ensure_ascii=False, default=str) + "\n"

    client = FlowClient(args.api)
    yield "README.txt", f"{_README}\nMade on {local_time(now)}.\n"
    yield "doctor.json", of_json([asdict(one) for one in examined(args)])
    yield "config.json", of_json(plain(settings))
    yield "packages.json", of_json(packages())
    asked: dict[str, Callable[[], Any]] = {
        "versions.json": lambda: {k: v for k, v in client.about().items() if k != "packages"},
        "status.json": client.report,
        "connections.json": client.connections,
        "gaps.json": client.gaps,
        "dead_letters.json": lambda: [_head(row) for row in client.letters("all", _LETTERS_MAX)],
        "metrics.txt": client.metrics,
    }
    for name, ask in asked.items():
        found = _tried(ask)
        yield name, found if isinstance(found, str) else of_json(found)
    for name, text in _flows(client, settings):
        yield f"flows/{re.sub(r'[^A-Za-z0-9_.-]', '_', name)}.json", of_json(_values(text, name))
    for unit in sorted((Path("/") / _UNITS).glob("genba*")):
        if unit.is_file():
            yield f"units/{unit.name}", unit.read_text("utf-8", "replace")
    yield "units/state.txt", _said("systemctl", "status", "--no-pager", "--lines=0", "genba*")
    lines = ("-n", str(_LINES_MAX), "-o", "short-iso", "--no-pager")
    yield "log.txt", _said("journalctl", "-u", "genba*", *lines)


def _tried(ask: Callable[[], Any]) -> Any:
    """The answer of the gateway, or why there is none."""
    try:
        return ask()
    except GatewayError as error:
        return {"not there": str(error)}


def _head(row: Mapping[str, Any]) -> dict[str, Any]:
    """A dead letter without its message; an error may quote from it, so it is cut."""
    return {**row, "error": str(row["error"]).partition("\n")[0][:_ERROR_MAX]}


def _flows(client: FlowClient, settings: Settings) -> Iterator[tuple[str, str]]:
    """The flows that run; those named in the settings when no gateway answers."""
    try:
        for row in client.flows():
            yield row["flow"], client.flow(row["flow"])["text"]
    except (Disconnected, GatewayError):
        for path in settings["flows"]:
            for file in sorted(path.rglob("*.yaml")) if path.is_dir() else [path]:
                if file.is_file():
                    yield file.name, file.read_text("utf-8", "replace")


def _values(text: str, name: str) -> Any:
    """A flow as values: comments are left out, since anything may stand in them."""
    try:
        return read_yaml(text, name).value
    except ConfigError as error:
        return {"not readable": str(error)}


def _said(*words: str) -> str:
    """What a command of the system says."""
    try:
        done = subprocess.run(
            words, capture_output=True, text=True, errors="replace", check=False, timeout=60
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{words[0]}: {error}\n"
    return done.stdout or done.stderr


def _write(path: Path, members: Mapping[str, str], now: int) -> None:
    """The archive, readable by who made it only."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    with (
        os.fdopen(os.open(path, flags, 0o600), "wb") as file,
        tarfile.open(fileobj=file, mode="w:gz") as out,
    ):
        for name, text in members.items():
            data = text.encode()
            info = tarfile.TarInfo(f"genba-support/{name}")
            info.size, info.mode, info.mtime = len(data), 0o600, now // 10**9
            out.addfile(info, io.BytesIO(data))
