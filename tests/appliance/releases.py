"""Signed releases to update to: the real one, the real one again, and one that does not run."""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
from pathlib import Path

from tests.appliance.house import ROOT


def make_releases(folder: Path) -> None:
    """Write `a`, `b`, `bad`, `maker.key` and `maker.pub` into a folder; needs `make binary`."""
    (built,) = (ROOT / "dist").glob(f"genba-*-{platform.machine()}")
    shutil.copy2(built, folder / "a")
    for name, change in (("b", ""), ("bad", "exit 7")):
        _variant(built, folder / name, change)
    genba = [sys.executable, "-m", "gateway", "sign"]
    subprocess.run([*genba, "key", str(folder / "maker.key")], check=True)
    for name in ("a", "b", "bad"):
        words = [*genba, "release", str(folder / name), "--key", str(folder / "maker.key")]
        subprocess.run(words, check=True)


def _variant(built: Path, target: Path, change: str) -> None:
    """Another release of the same program, or of one that ends at its start but for --version."""
    sys.path.insert(0, str(ROOT / ".ci" / "binary"))
    import build  # type: ignore[import-not-found]  # a script, no package

    tree = build.WORK / "dist" / target.name
    shutil.rmtree(tree, ignore_errors=True)
    shutil.copytree(build.WORK / "dist" / "genba", tree, symlinks=True)
    (tree / "variant").write_text(target.name)
    if change:
        (tree / "genba").rename(tree / "genba.real")
        (tree / "genba").write_text(
            '#!/bin/sh\n[ "$1" != --version ] && ' + change + "\necho genba 9.9.9\n"
        )
        (tree / "genba").chmod(0o755)
    arch = built.name.rpartition("-")[2]
    build.write(target, build.packed(tree, 1), "9.9.9" if change else "0.1.1", arch, "2.36")
    shutil.rmtree(tree)
