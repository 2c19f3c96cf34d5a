"""Setpoint: one value that a person wants to write, from arming to its end."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

from gateway.engine.writeledger import Outcome, Target
from gateway.flow.grant import Grant
from gateway.flow.judging import Check, Seen

State: TypeAlias = Literal[
    "armed", "confirming", "confirmed", "reading back",
    "written", "differs", "refused", "failed", "unknown", "expired", "sent",
]  # fmt: skip
ENDED: Final = frozenset({"written", "differs", "refused", "failed", "unknown", "expired"})
"""written: and read back, where that can be. differs: the device holds something else. refused:
a rule did not hold. failed: the device refused. unknown: nobody can say. expired: not in time."""


@dataclass(slots=True, eq=False)
class Setpoint:
    """One setpoint.

    Args:
        id: Its name.
        target: (flow, sink, tag).
        value: What is to be written, in the tag's unit.
        grant: By which grant, as it was when it was armed.
        armed: When [ns].
        by: Who armed it.
        account: Their account.
        why: The cause, in their words.
    """

    id: str
    target: Target
    value: float
    grant: Grant
    armed: int
    by: str
    account: str = ""
    why: str = ""
    state: State = "armed"
    text: str = ""
    """What came of it, in words."""
    outcome: Outcome = "sent"
    checks: list[Check] = field(default_factory=list)
    confirmed_by: str = ""
    ts: int = 0
    """The time of its sample in the journal [ns]."""
    ended: int = 0
    until_s: float = 0.0
    """When it is confirmed, written or read back at the latest, by the monotonic clock [s]."""
    before: Seen | None = None
    seen: Seen | None = None
    after: Seen | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain values for the API."""
        return {
            **self.detail(),
            "armed": self.armed,
            "armed_by": self.by,
            "ended": self.ended,
            "is_over": self.state in ENDED,
            "checks": [check.as_dict() for check in self.checks],
        }

    def detail(self) -> dict[str, Any]:
        """What the audit has of it."""
        flow, node, tag = self.target
        return {
            "setpoint": self.id,
            "flow": flow,
            "node": node,
            "tag": tag,
            "value": _plain(self.value),
            "grant": self.grant.id,
            "cause": self.why,
            "state": self.state,
            "text": self.text,
            "armed_by": self.by,
            "confirmed_by": self.confirmed_by,
            "before": None if self.before is None else _plain(self.before.value),
            "after": None if self.after is None else _plain(self.after.value),
            "ts": self.ts,
        }


def _plain(value: float) -> float | str:
    """A number as JSON has it; what is none is written as a word."""
    return value if abs(value) < float("inf") else str(value)


def restored(records: Iterable[tuple[int, str, str, Any]]) -> list[Setpoint]:
    """The setpoints that the audit tells of, oldest first; what was only armed has expired."""
    found: dict[str, Setpoint] = {}
    for ts, actor, action, detail in records:
        try:
            one = _restored(ts, actor, action, detail, found.get(str(detail["setpoint"])))
        except (KeyError, TypeError, ValueError):  # Of another version, or damaged.
            continue
        if one is not None:
            found[one.id] = one
    return list(found.values())


def _restored(
    ts: int, actor: str, action: str, detail: Any, known: Setpoint | None
) -> Setpoint | None:
    if action == "setpoint/denied":
        return known
    value = float(detail["value"])
    target = (str(detail["flow"]), str(detail["node"]), str(detail["tag"]))
    names = {"id": detail["grant"], "flow": target[0], "node": target[1], "tags": [target[2]]}
    grant = Grant.model_validate({**names, "lo": 0, "hi": 0})  # Its rules are not asked again.
    one = known or Setpoint(str(detail["setpoint"]), target, value, grant, ts, detail["armed_by"])
    one.confirmed_by, one.why, one.ts = detail["confirmed_by"], detail["cause"], int(detail["ts"])
    for side in ("before", "after"):
        if detail[side] is not None:
            setattr(one, side, Seen("", float(detail[side]), 0, 0.0))
    if action == "setpoint/arm":
        one.state, one.text = "expired", "The gateway ended before it was confirmed."
    elif action == "setpoint/confirm":
        one.state, one.text = "confirmed", ""
    else:
        one.state, one.text, one.ended = detail["state"], detail["text"], ts
    return one


__all__ = ["ENDED", "Setpoint", "State", "restored"]
