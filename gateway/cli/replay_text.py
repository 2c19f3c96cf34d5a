"""What a replay found, in lines for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from gateway.cli.moment import show
from gateway.cli.words import printable
from gateway.data import quality
from gateway.data.table import amount, number

ALARMS_SHOWN: Final = 50
_STARTED: Final = {
    "checkpoint": "It started with the stored state of before.",
    "beginning": "It started with the very first record, so its state is that of the live flow.",
    "fresh": "It started fresh {warm_up} before that: longer windows, and alarms that were raised "
    "earlier, are not known. A longer --warm-up knows more.",
}


def lines(report: Mapping[str, Any], examples: int) -> Iterator[str]:
    """The report of `genba replay` as text.

    Args:
        report: As ``--json`` prints it.
        examples: How many differences are shown for each place.
    """
    yield from _head(report)
    names = ("recorded", "edited") if report["against"] else ("live", "replay")
    yield ""
    yield from _alarms(report["alarms"], names)
    yield ""
    yield from _ends(report, names, examples)
    yield from _writes(report, examples)
    yield ""
    yield _verdict(report)


def _head(report: Mapping[str, Any]) -> Iterator[str]:
    span = f"{show(report['from'])} to {show(report['to'])}"
    yield f"{report['flow']}, {span}, against {report['against'] or 'what was recorded live'}"
    pace = (report["to"] - report["from"]) / 1e9 / max(report["seconds"], 1e-3)
    counts = f"{report['records']:,} records with {report['rows']:,} rows"
    yield f"{counts} in {report['seconds']:.1f} s, {pace:,.0f} times as fast as they came."
    warm_up = amount(report["warm_up_s"] / 60, "min")
    yield _STARTED[report["started"]].format(warm_up=warm_up)
    for text in report["warnings"]:
        yield printable(f"WARNING: {text}")


def _alarms(alarms: Mapping[str, Any], names: Sequence[str]) -> Iterator[str]:
    kinds = ("same", "added", "removed", "moved", "changed")
    parts = ", ".join(f"{alarms[kind]} {kind}" for kind in kinds if alarms[kind])
    left, right = (
        f"{alarms[side]} {name}" for side, name in zip(("left", "right"), names, strict=True)
    )
    yield f"Alarm events: {left}, {right}" + (f": {parts}." if parts else ".")
    for row in alarms["differences"][:ALARMS_SHOWN]:
        yield "  " + printable(_alarm(row))
    total = sum(alarms[kind] for kind in kinds[1:])
    if total > ALARMS_SHOWN:
        yield f"  and {total - ALARMS_SHOWN} more; --json prints them."
    if alarms["crowded"]:
        yield f"  {alarms['crowded']} events were too many to wait for their partners."


def _alarm(row: Mapping[str, Any]) -> str:
    event = row["right"] or row["left"]
    what = f"{event['tag']} {event['condition']} {event['change']}"
    text = f"{row['kind']:<8} {show(event['ts'], places=3)}  {what}"
    if row["kind"] == "moved":
        moved = row["moved_s"]
        text += f", {number(round(abs(moved), 3))} s {'later' if moved > 0 else 'earlier'}"
    if row["kind"] == "changed":
        return f"{text}: {', '.join(_field(row, name) for name in row['fields'])}"
    return f"{text}: {event['text']}"


def _field(row: Mapping[str, Any], name: str) -> str:
    values = [row[side][name] for side in ("left", "right")]
    before, after = (number(v) if isinstance(v, float) else str(v) for v in values)
    return f"{name} {before} -> {after}"


def _ends(report: Mapping[str, Any], names: Sequence[str], examples: int) -> Iterator[str]:
    if not report["ends"]:
        yield "Nothing reached a sink, and no output is watched (--watch NODE.PORT)."
        return
    if not report["against"]:
        yield "What reached the sinks (what they got live is not recorded, so it is not compared):"
        for end in report["ends"]:
            yield f"  {end['end']:<28} {end['rows'][0]:>12,} rows   {end['digest'][:12]}"
        return
    heads = (*names, "same", "changed", "only rec.", "only ed.")
    yield f"{'Values':<30}" + "".join(f"{head:>11}" for head in heads)
    for end in report["ends"]:
        yield from _end(end, examples)


def _end(end: Mapping[str, Any], examples: int) -> Iterator[str]:
    counts = (*end["rows"], end["same"], end["changed"], end["only_left"], end["only_right"])
    yield f"  {printable(end['end']):<28}" + "".join(f"{count:>11,}" for count in counts)
    if end["changed"] and end["largest_change"]:
        yield f"      largest change: {number(end['largest_change'])}"
    for row in end["examples"][:examples]:
        yield "      " + printable(_row(row))
    if end["crowded"]:
        yield f"      {end['crowded']:,} rows were too many to wait for their partners."
    is_all_same = not (end["changed"] or end["only_left"] or end["only_right"])
    if is_all_same and not end["is_same_order"]:
        yield "      The same rows in another order."


def _row(row: Mapping[str, Any]) -> str:
    sides = [row.get(side) for side in ("left", "right")]
    shown = ["(none)" if side is None else _value(side) for side in sides]
    return f"{show(row['ts'], places=3)}  {row.get('tag', '')}  {shown[0]} -> {shown[1]}"


def _value(side: Any) -> str:
    if isinstance(side, str):
        return side
    value, status = side
    word = quality.name(status)
    return number(value) if word == "Good" else f"{number(value)} {word}"


def _writes(report: Mapping[str, Any], examples: int) -> Iterator[str]:
    total = report["written_total"]
    if not total and not report.get("writes"):
        return
    yield ""
    yield f"Writes that would have been sent into the plant, and were not: {total:,}"
    if report["against"]:
        for end in report["writes"]:
            yield from _end(end, examples)
        return
    for row in report["written"][:examples]:
        what = row["text"] if "text" in row else f"{row['tag']} = {_value(row['value'])}"
        yield f"  {show(row['at'], places=3)}  {row['end']}  {printable(what)}"
    if total > examples:
        yield f"  and {total - examples:,} more; --json prints the first 1,000."


def _verdict(report: Mapping[str, Any]) -> str:
    hashes = " ".join(digest[:16] for digest in report["digests"])
    count = report["differences"]
    if not count:
        return f"No difference. (hash {hashes})"
    return f"{count:,} difference{'' if count == 1 else 's'}. (hash {hashes})"
