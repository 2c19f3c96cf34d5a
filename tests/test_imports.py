"""Who may import whom: the contracts in pyproject.toml, and proof that they can fail."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

COMMAND = "from importlinter.cli import lint_imports_command; lint_imports_command()"


def lint_imports(folder: Path) -> tuple[int, str]:
    """Run import-linter over the packages in a folder."""
    done = subprocess.run(
        [sys.executable, "-c", COMMAND, "--no-cache"],
        cwd=folder,
        env={"PYTHONPATH": str(folder), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_the_contracts_are_kept(root: Path) -> None:
    code, said = lint_imports(root)
    assert code == 0, said
    assert "0 broken" in said


PLANTED = {
    "nodes/filter/deadband.py": "import gateway.engine.clock",
    "nodes/filter/quality.py": "import nodes.filter.deadband, nodes.mqtt",
    "nodes/_line.py": "import nodes.modbus.connection",
    "nodes/mqtt/source.py": "import nodes._line",
    "gateway/data/batch.py": "import gateway.flow.node",
    "gateway/flow/registry.py": "import gateway.engine.clock",
    "models/kernel.py": "import gateway",
    "models/__init__.py": "import asyncio",
    "ui/__init__.py": "import gateway.engine.clock",
    "gateway/newcomer.py": "",
}


@pytest.mark.parametrize("path", PLANTED)
def test_a_planted_violation_is_found(path: str, root: Path, tmp_path: Path) -> None:
    for package in ("gateway", "nodes", "models", "ui"):
        ignore = shutil.ignore_patterns("__pycache__", "*.md")
        shutil.copytree(root / package, tmp_path / package, ignore=ignore)
    shutil.copy(root / "pyproject.toml", tmp_path)
    with (tmp_path / path).open("a", encoding="utf-8") as file:
        file.write(f"\n{PLANTED[path]}\n")
    code, said = lint_imports(tmp_path)
    assert code != 0, f"{PLANTED[path]!r} in {path} was not found:\n{said}"
