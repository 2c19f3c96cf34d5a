"""Units of systemd: valid, hardened, and they start what exists."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from gateway.cli.units import FOLDER, UNITS, unit_text
from gateway.engine.models_spawn import ENVIRONMENT
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
    one = folder / name.replace("@.", "@one.")  # Of a template, an instance.
    if one.name != name:
        shutil.copy(folder / name, one)
    words = ["systemd-analyze", "security", "--offline=true", str(one)]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", done.stdout)
    assert found is not None, done.stderr
    assert float(found[1]) <= EXPOSURE_MAX.get(name, 1.6)


@pytest.mark.parametrize("name", [n for n in SERVICES if n != "genba-failed@.service"])
def test_what_they_start_is_a_command(name: str) -> None:
    text = unit_text(name, Path("/opt/genba/genba"))
    start = re.search(r"^ExecStart=/opt/genba/genba (.*)$", text, re.MULTILINE)
    assert start is not None
    from gateway.cli.main import COMMANDS, MODULES
    from gateway.engine.program import OPTION

    word, *rest = start[1].split()
    assert word in COMMANDS or (word == OPTION and rest[0] in MODULES)
    assert "@GENBA@" not in text


def test_a_path_that_systemd_would_misread_is_refused() -> None:
    with pytest.raises(ConfigError, match="cannot run"):
        unit_text("genba-ui.service", Path("/opt/my genba/genba"))


def test_the_explainer_goes_first_and_everything_has_a_limit() -> None:
    texts = {name: unit_text(name, Path("/bin/true")) for name in UNITS}

    def value(name: str, key: str) -> int:
        found = re.search(rf"^{key}=(-?\d+)", texts[name], re.MULTILINE)
        assert found is not None, (name, key)
        return int(found[1])

    engine, ui = (value(f"genba-{one}.service", "OOMScoreAdjust") for one in ("engine", "ui"))
    assert engine < 0 < ui < value("genba-explainer@.service", "OOMScoreAdjust") == 1000
    assert value("genba-explainer.slice", "CPUWeight") < value("genba-ui.service", "CPUWeight")
    assert value("genba-explainer.slice", "MemoryMax") < value("genba-engine.service", "MemoryMax")
    for name in ("genba-engine.service", "genba-safe.service"):
        assert "OOMPolicy=continue" in texts[name]
        assert "LoadCredential=genba-secrets-key\n" in texts[name]
    for name in ("engine.service", "safe.service", "ui.service", "explainer.socket"):
        text = texts[f"genba-{name}"]
        assert re.search(r"^OnFailure=.*genba-failed@%n\.service$", text, re.MULTILINE), name


def test_screens_that_are_stopped_have_never_failed() -> None:
    # systemd 252 starts OnFailure= when a unit is stopped and takes too long: that was an alarm
    # of screens that were given up, after a restart on a host whose processor was busy.
    text = unit_text("genba-ui.service", Path("/bin/true"))
    assert "\nKillSignal=SIGKILL\nSuccessExitStatus=SIGKILL\n" in text
    # Without its folder no certificate can be made, and each start would fail.
    assert "\nStateDirectory=genba/tls\nStateDirectoryMode=0700\n" in text


def test_the_explainer_has_the_environment_of_a_child() -> None:
    text = unit_text("genba-explainer@.service", Path("/bin/true"))
    words = " ".join(re.findall(r"^Environment=(.*)$", text, re.MULTILINE)).split()
    assert {f"{name}={value}" for name, value in ENVIRONMENT.items()} <= set(words)
