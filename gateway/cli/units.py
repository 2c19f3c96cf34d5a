"""Units: the files of systemd that ship with the product, with the path of the program in them."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from gateway.errors import ConfigError

FOLDER: Final = Path(__file__).resolve().parents[2] / "systemd"
UNITS: Final = (
    "genba.target",
    "genba-engine.service",
    "genba-ui.service",
    "genba-safe.service",
    "genba-update.path",
    "genba-update.service",
)
ENABLED: Final = ("genba.target", "genba-engine.service", "genba-ui.service", "genba-update.path")
"""Started by systemd itself; the others are started by these."""
USER: Final = "genba"
GUARD: Final = Path("/opt/genba/guard.sh")
"""Outside of all releases, so that a bad one cannot break the way back."""
_PROGRAM: Final = "@GENBA@"
_GUARD: Final = "@GUARD@"


def unit_text(name: str, program: Path) -> str:
    """A unit that starts this program.

    Raises:
        ConfigError: The path has a character that systemd would take for something else.
    """
    text = str(program)
    if any(char.isspace() or char in "%$\\\"';" for char in text):
        raise ConfigError(f"systemd cannot run a program called {text!r}.", hint="--program")
    unit = (FOLDER / name).read_text("utf-8").replace(_PROGRAM, text)
    return unit.replace(_GUARD, str(GUARD))
