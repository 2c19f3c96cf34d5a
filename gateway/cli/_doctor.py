"""What the doctor's checks share: a finding, and where they look."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from gateway.cli.settings import Settings
from gateway.engine.clock import SystemClock

Level = Literal["ok", "look", "bad"]
DAY_NS: Final = 86_400 * 10**9


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the doctor.

    Args:
        check: What was looked at, one word.
        level: ``ok``, ``look`` (somebody should) or ``bad`` (it does not work, or will not).
        text: What is, in a sentence.
        todo: What to do about it; empty when it is ok.
    """

    check: str
    level: Level
    text: str
    todo: str = ""


@dataclass(slots=True)
class Place:
    """The machine and the gateway that are looked at.

    Args:
        settings: Those that hold here.
        state: Folder of the state.
        root: The folder in which /etc, /dev, /opt and /var are; another one in tests.
        clock: The time.
        report: What the gateway says of itself; of its state file when it does not run.
        connections: Of the gateway that runs.
        about: Versions of the gateway that runs.
        trouble: Why the gateway does not answer; empty when it does.
        is_refused: Whether it answers, and tells us nothing.
    """

    settings: Settings
    state: Path
    root: Path = Path("/")
    clock: SystemClock = field(default_factory=SystemClock)
    report: Mapping[str, Any] | None = None
    connections: list[dict[str, Any]] = field(default_factory=list)
    about: Mapping[str, Any] | None = None
    trouble: str = ""
    is_refused: bool = False

    @property
    def is_running(self) -> bool:
        """Whether a gateway answers."""
        return self.report is not None and bool(self.report["running"])

    @property
    def answers(self) -> bool:
        """Whether a gateway is there, whatever it tells."""
        return self.is_running or self.is_refused

    @property
    def is_installed(self) -> bool:
        """Whether the gateway is a service of systemd here."""
        return (self.root / "etc/systemd/system/genba-engine.service").is_file()
