"""genba status: on one page, how the gateway is, and whether its books balance."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.text import Text

from gateway.api.client import URL, Client
from gateway.cli.words import local_time, printable, several, size, span
from gateway.errors import Disconnected

Report = Mapping[str, Any]
_HEAD: Final = 14
_DAYS: Final = 4
_LISTED: Final = 12
"""Lines of one kind; the rest is counted."""


def add(commands: Any) -> None:
    """Declare the subcommand."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "status", help="say on one page how the gateway is"
    )
    parser.add_argument("--api", help=f"address of the gateway; else $GENBA_API, else {URL}")
    parser.add_argument(
        "--state", type=Path, help="folder of the state, which is read when no gateway runs"
    )
    parser.add_argument("--json", action="store_true", help="everything, as one JSON object")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the subcommand; returns 0 when the books balance."""
    report = _report(args)
    if args.json:
        print(json.dumps(report, ensure_ascii=False))
    else:
        console = Console(soft_wrap=True, highlight=False)
        for line in page(report):
            console.print(line)
    return 0 if not report["unbalanced"] else 1


def _report(args: argparse.Namespace) -> Report:
    try:
        return Client(args.api).report()
    except Disconnected as error:
        if args.state is None:
            text = f"{error} With --state FOLDER the state file is read instead."
            raise Disconnected(text) from error
    from gateway.engine.clock import SystemClock
    from gateway.engine.store_report import read_file

    return read_file(args.state / "genba.db", SystemClock().now())


def page(report: Report) -> Iterator[Text]:
    """The page, line by line."""
    now = report["now"]
    yield _head(report)
    if report.get("trouble"):
        yield _line("Disk", f"{report['trouble']} Nothing is acknowledged meanwhile.", "bold red")
    yield from _books(report)
    yield from _flows(report)
    yield from _block("Waits", [_waiting(row, now) for row in report["waiting"]], "nothing")
    yield from _block(
        "Gaps (24 h)", [_gap(row) for row in report["gaps"]], "none", "genba gaps lists them."
    )
    yield _letters(report["letters"])
    yield _alarms(report["alarms"])
    yield _line("Written", _wear(report["wear"]))
    yield from _journal(report)


def _head(report: Report) -> Text:
    if not report["running"]:
        return Text("No gateway runs; this is what its state file says.", "bold yellow")
    since = report["since"]
    flows = several(sum(not flow["own"] for flow in report["flows"]), "flow")
    text = f"Genba runs since {local_time(since)} ({span(report['now'] - since)})"
    return Text(f"{text}: {flows}, {several(report['tags'], 'tag')}.", "bold")


def _books(report: Report) -> Iterator[Text]:
    if not report["unbalanced"]:
        yield _line("Books", "they balance: every row is accounted for", "green")
        return
    text = f"THEY DO NOT BALANCE: nobody can account for {several(report['unbalanced'], 'row')}."
    yield _line("Books", text, "bold red")
    for flow in report["flows"]:
        for row in _parts(flow):
            if row["unbalanced"]:
                name = row.get("node") or f"{row['from']} -> {row['to']}"
                yield _line(
                    "", f"{flow['flow']}/{name}: {several(row['unbalanced'], 'row')}", "red"
                )
    yield _line("", "This is a fault of ours: send us the output of genba status --json.")


def _parts(flow: Report) -> list[Report]:
    return [row for part in ("inputs", "wires", "outlets") for row in flow.get(part, ())]


def _flows(report: Report) -> Iterator[Text]:
    lines = []
    for flow in report["flows"]:
        words = [f"{flow['flow']}: revision {flow['revision']}"]
        if "durability" in flow:
            words.append(flow["durability"])
        if "inputs" in flow:
            read = sum(row["read"] for row in flow["inputs"] if row["kind"] == "source")
            words.append(f"{read:,} rows read since {local_time(flow['since'])}")
        outlets = flow["outlets"]
        words.append(f"{sum(row['delivered'] for row in outlets):,} delivered")
        dropped = sum(sum(row["dropped"].values()) for row in outlets)
        words += [f"{dropped:,} dropped"] if dropped else []
        dead = sum(row["dead"] for row in outlets)
        words += [f"{dead:,} refused"] if dead else []
        closed = report["closed"].get(flow["flow"], 0)
        words += [f"{closed:,} given up with sinks that were removed"] if closed else []
        lost = sum(row["lost"] for row in flow.get("inputs", ()))
        words += [f"{lost:,} LOST by an error of ours"] if lost else []
        lines.append(", ".join(words))
        for node, why in flow.get("stopped", {}).items():
            lines.append(f"  {node} is stopped: {why}")
    running = {flow["flow"] for flow in report["flows"]}
    for name, rows in report["closed"].items():
        if name not in running:
            lines.append(f"{name}: {several(rows, 'row')} given up when it was removed")
    yield from _block("Flows", lines, "none")
    for name in report.get("left_out", ()):
        yield _line("", f"{name} DOES NOT RUN; the log says why, and so does genba lint", "red")


def _waiting(row: Report, now: int) -> str:
    words = [f"{row['flow']}/{row['node']}: {several(row['rows'], 'row')}"]
    if "bytes" in row:
        words.append(size(row["bytes"]))
    if row.get("backlog"):
        words.append(f"{row['backlog']:,} of them from an outage")
    if row.get("oldest"):
        words.append(f"the oldest of {local_time(row['oldest'])} ({span(now - row['oldest'])} ago)")
    if row.get("stopped"):
        words.append(f"kept until the flow runs again; genba remove {row['flow']} drops them")
    return ", ".join(words)


def _gap(row: Report) -> str:
    times = "" if row["count"] == 1 else f", {several(row['count'], 'time')}"
    when = f"{local_time(row['from'])} to {local_time(row['to'])}"
    return f"{row['flow']}/{row['source']}: {row['cause']}{times}, {when}"


def _letters(letters: Report) -> Text:
    lost = f"; {letters['dropped']:,} were lost for lack of room" if letters["dropped"] else ""
    if not letters["waiting"]:
        return _line("Dead letters", f"none{lost}", "red" if lost else "")
    text = f"{several(letters['waiting'], 'message')} to decide about: genba dlq list"
    return _line("Dead letters", text + lost, "yellow")


def _alarms(counts: Report) -> Text:
    opened = {name: n for name, n in counts.items() if n and name not in ("hidden",)}
    unacknowledged = opened.pop("unacknowledged", 0)
    words = [f"{n} {name}" for name, n in opened.items()] or ["none open"]
    words += [f"{unacknowledged} not acknowledged"] if unacknowledged else []
    words += [f"{counts['hidden']} hidden"] if counts.get("hidden") else []
    return _line("Alarms", ", ".join(words), "yellow" if opened else "")


def _wear(days: Report) -> str:
    newest = sorted(days.items(), reverse=True)[:_DAYS]
    return ", ".join(f"{size(count)} on {day}" for day, count in newest) or "nothing yet"


def _journal(report: Report) -> Iterator[Text]:
    lines = []
    for flow, part in report["journal"].items():
        text = f"{flow}: {size(part['bytes'])}, back to {local_time(part['from'])}"
        made = report["checkpoints"].get(flow)
        age = f"the newest checkpoint is {span(report['now'] - made)} old" if made else ""
        lines.append(", ".join(filter(None, (text, age or "no checkpoint yet"))))
    yield from _block("Journal", lines, "empty")
    yield _line("State file", size(report["file_bytes"]))


def _block(head: str, lines: list[str], otherwise: str, hint: str = "") -> Iterator[Text]:
    for i, text in enumerate(lines[:_LISTED]):
        yield _line("" if i else head, text)
    if not lines:
        yield _line(head, otherwise)
    if len(lines) > _LISTED:
        yield _line("", f"… and {len(lines) - _LISTED} more. {hint}".rstrip())


def _line(head: str, text: str, style: str = "") -> Text:
    return Text(f"{head:<{_HEAD}}", "dim").append(printable(text), style or "not dim")
