"""The gates: mypy --strict, ruff check and ruff format over the whole product."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


def _run(root: Path, *words: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", *words], cwd=root, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.slow
def test_types(root: Path) -> None:
    code, said = _run(root, "mypy", "--strict")
    assert code == 0, said


def test_ruff_check(root: Path) -> None:
    code, said = _run(root, "ruff", "check", "--output-format=concise", ".")
    assert code == 0, said


def test_ruff_format(root: Path) -> None:
    code, said = _run(root, "ruff", "format", "--check", ".")
    assert code == 0, said
