"""Machines to install on: booted Debian systems in containers, each with a systemd of its own.

Needs root, systemd-nspawn and debootstrap, and for the first time a mirror of Debian; the
unpacked system is kept in build/rootfs. Nothing here touches the system that the tests run on.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
BASE = Path(os.environ.get("GENBA_ROOTFS", ROOT / "build" / "rootfs"))
PACKAGES = (
    "systemd,systemd-sysv,systemd-timesyncd,dbus,openssh-server,iproute2,ca-certificates,python3,"
    "nftables"
)


def rootfs() -> Path:
    """A minimal Debian 12; made once."""
    done = BASE / ".complete"
    if not done.exists():
        shutil.rmtree(BASE, ignore_errors=True)
        words = ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", "bookworm"]
        subprocess.run([*words, str(BASE)], check=True, stdout=subprocess.DEVNULL, timeout=900)
        done.touch()
    return BASE


def until(found: Callable[[], Any], about: str, seconds: float = 240.0) -> Any:
    """Wait until it gives something true."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if answer := found():
            return answer
        time.sleep(0.3)
    raise AssertionError(f"Not within {seconds:.0f} s: {about}.")


class Machine:
    """A booted Debian in a folder.

    Args:
        folder: Where its files are.
        name: Its host name.
        bridge: A bridge of the network to be on; empty has a link of its own.
    """

    def __init__(self, folder: Path, name: str, bridge: str = "") -> None:
        self.root, self.name, self._bridge = folder / name, name, bridge
        self._process: subprocess.Popen[bytes] | None = None
        self._pid = 0

    def make(self) -> None:
        """Copy the system when it is new."""
        if not self.root.exists():
            words = ["cp", "-a", "--reflink=auto", str(rootfs()), str(self.root)]
            subprocess.run(words, check=True)
            (self.root / "etc/hostname").write_text(f"{self.name}\n")

    def boot(self) -> None:
        """Start it."""
        self.make()
        network = f"--network-bridge={self._bridge}" if self._bridge else "--network-veth"
        words = ["systemd-nspawn", "--register=no", "--keep-unit", "-q", "-D", str(self.root)]
        self._process = subprocess.Popen(
            [*words, "-M", self.name, network, "--boot"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        until(self._is_up, f"{self.name} runs")

    def _is_up(self) -> bool:
        # Looked up each time: the first child that is seen may be one that only prepares.
        self._pid = self._child()
        said = self.call("systemctl", "is-system-running") if self._pid else ""
        return said.strip() == "running"

    def _child(self) -> int:
        assert self._process is not None
        path = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        found = path.read_text().split()
        return int(found[0]) if found else 0

    def run(
        self, *words: str, stdin: str = "", seconds: float = 120
    ) -> subprocess.CompletedProcess[str]:
        """Run a command inside, with an environment as a login has it."""
        path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        into = ["nsenter", "-t", str(self._pid), "-a", "--", "env", "-i", path]
        return subprocess.run(
            [*into, "HOME=/root", "LANG=C.UTF-8", *words],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )

    def call(self, *words: str, stdin: str = "") -> str:
        """What a command says, whatever it returns."""
        return self.run(*words, stdin=stdin).stdout

    def must(self, *words: str, stdin: str = "") -> str:
        """What a command says; it must succeed."""
        done = self.run(*words, stdin=stdin)
        assert done.returncode == 0, f"{words}: {done.stdout}\n{done.stderr}"
        return done.stdout

    def put(self, source: Path, inside: str) -> None:
        """Copy a file in."""
        target = self.root / inside.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, target)

    def log(self, unit: str) -> str:
        """What a service has logged."""
        return self.call("journalctl", "--no-pager", "-o", "cat", "-u", unit)

    def power_off(self) -> None:
        """As if the plug was pulled: every process of it is killed at once."""
        if self._process is None:
            return
        if pid := self._child():
            os.kill(pid, signal.SIGKILL)
        self._process.wait(60)
        self._process = None


def has_what_it_takes() -> str:
    """Empty, or why machines cannot be booted here."""
    if os.geteuid() != 0:
        return "root is needed to boot machines"
    for program in ("systemd-nspawn", "debootstrap", "nsenter"):
        if shutil.which(program) is None:
            return f"{program} is not installed (apt-get install systemd-container debootstrap)"
    return ""
