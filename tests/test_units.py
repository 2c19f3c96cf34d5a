"""Units of systemd: valid, hardened, and they start what exists."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from gateway.cli.units import FOLDER, UNITS, unit_text
from gateway.errors import ConfigError

SERVICES = [name for name in UNITS if name.endswith(".service")]
EXPOSURE_MAX = {"genba-update.service": 2.2}
"""It exchanges what runs, so it is root; the others 1.6."""
NEWER = ("RestartSteps", "RestartMaxDelaySec")
"""Known from systemd 254 on; older ones say so and go on."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in UNITS:
        (tmp_path / name).write_text(unit_text(name, Path("/bin/true")))
    return tmp_path


def test_all_files_are_known() -> None:
    assert sorted([*UNITS, "guard.sh"]) == sorted(path.name for path in FOLDER.iterdir())


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not installed")
def test_systemd_understands_them(folder: Path) -> None:
    words = ["systemd-analyze", "verify", *(str(folder / name) for name in UNITS)]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
    said = [line for line in done.stderr.split("\n") if str(folder) in line]
    assert not [line for line in said if not any(name in line for name in NEWER)]


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not installed")
@pytest.mark.parametrize("name", SERVICES)
def test_they_are_hardened(folder: Path, name: str) -> None:
    words = ["systemd-analyze", "security", "--offline=true", str(folder / name)]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", done.stdout)
    assert found is not None, done.stderr
    assert float(found[1]) <= EXPOSURE_MAX.get(name, 1.6)


@pytest.mark.parametrize("name", SERVICES)
def test_what_they_start_is_a_command(name: str) -> None:
    text = unit_text(name, Path("/opt/genba/genba"))
    start = re.search(r"^ExecStart=/opt/genba/genba (.*)$", text, re.MULTILINE)
    assert start is not None
    from gateway.cli.main import COMMANDS

    assert start[1].split()[0] in COMMANDS
    assert "@GENBA@" not in text


def test_a_path_that_systemd_would_misread_is_refused() -> None:
    with pytest.raises(ConfigError, match="cannot run"):
        unit_text("genba-ui.service", Path("/opt/my genba/genba"))
