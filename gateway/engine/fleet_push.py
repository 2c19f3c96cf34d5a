"""Fleet push: what a push of a flow is, how far it has come, and where that is kept.

The rules are those of the updates with Ansible: the canary first, then ring by ring; each ring
is watched and judged; when too many of a ring fail, all of it goes back and no later ring is
touched. Every step is on the disk before it is taken, so that a gateway that is started anew in
the middle goes on where it was.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gateway.engine import fleet_file
from gateway.engine.fleet_book import RINGS, Peer, Ring
from gateway.engine.fleet_look import Says
from gateway.engine.fleet_parcel import Parcel, Sealed, read
from gateway.engine.fleet_self import digest
from gateway.errors import ConfigError, Rejected

KEPT_MAX: Final = 50
MemberState: TypeAlias = Literal["waiting", "sending", "watched", "good", "failed", "owed", "back"]
PushState: TypeAlias = Literal["running", "stopping", "done", "stopped"]


class Rules(BaseModel):
    """When a gateway and a ring count as failed; the words and values of the Ansible role."""

    model_config = ConfigDict(extra="forbid")
    soak_s: float = Field(
        default=60.0, ge=0, le=86_400, description="How long a ring is watched [s]."
    )
    alarms_more: int = Field(
        default=3,
        ge=0,
        le=1_000,
        description="So many more open alarms than before count as a failure.",
    )
    failures_percent: float = Field(
        default=0.0,
        ge=0,
        le=100,
        description="A ring goes back when more than this share of it fails [%].",
    )


class Member(BaseModel):
    """One gateway of a push.

    `state`: waiting (not its turn), sending (it may have the flow), watched, good, failed (it
    runs what it ran before), owed (it must still be told to go back), back (it has gone back).
    """

    name: str
    ring: Ring
    state: MemberState = "waiting"
    text: str = ""
    revision: int | None = None
    opened: int | None = None
    """Open alarms before."""
    raised: int | None = None
    """Alarms in the ten minutes before."""


class Push(BaseModel):
    """One flow on its way to a group."""

    flow: str
    id: str
    group: str
    by: str
    note: str
    made: int
    sealed: Sealed
    sha256: str
    rules: Rules
    members: list[Member]
    state: PushState = "running"
    text: str = ""
    ring: Ring | None = None
    watched_until: int = 0
    """When the ring that is watched is judged [ns]; 0 while none is."""
    ended: int = 0

    @property
    def parcel(self) -> Parcel:
        """What is handed over."""
        return read(self.sealed)

    def rings(self) -> list[tuple[Ring, list[Member]]]:
        """Its rings that have members, in their order."""
        found = [(ring, [m for m in self.members if m.ring == ring]) for ring in RINGS]
        return [(ring, members) for ring, members in found if members]

    def is_too_many(self, members: Sequence[Member]) -> bool:
        """Whether so many of a ring have failed that it goes back."""
        failed = sum(member.state == "failed" for member in members)
        return failed * 100 > len(members) * self.rules.failures_percent

    def row(self) -> dict[str, object]:
        """For people: without the flow itself."""
        return self.model_dump(exclude={"sealed"})


def begun(
    sealed: Sealed, group: str, by: str, rules: Rules, peers: Sequence[Peer], now: int
) -> Push:
    """A push that has not done anything yet.

    Without a canary among them, the first gateway by its name is one.

    Raises:
        ConfigError: Nobody is in the group.
        Rejected: It is no parcel.
    """
    if not peers:
        raise ConfigError(
            f"No gateway is in the group {group!r}.", hint="`genba fleet list` shows the groups."
        )
    parcel = read(sealed)
    first = min(peers, key=lambda peer: (RINGS.index(peer.ring), peer.name))
    members = [
        Member(name=peer.name, ring="canary" if peer is first else peer.ring) for peer in peers
    ]
    return Push(
        flow=parcel.flow,
        id=parcel.id,
        group=group,
        by=by,
        note=parcel.note,
        made=now,
        sealed=sealed,
        sha256=digest(parcel.text),
        rules=rules,
        members=members,
    )


def judged(push: Push, member: Member, says: Says) -> str:
    """What is wrong with a gateway that has the flow; empty when nothing is."""
    more = push.rules.alarms_more
    if not says.ready:
        return f"It is not ready: {says.why}"
    if says.unbalanced:
        return f"Its books do not balance ({says.unbalanced} rows)."
    runs = next((one.sha256 for one in says.flows if one.flow == push.flow), "")
    if runs != push.sha256:
        return "It runs another text of the flow." if runs else "The flow does not run on it."
    if says.open > (member.opened or 0) + more:
        return f"It has {says.open} open alarms; before there were {member.opened}."
    if says.raised > (member.raised or 0) + more:
        return f"{says.raised} alarms came within ten minutes; before there were {member.raised}."
    return ""


class Pushes:
    """All pushes that are kept, newest last.

    Args:
        folder: Of their files.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._written: dict[str, int] = {}
        self._number = 0
        self.all: dict[str, Push] = {}
        self.damaged: list[str] = []
        for path in sorted(folder.glob("*.json")):
            try:
                push = Push.model_validate(fleet_file.load(path))
                self.all[push.id] = push
            except (ConfigError, ValidationError, Rejected):
                self.damaged.append(path.name)
        self.all = dict(sorted(self.all.items(), key=lambda item: item[1].made))

    async def keep(self, push: Push) -> None:
        """Write down how far a push has come.

        Raises:
            ConfigError: It cannot be written: the next step must not be taken.
        """
        self.all[push.id] = push
        self._number += 1
        await asyncio.to_thread(self._write, push.id, push.model_dump(), self._number)
        over = [one for one in self.all.values() if one.state in ("done", "stopped")]
        for one in over[: max(0, len(self.all) - KEPT_MAX)]:
            self.forget(one.id)

    def _write(self, push: str, data: dict[str, object], number: int) -> None:
        """On a thread; one that was overtaken writes nothing."""
        with self._lock:
            if self._written.get(push, 0) < number:
                self._written[push] = number
                fleet_file.store(self._folder / f"{push}.json", data)

    def forget(self, push: str) -> None:
        """Drop one that has ended."""
        self.all.pop(push, None)
        (self._folder / f"{push}.json").unlink(missing_ok=True)

    def newest(self, name: str) -> dict[str, Push]:
        """By flow the newest push that a gateway has and should have."""
        found: dict[str, Push] = {}
        for push in self.all.values():
            if any(member.name == name and member.state == "good" for member in push.members):
                found[push.flow] = push
        return found


__all__ = ["Member", "Push", "Pushes", "Rules", "begun", "judged"]
