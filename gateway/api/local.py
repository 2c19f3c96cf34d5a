"""The local token: what a command on this machine shows to be let in without a login.

`genba run` writes it beside its state, readable by its own user only, and it ends with the
process. Whoever can read it could as well change the state file; an address proves less, since
every program and every page in a browser on this machine has the same one.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

FILE: Final = "api.token"
SERVICE: Final = Path("/var/lib/genba")
"""The state of a gateway that `genba install` has installed."""
PREFIX: Final = "genba_local_"
_LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")


def default_state() -> Path:
    """Where state lives when nobody says otherwise."""
    if "STATE_DIRECTORY" in os.environ:  # systemd's own word for it
        return Path(os.environ["STATE_DIRECTORY"])
    if os.access(SERVICE, os.R_OK | os.X_OK):  # Who may look into it means the installed gateway.
        return SERVICE
    home = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(home) / "genba"


def write_token(folder: Path, port: int, token: str) -> None:
    """Let commands find the token of the gateway at this port; nobody else may read it."""
    fresh = folder / f"{FILE}.new"
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(f"{port}\n{token}\n")
    fresh.replace(folder / FILE)


def remove_token(folder: Path, token: str) -> None:
    """The gateway ends; a token that another one wrote meanwhile stays."""
    path = folder / FILE
    with suppress(OSError):
        if token in path.read_text():
            path.unlink()


def find_token(url: str) -> str:
    """The token for a gateway, or empty.

    ``$GENBA_TOKEN`` is for any gateway. The file is ``$GENBA_TOKEN_FILE``, else that in the
    usual folder of the state, and is only for the gateway on this machine that wrote it: a
    token is not shown to anybody else who answers at another address or port.
    """
    if "GENBA_TOKEN" in os.environ:
        return os.environ["GENBA_TOKEN"]
    named = os.environ.get("GENBA_TOKEN_FILE")
    path = Path(named) if named else default_state() / FILE
    try:
        port, token, *_ = path.read_text().split("\n")
        parts = urlsplit(url)
        is_its = parts.hostname in _LOOPBACK and str(parts.port or 80) == port
    except (OSError, ValueError):
        return ""
    return token if is_its else ""
