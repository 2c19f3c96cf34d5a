"""What a gateway should be, as a folder, and how it differs from what it is.

The folder holds any of: `release` (a name), `genba.toml`, `keys/*.pub`, `flows/*.flow.yaml`,
`dashboards/*.dashboard.yaml`, `users.json` (a list of names and roles) and `files`, which has
further files of the machine by their whole path. What it does not hold is not compared. Fleet
tools put it there; `genba apply` makes it so, `genba drift` only looks.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from gateway.api.client_wanted import WantedClient
from gateway.cli._values import WANTED
from gateway.cli.install import CONFIG, UNIT_DIR
from gateway.cli.units import UNITS, unit_text
from gateway.cli.update import target_of
from gateway.engine.release import BASE, KEYS
from gateway.errors import ConfigError
from gateway.flow.dashboard import SUFFIX as DASHBOARD
from gateway.flow.dashboard import Dashboard
from gateway.flow.document import Document

FOLDER: Final = WANTED
FLOW: Final = ".flow.yaml"
STARTED: Final = ("genba-engine.service", "genba-ui.service", "genba-update.path")


@dataclass(frozen=True, slots=True)
class Drift:
    """One difference.

    Args:
        what: Which thing.
        wanted: How it should be, in few words.
        found: How it is.
    """

    what: str
    wanted: str
    found: str

    def row(self) -> dict[str, str]:
        """As plain values."""
        return asdict(self)


class Wanted:
    """A folder that says what a gateway should be.

    Args:
        folder: Where it is.

    Raises:
        ConfigError: There is none.
    """

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise ConfigError(f"There is no folder {folder}.", hint="See `genba docs fleet`.")
        self.folder = folder

    def text(self, name: str) -> str | None:
        """A file's text; None when nothing is wanted there."""
        path = self.folder / name
        return path.read_text("utf-8") if path.is_file() else None

    def texts(self, name: str, ending: str) -> dict[str, str] | None:
        """The files of a folder by name without ending; None when there is no folder."""
        folder = self.folder / name
        if not folder.is_dir():
            return None
        return {
            path.name.removesuffix(ending): path.read_text("utf-8")
            for path in sorted(folder.glob(f"*{ending}"))
        }

    def flows(self) -> dict[str, Document] | None:
        """The flows by their names, not by those of their files.

        Raises:
            ConfigError: One is no flow.
        """
        if not (self.folder / "flows").is_dir():
            return None
        found = [Document.load(path) for path in sorted((self.folder / "flows").glob(f"*{FLOW}"))]
        return {document.name: document for document in found}

    def dashboards(self) -> dict[str, str] | None:
        """The texts of the dashboards, as the gateway writes them.

        Raises:
            ConfigError: One is no dashboard.
        """
        texts = self.texts("dashboards", DASHBOARD)
        if texts is None:
            return None
        return {
            name: Dashboard.parse(text, name + DASHBOARD).text() for name, text in texts.items()
        }

    def users(self) -> dict[str, str] | None:
        """Roles by account.

        Raises:
            ConfigError: The file is none.
        """
        text = self.text("users.json")
        try:
            return None if text is None else {one["name"]: one["role"] for one in json.loads(text)}
        except (ValueError, TypeError, KeyError) as error:
            where = str(self.folder / "users.json")
            raise ConfigError(
                f"This is no list of names and roles: {error}.", where=where
            ) from error


def machine_drift(wanted: Wanted, *, with_services: bool = True) -> Iterator[Drift]:
    """What differs in files and services."""
    release = wanted.text("release")
    if release is not None and release.strip() != target_of("current"):
        yield Drift("release", release.strip(), target_of("current") or "none")
    settings = wanted.text(CONFIG.name)
    if settings is not None and settings != _read(Path("/") / CONFIG):
        yield Drift("settings", "as wanted", f"another text in /{CONFIG}")
    yield from _compared("key", wanted.texts("keys", ".pub"), _texts(KEYS, ".pub"))
    files = wanted.folder / "files"
    for path in sorted(files.rglob("*")):
        if path.is_file():
            there = Path("/") / path.relative_to(files)
            if (found := _read(there)) != _read(path):
                yield Drift(f"file {there}", "as wanted", "another text" if found else "none")
    if not (BASE / "current").is_symlink():
        return
    yield from _unit_drift()
    for name in STARTED if with_services else ():
        for question, answer in (("is-enabled", "enabled"), ("is-active", "active")):
            done = subprocess.run(
                ["systemctl", question, name], capture_output=True, text=True, check=False
            )
            if done.stdout.strip() != answer:
                yield Drift(f"service {name}", answer, done.stdout.strip() or "unknown")


def _unit_drift() -> Iterator[Drift]:
    program = BASE / "current" / "genba"
    for name in UNITS:
        found = _read(Path("/") / UNIT_DIR / name)
        if found != unit_text(name, program):
            yield Drift(f"unit {name}", "as shipped", "another text" if found else "none")


def differ(folder: Path, client: Callable[[], WantedClient]) -> list[dict[str, Any]] | None:
    """How this gateway differs, as it finds by itself while it runs; None when nothing is wanted.

    Whether its services run is left out: who asks that from inside knows it.

    Raises:
        ConfigError: What is wanted cannot be read.
        OSError: Likewise.
        Disconnected: The gateway does not answer.
    """
    if not folder.is_dir():
        return None
    wanted = Wanted(folder)
    found = [*machine_drift(wanted, with_services=False), *gateway_drift(wanted, client())]
    return rows(iter(found))


def gateway_drift(wanted: Wanted, client: WantedClient) -> Iterator[Drift]:
    """What differs inside the gateway that runs.

    Raises:
        Disconnected: It does not answer.
    """
    flows = wanted.flows()
    if flows is not None:
        texts = {name: one.text() for name, one in flows.items()}
        yield from _compared("flow", texts, client.running_flows())
    boards = wanted.dashboards()
    if boards is not None:
        yield from _compared("dashboard", boards, client.dashboards())
    users = wanted.users()
    if users is not None:
        found = {row["name"]: row["role"] for row in client.users()}
        for name in sorted({*users, *found}):
            if users.get(name) != found.get(name):
                yield Drift(f"user {name}", users.get(name, "none"), found.get(name, "none"))


def _compared(
    kind: str, wanted: Mapping[str, str] | None, found: Mapping[str, str]
) -> Iterator[Drift]:
    if wanted is None:
        return
    for name in sorted({*wanted, *found}):
        if name not in found:
            yield Drift(f"{kind} {name}", "as wanted", "none")
        elif name not in wanted:
            yield Drift(f"{kind} {name}", "none", "there")
        elif wanted[name] != found[name]:
            yield Drift(f"{kind} {name}", "as wanted", "another text")


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except OSError:
        return ""


def _texts(folder: Path, ending: str) -> dict[str, str]:
    return {path.name.removesuffix(ending): _read(path) for path in folder.glob(f"*{ending}")}


def rows(found: Iterator[Drift]) -> list[dict[str, Any]]:
    """Differences as plain values."""
    return [dict(one.row()) for one in found]
