"""Failed: units that systemd has given up, as their files in the state say; see genba-failed@."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

FOLDER: Final = "failed"
_MOST: Final = 20


def given_up(state: Path) -> list[tuple[str, str]]:
    """Units that ended too often, each with a sentence; what is told once is forgotten.

    Args:
        state: The folder of the state.
    """
    folder = state / FOLDER
    found = []
    with suppress(OSError):
        for path in sorted(folder.iterdir())[:_MOST]:
            if path.name.startswith("."):
                continue
            words = path.read_text("ascii", "replace").strip()
            path.unlink()
            at = ""
            if words.isdecimal() and len(words) < 12:
                at = f" at {datetime.fromtimestamp(int(words), UTC):%Y-%m-%d %H:%M} UTC"
            text = (
                f"{path.name} ended too often, and systemd gave it up{at}. Look at: "
                f"journalctl -u {path.name}; then: systemctl reset-failed {path.name}; "
                "systemctl restart genba.target"
            )
            found.append((path.name, text))
    return found


__all__ = ["FOLDER", "given_up"]
