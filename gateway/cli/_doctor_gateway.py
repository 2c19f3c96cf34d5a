"""What the doctor looks at in the gateway: services, certificate, connections, model, books."""

from __future__ import annotations

import platform
import socket
import subprocess
from collections.abc import Iterator, Mapping
from importlib import metadata
from typing import Any, Final

from gateway.api import certificate
from gateway.cli._doctor import DAY_NS, Finding, Level, Place
from gateway.cli.words import local_time, printable, several, span
from gateway.engine.models_book import FILE, FOLDER
from gateway.engine.models_local import INSTALL, path_of
from gateway.errors import ConfigError
from gateway.flow.models import OWN, USUAL, LocalModel, ModelList
from models.llm import binding, gguf

_SERVICES: Final = ("genba-engine.service", "genba-ui.service", "genba-safe.service")
_PROPERTIES: Final = "Id,ActiveState,SubState,Result,NRestarts,UnitFileState,NeedDaemonReload"
_RESTARTS_LOOK: Final = 3
_DAYS_LOOK: Final = 30
_CHECKPOINT_LOOK_NS: Final = 900 * 10**9
"""Checkpoints are at most 300 s apart; three times that is too long."""
_FINE: Final = ("connected", "running")


def services(place: Place) -> Iterator[Finding]:
    """The units of systemd, and whether the log outlives a power cut."""
    if not place.is_installed:
        text = "The gateway is not installed as services."
        yield Finding("services", "ok", text)
        return
    for unit in _units():
        yield _service(unit)
    if (place.root / "var/log/journal").is_dir():
        yield Finding("services", "ok", "The log is kept over a restart.")
    else:
        text = "The log is lost when the power is cut: journald keeps it in memory."
        todo = "sudo mkdir -p /var/log/journal && sudo systemctl restart systemd-journald"
        yield Finding("services", "look", text, todo)


def _units() -> list[dict[str, str]]:
    """What systemd says of each unit; empty where it does not run."""
    words = ["systemctl", "show", f"--property={_PROPERTIES}", *_SERVICES]
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return []
    blocks = done.stdout.strip().split("\n\n")
    rows = [dict(line.split("=", 1) for line in b.splitlines() if "=" in line) for b in blocks]
    return [row for row in rows if row.get("Id")]


def _service(unit: Mapping[str, str]) -> Finding:
    name, state = unit["Id"], unit.get("ActiveState", "")
    log = f"journalctl -u {name} -n 50"
    restarts = int(unit.get("NRestarts", "0") or 0)
    if name == "genba-safe.service":
        if state == "active":
            text = "The gateway runs in safe mode, without its flows."
            todo = "Mend the flow that does harm, then: systemctl restart genba.target"
            return Finding("services", "bad", text, todo)
        return Finding("services", "ok", "Safe mode is not needed.")
    if unit.get("NeedDaemonReload") == "yes":
        text = f"The file of {name} was changed since systemd read it."
        return Finding("services", "look", text, "systemctl daemon-reload")
    if state != "active":
        text = f"{name} is {state} ({unit.get('Result', '')})."
        return Finding("services", "bad", text, f"{log}; then: systemctl restart genba.target")
    if restarts > _RESTARTS_LOOK:
        return Finding("services", "look", f"{name} was started {restarts} times anew.", log)
    if unit.get("UnitFileState") != "enabled":
        text = f"{name} runs, and will not after the next start of the machine."
        return Finding("services", "look", text, f"systemctl enable {name}")
    return Finding("services", "ok", f"{name} runs.")


def certificates(place: Place) -> Iterator[Finding]:
    """The certificate of the screens, and those of connections."""
    path = place.state / certificate.FOLDER / certificate.CERTIFICATE
    now = place.clock.now()
    try:
        row = certificate.shown(path, now)
    except FileNotFoundError:
        yield Finding("tls", "ok", "No certificate was made yet; the gateway makes one.")
    except PermissionError:
        yield Finding("tls", "look", f"You may not read {path}.", "sudo genba doctor")
    except (OSError, ValueError) as error:
        todo = "Delete the folder tls in the state; a new one is made at the next start."
        yield Finding("tls", "bad", f"{path} cannot be used: {error}.", todo)
    else:
        yield from _certificate(row, now)
    for link in place.connections:
        for one in link["certificates"]:
            yield from _of_connection(link, one, now)


def _certificate(row: Mapping[str, Any], now: int) -> Iterator[Finding]:
    ends, names = int(row["to"]), list(row["names"])
    todo = "genba tls request, have it signed, then genba tls import (genba docs screens)"
    if int(row["from"]) > now:
        text = f"The certificate of the screens holds from {local_time(int(row['from']))} only."
        yield Finding("tls", "bad", text, "Is the clock right?")
    elif ends <= now:
        text = f"The certificate of the screens ended on {local_time(ends)}."
        yield Finding("tls", "bad", text, todo)
    elif ends - now < _DAYS_LOOK * DAY_NS:
        text = f"The certificate of the screens ends on {local_time(ends)}."
        yield Finding("tls", "look", text, todo)
    else:
        yield Finding("tls", "ok", f"The certificate of the screens holds to {local_time(ends)}.")
    host = socket.gethostname()
    if not any(name.lower() == host.lower() or name.startswith(f"{host}.") for name in names):
        text = f"The certificate is for {', '.join(map(printable, names))}, not for {host}."
        yield Finding("tls", "look", text, f"genba tls request --name {host}, and have it signed")


def _of_connection(link: Mapping[str, Any], one: Mapping[str, Any], now: int) -> Iterator[Finding]:
    name = f"{link['flow']}/{link['name']}: the certificate {printable(one['subject'])}"
    if one["state"] == "rejected":
        text = f"{name} is not trusted."
        yield Finding("tls", "look", text, "Compare its fingerprint, then trust it: Connections.")
    elif one["ends"] and one["ends"] <= now:
        text = f"{name} ended on {local_time(one['ends'])}."
        yield Finding("tls", "bad", text, f"Have {one['whose']} make a new one.")
    elif one["ends"] and one["ends"] - now < _DAYS_LOOK * DAY_NS:
        text = f"{name} ends on {local_time(one['ends'])}."
        yield Finding("tls", "look", text, f"Have {one['whose']} make a new one.")


def connections(place: Place) -> Iterator[Finding]:
    """Whether the gateway runs, and every connection of its flows."""
    if place.is_refused and not place.is_running:
        todo = (
            "Run it as the user of the gateway or as root, or give a token (genba docs accounts)."
        )
        yield Finding("gateway", "look", printable(place.trouble), todo)
        return
    if not place.is_running:
        text = printable(place.trouble) or "No gateway answers."
        # Where it should run as a service, that is what is wrong.
        level: Level = "bad" if place.is_installed else "look"
        todo = "systemctl start genba.target" if place.is_installed else "Start it: genba run"
        yield Finding("gateway", level, text, todo)
        return
    assert place.report is not None
    since = place.report["since"]
    yield Finding("gateway", "ok", f"It runs since {local_time(since)}.")
    for row in place.connections:
        name = f"{row['flow']}/{row['name']} at {printable(row['address'] or row['type'])}"
        if row["state"] in _FINE:
            yield Finding("links", "ok", f"{name} is {row['state']}.")
            continue
        why = printable(row["error"] or row["text"] or "nothing more is known")
        text = f"{name} is {row['state']} since {local_time(row['since'])}: {why}"
        todo = "Is the device switched on, and does this machine reach it? (genba docs devices)"
        if row["next_try"]:
            todo += f" It is tried again at {local_time(row['next_try'])}."
        yield Finding("links", "look", text, todo)


def model(place: Place) -> Iterator[Finding]:
    """What runs language models, and whether their files are whole."""
    runs = binding.installed()
    if runs:
        yield Finding("model", "ok", f"Local models are run by {runs}.")
    else:
        text = "What runs local models is not installed; explanations are the template's."
        yield Finding("model", "look", text, INSTALL)
    listed = place.state / FILE
    try:
        found = ModelList.parse(listed.read_text("utf-8"), FILE) if listed.exists() else USUAL
    except (OSError, UnicodeDecodeError, ConfigError) as error:
        text = f"The list of models cannot be used: {printable(str(error))}"
        yield Finding("model", "bad", text, f"Mend or delete {listed}.")
        found = USUAL
    local = {n: m for n, m in found.models.items() if isinstance(m, LocalModel)}
    for name, one in local.items():
        yield _whole(name, one, place)


def _whole(name: str, one: LocalModel, place: Place) -> Finding:
    path = path_of(one, place.state / FOLDER)
    todo = "Install the gateway anew." if one.file == OWN else f"Copy {one.file} there once more."
    try:
        about, length = gguf.about(path), path.stat().st_size
        is_other = one.size and one.size != length
        is_other = is_other or bool(one.sha256 and gguf.sha256(path) != one.sha256)
    except (OSError, gguf.Damaged) as error:
        return Finding("model", "bad", f"{name}: {path} cannot be used: {error}.", todo)
    if is_other:
        text = f"{name}: {path} is not the file that was added."
        return Finding("model", "bad", text, f"genba models add {name} --file {one.file}")
    return Finding("model", "ok", f"{name}: {about.name or path.name} is whole.")


def versions(place: Place) -> Iterator[Finding]:
    """Of this program and of the gateway that runs."""
    own = metadata.version("genba")
    yield Finding(
        "versions", "ok", f"genba {own}, Python {platform.python_version()}, {platform.platform()}."
    )
    if place.about is not None and place.about["version"] != own:
        text = f"The gateway that runs is {place.about['version']}, this command is {own}."
        yield Finding("versions", "look", text, "systemctl restart genba.target")
    if (place.root / "opt/genba/pending").exists():
        text = "An update was begun and is not confirmed."
        yield Finding("versions", "look", text, "genba update list; genba update rollback")


def books(place: Place) -> Iterator[Finding]:
    """Whether every row is accounted for, how old checkpoints are, and what waits for people."""
    report = place.report
    if report is None:
        return
    if report.get("trouble"):
        text = f"{printable(report['trouble'])} Nothing is acknowledged meanwhile."
        yield Finding("books", "bad", text, "Look at the lines about the disk.")
    if report["unbalanced"]:
        rows = several(report["unbalanced"], "row")
        text = f"The books do not balance: nobody can account for {rows}."
        yield Finding("books", "bad", text, "A fault of ours: send us a `genba support-bundle`.")
    else:
        yield Finding("books", "ok", "They balance: every row is accounted for.")
    for flow in report["flows"]:
        for node, why in flow.get("stopped", {}).items():
            text = f"{flow['flow']}/{node} stands still: {printable(str(why))}"
            yield Finding("books", "bad", text, f"Look at its log, mend {flow['flow']}, deploy it.")
    yield from _checkpoints(report)
    letters, gaps = report["letters"]["waiting"], sum(row["count"] for row in report["gaps"])
    if letters:
        text = f"{several(letters, 'dead letter')} wait for a decision."
        yield Finding("books", "look", text, "genba dlq list")
    if gaps:
        yield Finding("books", "look", f"{several(gaps, 'gap')} in 24 hours.", "genba gaps")


def _checkpoints(report: Mapping[str, Any]) -> Iterator[Finding]:
    if not report["checkpoints"]:
        yield Finding("books", "ok", "No checkpoint was made yet.")
        return
    flow, made = min(report["checkpoints"].items(), key=lambda item: item[1])
    age = max(report["now"] - made, 0)
    text = f"The oldest newest checkpoint, of {flow}, is {span(age)} old."
    if report["running"] and age > _CHECKPOINT_LOOK_NS:
        todo = "A restart would replay that long. Look at the lines about the disk, and at the log."
        yield Finding("books", "look", text, todo)
    else:
        yield Finding("books", "ok", text)
