"""What the doctor looks at in the machine: clock, disk, owners, ports, serial lines, services."""

from __future__ import annotations

import ctypes
import errno
import os
import pwd
import shutil
import socket
import stat
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from gateway.cli._doctor import Finding, Place
from gateway.cli.screens import Address
from gateway.cli.units import USER
from gateway.cli.words import local_time, size, span

_SENSIBLE_NS: Final = 1_767_225_600 * 10**9  # 2026: a clock that shows less has lost its battery.
_AHEAD_NS: Final = 300 * 10**9
_ROOM_BAD: Final = 200_000_000
_ROOM_LOOK: Final = 1_000_000_000
_SYNC_LOOK_S: Final = 0.1
_SYNC_BAD_S: Final = 2.0
_SYNCS: Final = 5
_FILES_MAX: Final = 5_000
_SECRET: Final = (".key", ".token", ".sealed")
_UNSYNCHRONISED: Final = 0x40
"""STA_UNSYNC of adjtimex(2)."""


class _Timex(ctypes.Structure):
    """The beginning of struct timex, and room for the rest. Source: adjtimex(2)."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_byte * 256),
    )


def clock_status() -> int | None:
    """The status bits of the kernel's clock; None where it does not tell."""
    found = _Timex()
    try:
        if ctypes.CDLL(None).adjtimex(ctypes.byref(found)) < 0:
            return None
    except (AttributeError, OSError):
        return None
    return int(found.status)


def clock(place: Place) -> Iterator[Finding]:
    """Synchronised, and plausible."""
    now = place.clock.now()
    shown = local_time(now)
    if now < _SENSIBLE_NS:
        todo = "Set it (`timedatectl set-time`), and look at the battery of the machine."
        yield Finding("clock", "bad", f"The clock shows {shown}, which cannot be.", todo)
        return
    database = place.state / "genba.db"
    try:
        ahead = database.stat().st_mtime_ns - now
    except OSError:
        ahead = 0
    if ahead > _AHEAD_NS:
        text = f"The clock shows {shown}, and the records reach {span(ahead)} beyond that."
        yield Finding("clock", "bad", text, "Set the clock, then restart the gateway.")
        return
    status = clock_status()
    if status is None:
        todo = "Look at `timedatectl` on the machine itself."
        yield Finding("clock", "look", "The kernel does not say how good the clock is.", todo)
    elif status & _UNSYNCHRONISED:
        text = f"It shows {shown}, and nothing keeps it right."
        todo = "Switch time synchronisation on: `timedatectl set-ntp true`, or name your NTP server"
        yield Finding("clock", "look", text, f"{todo} in /etc/systemd/timesyncd.conf.")
    else:
        yield Finding("clock", "ok", f"It shows {shown} and is synchronised.")


def disk(place: Place) -> Iterator[Finding]:
    """Room, whether it takes writes, and how long it takes until they are safe."""
    state = place.state
    try:
        room, nodes = shutil.disk_usage(state), os.statvfs(state)
    except FileNotFoundError:
        todo = "Name the folder with --state, or start the gateway: it makes one."
        yield Finding("disk", "look", f"There is no state in {state}.", todo)
        return
    except OSError as error:
        todo = "Run it as root: sudo genba doctor"
        yield Finding("disk", "look", f"{state} cannot be looked at ({error.strerror}).", todo)
        return
    share = room.free / max(room.total, 1)
    text = f"{size(room.free)} of {size(room.total)} are free under {state}."
    todo = "Make room, or lower history_bytes_max and history_days_max in the settings."
    if room.free < _ROOM_BAD or (nodes.f_files and not nodes.f_favail):
        text += " No more files can be made." if nodes.f_files and not nodes.f_favail else ""
        yield Finding("disk", "bad", text, todo)
    elif room.free < _ROOM_LOOK or share < 0.05:
        yield Finding("disk", "look", text, todo)
    else:
        yield Finding("disk", "ok", text)
    yield _writes(place)


def _writes(place: Place) -> Finding:
    """Write a little and wait until it is safe, a few times; the file is taken away again."""
    path = place.state / f".doctor-{os.getpid()}"
    took = []
    try:
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            for _ in range(_SYNCS):
                os.write(file, b"\0" * 4096)
                began = place.clock.monotonic()
                os.fsync(file)
                took.append(place.clock.monotonic() - began)
        finally:
            os.close(file)
            path.unlink()
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EPERM):
            todo = "Run it as root: sudo genba doctor"
            return Finding("disk", "look", f"You may not write into {place.state}.", todo)
        text = f"Nothing can be written to {place.state} ({error.strerror})."
        todo = "Look at `dmesg`: a disk that fails is mounted read-only. Nothing is acknowledged."
        return Finding("disk", "bad", text, todo)
    usual = statistics.median(took)
    text = f"A write is safe after about {usual * 1000:.3g} ms."
    todo = "Look at what else writes (iotop), and whether this is an SD card that wears out."
    if usual > _SYNC_BAD_S:
        return Finding("disk", "bad", text, todo)
    if usual > _SYNC_LOOK_S:
        return Finding("disk", "look", text, todo)
    return Finding("disk", "ok", text)


def permissions(place: Place) -> Iterator[Finding]:
    """Who may read and write the state and the settings."""
    found = [*_wrong_files(place), *_wrong_folders(place)]
    yield from found or [Finding("files", "ok", "State and settings belong to the gateway only.")]


def _wrong_files(place: Place) -> Iterator[Finding]:
    owner = _uid(USER) if place.is_installed else None
    foreign, open_ones = [], []
    for path in _walk(place.state):
        try:
            about = path.lstat()
        except OSError:
            continue
        if owner is not None and about.st_uid != owner:
            foreign.append(path)
        is_secret = path.name.endswith(_SECRET) and stat.S_ISREG(about.st_mode)
        if is_secret and about.st_mode & 0o077:
            open_ones.append(path)
    if foreign:
        text = f"{len(foreign)} files do not belong to {USER}, such as {foreign[0]}."
        yield Finding("files", "bad", text, f"chown -R {USER}:{USER} {place.state}")
    for path in open_ones[:5]:
        text = f"{path} is a secret, and others may read it."
        yield Finding("files", "bad", text, f"chmod 0600 {path}")


def _wrong_folders(place: Place) -> Iterator[Finding]:
    try:
        mode = place.state.stat().st_mode
        if mode & 0o022:
            text = f"Others may write into {place.state}."
            yield Finding("files", "bad", text, f"chmod 0700 {place.state}")
        elif mode & 0o005:
            text = f"Everybody on this machine may look into {place.state}."
            yield Finding("files", "look", text, f"chmod 0700 {place.state}")
    except OSError:
        pass  # The check of the disk has said so.
    for warning in place.settings.warnings:
        text, _, todo = warning.partition(" Run: ")
        yield Finding("files", "look", text, todo)
    keys = place.root / "etc/genba/keys"
    for path in (keys, *(sorted(keys.glob("*")) if keys.is_dir() else ())):
        if path.exists() and path.stat().st_mode & 0o022:
            text = f"Others may change {path}, and so whose releases are trusted."
            yield Finding("files", "bad", text, f"chmod go-w {path}")


def _walk(folder: Path) -> Iterator[Path]:
    """The folder and what is in it, bounded."""
    seen = 0
    for at, folders, names in os.walk(folder):
        yield Path(at)
        folders.sort()
        for name in sorted(names):
            yield Path(at) / name
            seen += 1
            if seen >= _FILES_MAX:
                return


def _uid(name: str) -> int | None:
    try:
        return pwd.getpwnam(name).pw_uid
    except KeyError:
        return None


def ports(place: Place) -> Iterator[Finding]:
    """Whether somebody else holds what the gateway wants to listen at."""
    wanted = {"API": ("127.0.0.1", int(place.settings["port"]))}
    if place.settings["listen"] != "off":
        address = Address.parse(place.settings["listen"])
        wanted["screens"] = (address.host, address.port)
    for what, (host, port) in wanted.items():
        if port == 0:
            continue
        name = f"{host}:{port}"
        is_free = _is_free(host, port)
        if is_free is None:
            text = f"This machine has no address {host}, at which the {what} should answer."
            yield Finding("ports", "bad", text, "Correct `listen` in the settings.")
        elif not is_free and not place.answers:
            text = f"No gateway answers, and another program holds {name} ({what})."
            yield Finding("ports", "bad", text, f"Find it with: ss -ltnp 'sport = :{port}'")
        elif is_free and place.answers and place.is_installed:
            text = f"Nothing answers at {name} ({what})."
            yield Finding("ports", "look", text, "journalctl -u genba-ui -u genba-engine")
        else:
            text = "is free" if is_free else "is held by the gateway"
            yield Finding("ports", "ok", f"{name} ({what}) {text}.")


def _is_free(host: str, port: int) -> bool | None:
    """Whether one could listen there; None where there is no such address."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError as error:
            return None if error.errno == errno.EADDRNOTAVAIL else error.errno == errno.EACCES
    return True


def serial(place: Place) -> Iterator[Finding]:
    """Whether the gateway may open the serial ports that are there."""
    found = sorted(
        path for kind in ("ttyUSB*", "ttyACM*") for path in (place.root / "dev").glob(kind)
    )
    if not found:
        yield Finding("serial", "ok", "No serial adapter is plugged in.")
        return
    names = ", ".join(path.name for path in found)
    unit = place.root / "etc/systemd/system/genba-engine.service"
    if place.is_installed:
        if "SupplementaryGroups=dialout" in unit.read_text("utf-8"):
            yield Finding("serial", "ok", f"{names}: the service is in the group dialout.")
        else:
            todo = "sudo genba install writes the unit anew."
            yield Finding("serial", "bad", f"{names}: the service is not in dialout.", todo)
        return
    closed = [path.name for path in found if not os.access(path, os.R_OK | os.W_OK)]
    if closed:
        text = f"You may not open {', '.join(closed)}."
        todo = "sudo usermod -aG dialout $USER, then log in again."
        yield Finding("serial", "look", text, todo)
    else:
        yield Finding("serial", "ok", f"{names} can be opened.")
