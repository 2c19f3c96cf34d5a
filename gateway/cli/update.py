"""genba update: another release takes the place of this one, or nothing changes.

Releases lie side by side in /opt/genba/releases; `current` and `previous` are links to two of
them. An update checks the signature, unpacks, switches the link, starts, and watches. When the
new one is not ready in time, ends, or its books do not balance, the old one runs again within a
minute. A power cut in between is no exception: the unit's first step (guard.sh) counts starts
of a release that nobody has confirmed, and goes back after the third.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from gateway.api.local import default_state
from gateway.cli.install import must_be_root
from gateway.data.whole import sync_folder
from gateway.engine.clock import SystemClock
from gateway.engine.handover import taken, write_result
from gateway.engine.release import BASE, KEYS, verified
from gateway.errors import ConfigError, Disconnected, GatewayError, Rejected

READY_S: Final = 30.0
WATCH_S: Final = 10.0
KEPT: Final = 3
"""Releases that stay on the disk."""
_UNPACKED: Final = 4
"""What a release takes while it unpacks itself, as a multiple of the file: a copy and the tree."""
_SPARE: Final = 50_000_000
"""What the gateway goes on recording meanwhile [bytes]."""
_TARGET: Final = "genba.target"
_ENGINE: Final = "genba-engine.service"
_UNITS: Final = (_ENGINE, "genba-safe.service", "genba-ui.service")
"""What a release that does not run may have started so often that systemd refuses to."""


def add(commands: Any) -> None:
    """Declare the subcommand."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "update", help="put another release in the place of this one, or go back"
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    new = actions.add_parser("install", help="check a signed release, run it, go back if it fails")
    new.add_argument("file", type=Path)
    new.add_argument(
        "--ready-s", type=float, default=READY_S, help="how long it may take to be ready [s]"
    )
    new.add_argument(
        "--watch-s", type=float, default=WATCH_S, help="how long it is watched after that [s]"
    )
    new.set_defaults(run=_install)
    back = actions.add_parser("rollback", help="run the release that ran before")
    back.set_defaults(run=_rollback)
    take = actions.add_parser("take", help="what was asked for in a browser; a service runs it")
    take.set_defaults(run=_take)
    shown = actions.add_parser("list", help="the releases on this gateway")
    shown.set_defaults(run=_list)


def _install(args: argparse.Namespace) -> int:
    must_be_root()
    print(install(args.file, args.ready_s, args.watch_s, print))
    return 0


def install(file: Path, ready_s: float, watch_s: float, say: Callable[[str], None]) -> str:
    """Put a release in the place of the one that runs; returns what came of it, in words.

    Args:
        file: The release.
        ready_s: How long it may take to be ready [s].
        watch_s: How long it is watched after that [s].
        say: Told what is being done.

    Raises:
        Rejected: It is not trusted, or does not run; the one before runs again.
        ConfigError: It cannot be read.
    """
    release = verified(file, sorted(KEYS.glob("*.pub")))
    must_fit(file, release.name)
    say(f"{release.name} is signed with {release.key}. It is unpacked.")
    _unpack(file, release.name)
    before, older = target_of("current"), target_of("previous")
    if before == release.name:
        return f"{release.name} runs already."
    say(f"{release.name}, signed with {release.key}, takes the place of {before}.")
    switch(release.name)
    problem = _start_and_watch(ready_s, watch_s)
    if target_of("current") != release.name:  # The guard was faster; what is ready is the old one.
        point("previous", older or before)
        raise Rejected(f"{release.name} ended at each start. {target_of('current')} runs again.")
    if not problem:
        (BASE / "pending").unlink(missing_ok=True)
        tidy()
        return f"{release.name} runs."
    if not before:
        raise Rejected(f"{release.name} does not run: {problem} There is none to go back to.")
    point("current", before)
    (BASE / "pending").unlink(missing_ok=True)
    point("previous", older or before)  # The one before is still what `genba update rollback` runs.
    again = _start_and_watch(READY_S, 0.0)
    text = f"{again} Look at: journalctl -u {_ENGINE}" if again else f"{before} runs again."
    raise Rejected(f"{release.name} does not run: {problem} {text}")


def _rollback(args: argparse.Namespace) -> int:
    must_be_root()
    print(rollback())
    return 0


def rollback() -> str:
    """Run the release that ran before; returns what came of it, in words.

    Raises:
        ConfigError: There is none.
        Rejected: It does not run.
    """
    before, now = target_of("previous"), target_of("current")
    if not before or before == now:
        raise ConfigError("There is no release to go back to.", hint="genba update list")
    switch(before)
    problem = _start_and_watch(READY_S, 0.0)
    (BASE / "pending").unlink(missing_ok=True)
    if problem:
        raise Rejected(f"{before} does not run: {problem}")
    return f"{before} runs; {now} is kept."


def _take(args: argparse.Namespace) -> int:
    """What an administrator asked for in a browser: the same as by hand, told in a file."""
    must_be_root()
    file = BASE / "incoming"
    wanted = taken(default_state(), file)
    if wanted is None:
        return 0
    about = {**wanted, "before": target_of("current")}

    def say(text: str, state: str = "running") -> None:
        print(text, flush=True)
        write_result(BASE, {**about, "state": state, "text": text})

    try:
        say("It was handed over and is checked.")
        if wanted["action"] == "rollback":
            say(rollback(), "done")
        else:
            say(install(file, READY_S, WATCH_S, say), "done")
    except (GatewayError, OSError) as error:
        say(str(error).replace(str(file), "This file"), "failed")
        return 1
    finally:
        file.unlink(missing_ok=True)
    return 0


def _list(args: argparse.Namespace) -> int:
    marks = {target_of("current"): "current", target_of("previous"): "previous"}
    for path in sorted(BASE.glob("releases/*/.complete")):
        name = path.parent.name
        print(f"{name}  {marks.get(name, '')}".rstrip())
    return 0


def must_fit(file: Path, name: str) -> None:
    """Raises ConfigError where there is no room to unpack a release; with what can go."""
    if (BASE / "releases" / name / ".complete").exists():
        return
    needed = file.stat().st_size * _UNPACKED + _SPARE
    folder = next(path for path in (BASE / "releases", BASE, *BASE.parents) if path.exists())
    room = shutil.disk_usage(folder).free
    if room >= needed:
        return
    named = {target_of("current"), target_of("previous")}
    others = [path for path in sorted(BASE.glob("releases/*")) if path.name not in named]
    hint = "Look at what lies on it: du -xh --max-depth=2 / | sort -h | tail"
    if others:
        hint = f"Older releases can go: rm -r {' '.join(str(path) for path in others)}"
    raise ConfigError(
        f"The release needs {needed / 1e6:.0f} MB in {folder}, and {room / 1e6:.0f} MB are free. "
        "Nothing was changed.",
        hint=hint,
    )


def _unpack(file: Path, name: str) -> None:
    """Let the file unpack itself, which checks what it unpacked."""
    words = ["sh", str(file.absolute()), "--version"]
    environment = {**os.environ, "GENBA_HOME": str(BASE)}
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    if done.returncode or not (BASE / "releases" / name / ".complete").exists():
        said = done.stderr.strip().split("\n")[-1]
        raise Rejected(f"It does not run on this machine: {said} Nothing was changed.")


def target_of(link: str) -> str:
    """The release that a link names; empty when there is none."""
    try:
        return (BASE / link).readlink().name
    except OSError:
        return ""


def point(link: str, name: str) -> None:
    """Let a link name a release, in one step."""
    fresh = BASE / f".{link}.new"
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(Path("releases") / name)
    fresh.replace(BASE / link)
    sync_folder(BASE)


def switch(name: str) -> None:
    """Let another release be the one that runs; unconfirmed until `pending` is gone."""
    before = target_of("current")
    if before:
        point("previous", before)
        (BASE / "pending").write_text("0\n")
    point("current", name)


def _start_and_watch(ready_s: float, watch_s: float) -> str:
    """Start what `current` names; returns empty, or why it does not run."""
    return asyncio.run(_started(ready_s, watch_s))


async def _started(ready_s: float, watch_s: float) -> str:
    _systemctl("reset-failed", *_UNITS)
    before = _starts()  # Behind the reset, which changes the count of restarts.
    _systemctl("restart", "--no-block", _TARGET, _ENGINE)
    clock = SystemClock()
    end_s = clock.monotonic() + ready_s
    while _starts() == before or not _is_ready():  # The one that runs until then is ready too.
        if clock.monotonic() > end_s:
            return f"It was not ready within {ready_s:g} s."
        await asyncio.sleep(0.25)
    starts, end_s = _starts(), clock.monotonic() + watch_s
    while clock.monotonic() < end_s:
        await asyncio.sleep(0.5)
        if _starts() != starts or not _is_ready():
            return "It ended after its start."
    return _unbalanced() if watch_s else ""


def _is_ready() -> bool:
    done = _systemctl("is-active", _ENGINE)
    return done.stdout.strip() == "active"


def _starts() -> str:
    shown = _systemctl("show", "--property=NRestarts,MainPID", _ENGINE)
    return shown.stdout


def _unbalanced() -> str:
    """What the gateway itself says of its books."""
    from gateway.api.client import Client

    try:
        report = Client().report()
    except (GatewayError, Disconnected) as error:
        return f"Its API does not answer: {error}"
    wrong = report["unbalanced"]
    return f"Its books do not balance: {json.dumps(wrong, ensure_ascii=False)}." if wrong else ""


def _systemctl(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["systemctl", *words], capture_output=True, text=True, check=False)


def tidy() -> None:
    """Remove all but the newest releases; never one that a link names."""
    named = {target_of("current"), target_of("previous")}
    found = sorted(
        (path for path in BASE.glob("releases/*") if not path.name.startswith(".")),
        key=lambda path: path.stat().st_mtime,
        reverse=True,
    )
    for path in found[KEPT:]:
        if path.name not in named and re.fullmatch(r"[0-9].*-[0-9a-f]{8}", path.name):
            shutil.rmtree(path)
