"""What the tests of faults share: the library that watches and breaks the disk."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.bench import HURRIED

HERE = Path(__file__).parent
LONG = os.environ.get("GENBA_TORTURE", "") not in ("", "0")


@pytest.fixture(scope="session")
def iolog(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`iolog.so`, compiled."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    assert compiler, "a C compiler is needed: apt-get install gcc libc6-dev"
    library = tmp_path_factory.mktemp("iolog") / "iolog.so"
    flags = ["-shared", "-fPIC", "-O1", "-U_FORTIFY_SOURCE", "-Wall", "-Wextra", "-Werror"]
    source = str(HERE / "iolog.c")
    command = [compiler, *flags, "-o", str(library), source, "-ldl", "-lpthread"]
    subprocess.run(command, check=True)
    return library


@pytest.fixture(autouse=True)
def unhurried() -> Iterator[None]:
    """What `hurry` makes small in this process is large again for the next test."""
    before = [getattr(module, name) for module, name in HURRIED]
    yield
    for (module, name), value in zip(HURRIED, before, strict=True):
        setattr(module, name, value)
