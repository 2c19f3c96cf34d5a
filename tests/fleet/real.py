"""Real gateways on the loopback address, each a process with a door of the fleet."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from gateway.api import certificate
from gateway.api.client_accounts import AccountClient
from gateway.api.client_fleet import FleetClient
from gateway.api.local import FILE
from gateway.errors import Disconnected

PASSWORD = "seven loud green boats"
QUIET = """\
flow: press
version: 1
nodes:
  src: {type: simulate.source, tag: press/oil, count: 6, every_s: 0.2}
  high: {type: alarm.limit, hi: 1000}
wires:
- src -> high
"""
BETTER = QUIET.replace("hi: 1000", "hi: 900")
LOUD = QUIET.replace("hi: 1000", "hi: -5")
"""It runs as well as the others, and raises six alarms within a second."""
TIMEOUT_S = 240.0


class Client(FleetClient, AccountClient):
    """All that a test asks."""


class Gateway:
    """One gateway.

    Args:
        folder: Of its state and its log.
        more: Further words for `genba run`.
    """

    def __init__(self, folder: Path, *more: str) -> None:
        self.folder = folder
        self.state = folder / "state"
        self._more = more
        self.door = 0
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True)
        (folder / "press.flow.yaml").write_text(QUIET)
        self.client = Client("http://127.0.0.1:1")

    def start(self) -> None:
        """Start it and wait until it answers, the door too."""
        self.log = self.folder / f"log{time.monotonic_ns()}"
        port = self.folder / "port"
        port.unlink(missing_ok=True)
        words = [sys.executable, "-m", "gateway", "run", str(self.folder / "press.flow.yaml")]
        words += ["--state", str(self.state), "--port", "0", "--port-file", str(port)]
        words += ["--fleet-listen", f"127.0.0.1:{self.door}", "--no-explanations"]
        words += ["--wanted", str(self.folder / "wanted"), *self._more]
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                words, stdout=log, stderr=log, env={**os.environ, "GENBA_LISTEN": "off"}
            )
        until(lambda: port.exists() and port.read_text().strip(), self)
        self.client = Client(f"http://127.0.0.1:{port.read_text().strip()}", timeout_s=30)
        self.client.token = (self.state / FILE).read_text().split("\n")[1]
        found = re.search(r"come in at https://127\.0\.0\.1:(\d+)", self.log.read_text())
        assert found, self.log.read_text()
        self.door = int(found[1])

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.door}"

    @property
    def pin(self) -> str:
        return certificate.fingerprint(self.state / "tls" / "gateway.pem")

    @property
    def has_ended(self) -> bool:
        """It was started and has ended."""
        return self._process is not None and self._process.poll() is not None

    def kill(self) -> None:
        """As a power cut does."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        """End it as systemd does."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def lets_in(self, other: Gateway, *, takes: bool = True) -> str:
        """Trust another gateway, and make a token for it; returns its secret."""
        names = {row["name"] for row in self.client.users()}
        for name, role in (("anna", "administrator"), ("fleet", "engineer")):
            if name not in names:
                self.client.add_user(name, PASSWORD, role)
        self.client.believe("centres", "centre", other.client.identity()["certificate"])
        scopes = ["peer.read", "peer.take"] if takes else ["peer.read"]
        made = self.client.make_token("centre", "fleet", "engineer", scopes=scopes)
        return str(made["token"])

    def flow_text(self) -> str:
        return str(self.client.flow("press")["text"])


def look_at(centre: Gateway, name: str, other: Gateway, **what: Any) -> None:
    """Put a gateway into the list of another."""
    found = {"url": other.url, "pin": other.pin, "groups": ["line"], **what}
    centre.client.put_peer(name, **found)


def rows(centre: Gateway) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in centre.client.fleet()["peers"]}


def until(good: Callable[[], Any], *said: Gateway, timeout_s: float = TIMEOUT_S) -> Any:
    """Wait for something to become true; what the gateways said is told when it does not."""
    end = time.monotonic() + timeout_s
    while True:
        with suppress(Disconnected):
            if found := good():
                return found
        dead = [one for one in said if one.has_ended]
        if dead or time.monotonic() > end:
            logs = "\n".join(one.log.read_text()[-3000:] for one in said)
            raise AssertionError(f"It did not happen within {timeout_s} s.\n{logs}")
        time.sleep(0.1)
