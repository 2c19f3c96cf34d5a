"""What `genba fleet` says of a gateway and of a push."""

from __future__ import annotations

from typing import Any, Final

from gateway.cli.words import printable, several
from gateway.engine.fleet_look import LOOK_S

PRIORITIES: Final = ("urgent", "high", "medium", "low")
STATES: Final = {
    "new": "not asked yet",
    "well": "ready",
    "away": "does not answer",
    "refused": "not let in",
}


def state_of(row: dict[str, Any]) -> str:
    """How a gateway is, in few words."""
    says = row["says"]
    if row["state"] == "well" and says and not says["ready"]:
        return "not ready"
    return STATES[row["state"]]


def drift_of(row: dict[str, Any]) -> list[dict[str, str]]:
    """All that differs: from what it should be by itself, and from what was pushed to it."""
    says = row["says"]
    own = [dict(one) for one in says["drift"]["rows"]] if says else []
    return [*own, *row["pushed"]]


def row_of(row: dict[str, Any], now: int) -> tuple[str, ...]:
    """A gateway as a line of the table."""
    says = row["says"] or {}
    alarms = says.get("alarms", {})
    words = [f"{alarms[one]} {one}" for one in PRIORITIES if alarms.get(one)]
    drift = len(drift_of(row))
    known = bool(says) and (says["drift"]["at"] is not None or row["pushed"])
    return (
        row["name"],
        state_of(row),
        printable(says.get("version", "–")),
        (", ".join(words) or "none") if says else "–",
        str(drift) if drift else ("none" if known else "–"),
        ago(row["heard"], now),
        row["ring"],
        ", ".join(row["groups"]),
    )


def trouble_of(row: dict[str, Any]) -> str:
    """What is wrong with a gateway, in words; empty when nothing is."""
    return printable(row["text"] or (row["says"] or {}).get("why", ""))


def ago(at: int, now: int) -> str:
    """How long ago, in the unit that people would take for it.

    >>> ago(0, 5), ago(10**9, 6 * 10**9), ago(0 + 1, 7_200_000_000_001)
    ('never', 'now', '120 min ago')
    """
    if not at:
        return "never"
    seconds = (now - at) / 1e9
    if seconds < 2 * LOOK_S:
        return "now"
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds > 2 * size:
            return f"{seconds / size:.0f} {unit} ago"
    return f"{seconds:.0f} s ago"


def lines_of(row: dict[str, Any], now: int) -> list[str]:
    """All that is known of a gateway."""
    says = row["says"] or {}
    found = [
        f"{row['name']}  {row['url']}",
        f"state    {state_of(row)}, heard {ago(row['heard'], now)}",
        f"known by {'its authority' if row['authority'] else row['pin']}",
        f"ring     {row['ring']}; groups {', '.join(row['groups']) or 'none'}",
        f"screens  {row['link'] or 'none'}",
    ]
    if row["text"]:
        found.append(f"trouble  {printable(row['text'])}")
    if says:
        found.append(f"version  {printable(says['version'])} on {printable(says['name'])}")
        counts = ", ".join(f"{says['alarms'].get(one, 0)} {one}" for one in PRIORITIES)
        found.append(f"alarms   {counts}; {says['raised']} within ten minutes")
        flows = ", ".join(f"{one['flow']} (revision {one['revision']})" for one in says["flows"])
        found.append(f"flows    {printable(flows) or 'none'}")
        if says["drift"]["text"]:
            found.append(f"drift    {printable(says['drift']['text'])}")
    return [
        *found,
        *(
            printable(f"drift    {one['what']}: {one['wanted']} → {one['found']}")
            for one in drift_of(row)
        ),
    ]


def push_lines(row: dict[str, Any]) -> list[str]:
    """How each gateway of a push is, those that wait left out."""
    found = [f"{several(len(row['members']), 'gateway')}, push {row['id']} of {row['flow']}"]
    for one in row["members"]:
        if one["state"] != "waiting":
            words = f"{one['ring']:<7} {one['name']}: {one['state']}. {one['text']}".strip()
            found.append(printable(words))
    return found


__all__ = ["ago", "drift_of", "lines_of", "push_lines", "row_of", "state_of", "trouble_of"]
