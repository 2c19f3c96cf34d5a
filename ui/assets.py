"""Assets: the built browser code, and how a component of it gets on a page.

The build puts everything in a folder named by the hash of its sources, because browsers keep
these files for a year: what is in a folder never changes, and a new version has another name.
"""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import Final

from gateway.errors import ConfigError

HERE: Final = Path(__file__).resolve().parent
FRONTEND: Final = HERE / "frontend"
FONTS: Final = HERE / "fonts"
NAME: Final = "genba-ui"
"""As what browser modules import each other."""


@cache
def built() -> Path:
    """The folder of the built browser code.

    Raises:
        ConfigError: There is none, or more than one.
    """
    found = sorted(path for path in (HERE / "built").glob("*") if path.is_dir())
    if len(found) != 1:
        raise ConfigError(
            f"There are {len(found)} builds of the screens in {HERE / 'built'}; one is needed.",
            hint="Run `node build.mjs` in ui/frontend.",
        )
    return found[0]


def component(area: str) -> Path:
    """What NiceGUI loads for the component of an area: ``component=component("editor")``."""
    return built() / f"component_{area}.js"


def modules() -> dict[str, str]:
    """Where a component finds its parts: ``esm=modules()``."""
    return {NAME: str(built())}


def sources_hash() -> str:
    """The hash of the sources as they are; a build of them has this name."""
    paths = [p for p in (FRONTEND / "src").rglob("*") if p.is_file()]
    paths += [FRONTEND / "build.mjs", FRONTEND / "package.json"]
    named = sorted((path.relative_to(FRONTEND).as_posix(), path) for path in paths)
    total = hashlib.sha256()
    for name, path in named:
        total.update(name.encode() + b"\0" + path.read_bytes() + b"\0")
    return total.hexdigest()[:12]
