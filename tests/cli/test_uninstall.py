"""What `genba uninstall` does with the user of the services, on real users of this machine."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator

import pytest

from gateway.cli import uninstall
from gateway.errors import ConfigError

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("useradd") is None, reason="only root makes users"
)


@pytest.fixture
def user(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    name = f"genba-t{os.getpid()}"
    subprocess.run(["useradd", "--system", "--no-create-home", name], check=True)
    monkeypatch.setattr(uninstall, "USER", name)
    monkeypatch.setattr(uninstall, "PAUSE_S", 0.2)
    yield name
    subprocess.run(["userdel", "--force", name], check=False, capture_output=True)


def is_there(name: str) -> bool:
    return subprocess.run(["id", name], check=False, capture_output=True).returncode == 0


def test_a_process_that_is_on_its_way_out_is_waited_for(user: str) -> None:
    with subprocess.Popen(["sleep", "1"], user=user):
        uninstall._delete_user()
    assert not is_there(user)


def test_one_that_goes_on_is_named(user: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uninstall, "TRIES", 2)
    with subprocess.Popen(["sleep", "60"], user=user) as process:
        with pytest.raises(ConfigError, match=str(process.pid)):
            uninstall._delete_user()
        process.kill()
    assert is_there(user)
