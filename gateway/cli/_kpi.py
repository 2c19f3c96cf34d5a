"""genba alarms kpi: how well the alarms serve their operators, as a table with verdicts."""

from __future__ import annotations

import argparse
import json
import re
from typing import Any

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from gateway.api.client_history import HistoryClient
from gateway.cli.moment import moment
from gateway.cli.words import local_time, printable, several, span
from gateway.data.alarm_kpi import BANDS
from gateway.data.alarm_report import PRIORITY_TARGETS
from gateway.errors import ConfigError

_VERDICTS = {"good": "good", "look": "look at it", "bad": "too much"}
_BANDS = {
    "acceptable": "acceptable",
    "manageable": "manageable",
    "overdemanding": "over-demanding",
    "unacceptable": "unacceptable",
}
Row = tuple[str, str, str, str]


def add(verbs: Any) -> None:
    """Declare the verb."""
    parser: argparse.ArgumentParser = verbs.add_parser(
        "kpi", help="say how well the alarms serve: rate, floods, chatter, bad actors"
    )
    # So that `--from -7d` is a value and not an option that nobody knows.
    parser._negative_number_matcher = re.compile(r"-\d")
    parser.add_argument(
        "--from", dest="from_", default="-7d", metavar="TIME", help="-7d, yesterday, 2026-11-01"
    )
    parser.add_argument("--to", default="now", metavar="TIME", help="likewise, or +1d after --from")
    parser.add_argument("--json", action="store_true", help="print everything as JSON")


def run(args: argparse.Namespace) -> int:
    """Ask the gateway and print."""
    client = HistoryClient(args.api)
    now = int(client.status()["now"])
    start = moment(args.from_, now)
    end = min(moment(args.to, now, start), now)
    if end <= start:
        raise ConfigError("The window ends before it begins.", where="--to")
    found = client.alarm_kpi(start, end)
    if args.json:
        print(json.dumps(found, ensure_ascii=False))
        return 0
    # A tag's name must not be read as markup, nor `:B:` as a picture.
    console = Console(soft_wrap=True, highlight=False, markup=False, emoji=False)
    console.print(f"{local_time(start)} to {local_time(end)} ({span(end - start)})")
    if found["complete_from"] > start:
        since = local_time(found["complete_from"])
        console.print(f"Older alarm events were dropped: the figures begin at {since}.")
    table = Table(box=SIMPLE, pad_edge=False)
    for column in ("what", "is", "target", "verdict"):
        table.add_column(column, overflow="fold", no_wrap=column == "verdict")
    for row in [*_rates(found), *_nuisances(found), *_people(found)]:
        table.add_row(*map(printable, row))
    console.print(table)
    for text in _names(found):
        console.print(printable(text))
    return 0


def _rates(found: dict[str, Any]) -> list[Row]:
    rate, told = found["rate"], _teller(found)
    floods = found["floods"]
    return [
        ("alarms announced", f"{found['annunciated']:,}", "", ""),
        ("in 10 min, mean", f"{rate['mean']:.2f}", "at most 1", told("mean")),
        ("in 10 min, peak", f"{rate['peak']}", "at most 10", told("peak")),
        ("10 min above 10", _share(rate["share_over_10"]), "< 1 %", told("share_over_10")),
        ("10 min, by how many", "", "", ""),
        *_bands(rate["bands"]),
        ("time in floods", _floods(floods), "< 1 %", told("flood_share")),
    ]


def _bands(shares: dict[str, float]) -> list[Row]:
    """How much of the time went at which rate: an average hides it."""
    rows, least = [], 0
    for name, most in BANDS:
        span_ = f"{most}" if least == most else f"{least} to {most}"
        words = f"  {span_}, {_BANDS[name]}"
        rows.append((words, _share(shares[name]), "", ""))
        least = most + 1
    return [*rows, (f"  more, {_BANDS['unacceptable']}", _share(shares["unacceptable"]), "", "")]


def _nuisances(found: dict[str, Any]) -> list[Row]:
    told = _teller(found)
    chatter, short = found["chattering"], found["fleeting"]
    standing, actors = found["standing"], found["bad_actors"]
    ten = f"{_share(actors['share'])} of all"
    return [
        ("chattering alarms", _count(chatter), "none", told("chattering")),
        ("fleeting alarms", _count(short), "few", ""),
        ("standing over a day", f"{len(standing['stale'])}", "< 5", told("stale")),
        ("the ten worst", ten, "1 to 5 %", told("top_share")),
    ]


def _people(found: dict[str, Any]) -> list[Row]:
    told, mix = _teller(found), found["priorities"]
    acknowledged, standing = found["acknowledged"], found["standing"]
    hidden = standing["hidden"]
    shown = ", ".join(_share(mix[name]) for name in PRIORITY_TARGETS)
    wanted = ", ".join(_share(share) for share in PRIORITY_TARGETS.values())
    words = "no acknowledgement"
    if acknowledged["count"]:
        words = (
            f"median {_seconds(acknowledged['median_s'])}, "
            f"95 % within {_seconds(acknowledged['p95_s'])}"
        )
    open_ = f"{standing['open']} open, {standing['unacknowledged']} unacknowledged"
    away = (
        f"{hidden['SHLVD']} shelved, {hidden['DSUPR']} suppressed, {hidden['OOSRV']} out of service"
    )
    return [
        (", ".join(PRIORITY_TARGETS), shown, wanted, told("above_low")),
        ("high and urgent", _share(mix["high"] + mix["urgent"]), "5 %", told("high_share")),
        ("urgent", _share(mix["urgent"]), "< 1 %", told("urgent_share")),
        ("time to acknowledge", words, "", ""),
        ("at the end", open_, "", ""),
        ("hidden at the end", away, "", ""),
        ("shelved meanwhile", f"{found['shelved']} times", "", ""),
    ]


def _names(found: dict[str, Any]) -> list[str]:
    """The alarms to begin with."""
    lines = []
    for title, rows in (
        (
            "The ten worst",
            [f"{r['count']:>6} {_share(r['share']):>6}  {r['alarm']}" for r in _worst(found)],
        ),
        ("Chattering", [f"  {name}" for name in found["chattering"]["alarms"][:10]]),
        (
            "Standing over a day",
            [f"  {name}" for name in found["standing"]["stale"][:10]],
        ),
    ):
        if rows:
            lines += [f"{title}:", *rows]
    return lines


def _worst(found: dict[str, Any]) -> list[dict[str, Any]]:
    return list(found["bad_actors"]["list"])


def _teller(found: dict[str, Any]) -> Any:
    return lambda name: _VERDICTS[found["verdicts"][name]]


def _floods(floods: dict[str, Any]) -> str:
    return f"{_share(floods['share'])} in {several(floods['count'], 'flood')}"


def _count(found: dict[str, Any]) -> str:
    return f"{len(found['alarms'])}, announced {found['annunciations']} times"


def _share(share: float) -> str:
    """A share in percent.

    >>> _share(0.0), _share(0.0042), _share(0.05), _share(0.42), _share(1.0)
    ('0 %', '0.42 %', '5 %', '42 %', '100 %')
    """
    percent = share * 100
    return f"{percent:.0f} %" if percent >= 10 else f"{percent:.2g} %"


def _seconds(seconds: float) -> str:
    return span(round(seconds * 1e9))
