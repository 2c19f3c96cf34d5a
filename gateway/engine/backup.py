"""Backup: everything that makes this gateway this gateway, in one sealed file, while it runs.

In it are the state file (flows and their revisions, state of all nodes, journal, outboxes, alarms,
accounts, grants, audit), dashboards, secrets with their key, and the certificates. The history of
trends is not: it is disposable and large.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, Final

from gateway.engine import sealed_file, store_backup
from gateway.engine.secrets import KEY, Secrets
from gateway.engine.store_file import take_lock
from gateway.errors import ConfigError, Disconnected

STATE: Final = "genba.db"
FOLDERS: Final = (
    *("audit", "dashboards", "destinations", "fleet", "openid", "prompts", "secrets", "tls", "pki"),
)
"""What stands beside the state file and cannot be made again."""
FILES: Final = ("models.yaml",)
"""Likewise; the files of models themselves are large and come from elsewhere."""
LIST: Final = "LIST.json"
FILE_BYTES_MAX: Final = 64 << 30
_READ: Final = 1 << 20


def make(state: Path, passphrase: str, now: int, version: str) -> Iterator[bytes]:
    """The backup of a gateway that may run, as it is written.

    Args:
        state: Folder of the state.
        passphrase: Without it the file says nothing.
        now: The time [ns].
        version: Of the program.

    Raises:
        ConfigError: The passphrase is too short, or a file cannot be read.
        Disconnected: The state file cannot be copied.
    """
    about = {"made": now, "version": version}
    with tempfile.TemporaryDirectory(prefix=".backup-", dir=state) as folder:
        copied = Path(folder) / STATE
        store_backup.copy(state / STATE, copied)
        yield from sealed_file.seal(_tar(state, copied, about), passphrase, about)


def restore(file: BinaryIO, passphrase: str, state: Path, now: int) -> tuple[dict[str, Any], str]:
    """Put a backup in the place of a state; the old one is moved aside, not deleted.

    The whole file is read and checked before anything is touched.

    Args:
        file: The backup.
        passphrase: That of the backup.
        state: Folder of the state; made when absent.
        now: The time [ns], for the name of what is moved aside.

    Returns: what the backup says of itself, and where the old state is; empty when there was none.

    Raises:
        ConfigError: The backup cannot be used, or a gateway runs on this state.
    """
    state.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{state.name}-restore-", dir=state.parent) as folder:
        fresh = Path(folder) / "state"
        fresh.mkdir(mode=0o700)
        about = checked(file, passphrase, fresh)
        aside = ""
        if state.exists():
            lock = take_lock(state / STATE)
            try:
                _give(fresh, state.stat())
                aside = f"{state.name}.before-{now // 10**9}"
                state.rename(state.with_name(aside))
            finally:
                os.close(lock)
        fresh.rename(state)
    return about, aside


def _give(folder: Path, like: os.stat_result) -> None:
    """Let what root restores belong to whom the state belonged before: the services' user."""
    if os.geteuid() == 0:
        for path in (folder, *folder.rglob("*")):
            os.chown(path, like.st_uid, like.st_gid, follow_symlinks=False)


def checked(file: BinaryIO, passphrase: str, folder: Path) -> dict[str, Any]:
    """Unpack a backup into a folder and check all of it; returns what it says of itself.

    Raises:
        ConfigError: It cannot be used; what the folder holds then must not be used either.
    """
    about = _unpack(file, passphrase, folder)
    store_backup.check(folder / STATE)
    return about


def _files(state: Path) -> Iterator[tuple[str, Path]]:
    for path in (state / name for name in FILES):
        if path.is_file() and not path.is_symlink():
            yield path.name, path
    key, beside = Secrets(state / "secrets").key_path(), state / "secrets" / KEY
    if key != beside and key.is_file():  # It lies elsewhere here; there it is beside them.
        yield beside.relative_to(state).as_posix(), key
    for folder in FOLDERS:
        for path in sorted((state / folder).rglob("*")):
            if path.is_file() and not path.is_symlink() and (key == beside or path != beside):
                yield path.relative_to(state).as_posix(), path


def _tar(state: Path, copied: Path, about: dict[str, Any]) -> Iterator[bytes]:
    """A tar stream: all files, then the list of them with their sums."""
    sums: dict[str, str] = {}
    out = io.BytesIO()

    def taken() -> bytes:
        data = out.getvalue()
        out.seek(0)
        out.truncate()
        return data

    # The stream is cut at each piece, so the size of a file never is the size of memory.
    with tarfile.open(fileobj=out, mode="w|", format=tarfile.PAX_FORMAT) as tar:
        for name, path in [(STATE, copied), *_files(state)]:
            info = tarfile.TarInfo(name)
            info.size, info.mode = path.stat().st_size, 0o600
            tar.addfile(info)  # The head alone; the bytes follow.
            total = hashlib.sha256()
            with path.open("rb") as file:
                left = info.size
                while left:
                    part = file.read(min(_READ, left))
                    if not part:
                        raise ConfigError(f"{name} became shorter while it was read. Try again.")
                    left -= len(part)
                    total.update(part)
                    tar.fileobj.write(part)
                    yield taken()
            padding = -info.size % tarfile.BLOCKSIZE
            tar.fileobj.write(bytes(padding))
            tar.offset += info.size + padding
            sums[name] = total.hexdigest()
        text = json.dumps({**about, "files": sums}).encode()
        info = tarfile.TarInfo(LIST)
        info.size = len(text)
        tar.addfile(info, io.BytesIO(text))
    yield taken()


def _unpack(file: BinaryIO, passphrase: str, folder: Path) -> dict[str, Any]:
    """Write out what is in a backup; returns its list."""
    sums: dict[str, str] = {}
    listed: dict[str, Any] | None = None
    stream = _Stream(file, passphrase)
    try:
        with tarfile.open(fileobj=stream, mode="r|") as tar:
            for member in tar:
                source = tar.extractfile(member) if member.isfile() else None
                if source is None or member.size > FILE_BYTES_MAX:
                    raise ConfigError("There is something in this backup that is no file.")
                if member.name == LIST:
                    listed = json.loads(source.read(sealed_file.PIECE_BYTES))
                    continue
                sums[member.name] = _written(source, _place(folder, member.name))
        while stream.read(sealed_file.PIECE_BYTES):
            pass  # To the end of the seal: only there it is known that nothing was cut.
    except (tarfile.TarError, ValueError) as error:
        raise ConfigError(f"This backup cannot be read: {error}.") from error
    if listed is None or listed.get("files") != sums or STATE not in sums:
        raise ConfigError("This backup is not whole.")
    return listed


def _place(folder: Path, name: str) -> Path:
    """Where a file goes: only to where backups take files from."""
    parts = PurePosixPath(name).parts
    is_below = len(parts) > 1 and parts[0] in FOLDERS and ".." not in parts
    is_ours = name in (STATE, *FILES) or is_below
    if not is_ours or PurePosixPath(name).is_absolute():
        raise ConfigError(f"There is a file in this backup that does not belong there: {name!r}.")
    path = folder.joinpath(*parts)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path


def _written(source: Any, path: Path) -> str:
    total = hashlib.sha256()
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
        while part := source.read(_READ):
            total.update(part)
            out.write(part)
        out.flush()
        os.fsync(out.fileno())
    return total.hexdigest()


class _Stream(io.RawIOBase):
    """What was sealed, as a file to read; its end is only reached when the seal is whole."""

    def __init__(self, file: BinaryIO, passphrase: str) -> None:
        self._parts = sealed_file.unseal(file, passphrase)
        self._held = b""

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        while size < 0 or len(self._held) < size:
            part = next(self._parts, b"")
            if not part:
                break
            self._held += part
        taken, self._held = (
            (self._held, b"") if size < 0 else (self._held[:size], self._held[size:])
        )
        return taken


def must_fit(state: Path) -> None:
    """A backup needs a copy of the state file beside it for a while.

    Raises:
        Disconnected: There is no room for it.
    """
    needed = (state / STATE).stat().st_size * 11 // 10
    free = shutil.disk_usage(state).free
    if free < needed:
        raise Disconnected(
            f"A backup needs {needed >> 20} MB on the disk for a while, and {free >> 20} MB are "
            "free. Make room, or shorten the retention of the journal."
        )


__all__ = ["FOLDERS", "STATE", "checked", "make", "must_fit", "restore"]
