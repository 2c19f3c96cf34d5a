"""genba config: which settings hold, and where each comes from."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from gateway.cli._setting import SETTINGS
from gateway.cli.settings import Settings, read, take_config


def add(commands: Any) -> None:
    """Declare the subcommand."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "config", help="show the settings and where each comes from"
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    show = actions.add_parser("show", help="all settings as `genba run` would have them here")
    take_config(show)
    show.add_argument("--json", action="store_true", help="as one JSON object")
    show.set_defaults(run=_show)
    example = actions.add_parser("example", help="a genba.toml in which everything is as usual")
    example.set_defaults(run=_example)


def _show(args: argparse.Namespace) -> int:
    settings = read(args)
    if args.json:
        print(json.dumps(plain(settings), ensure_ascii=False))
        return 0
    table = Table(box=None, pad_edge=False)
    for head in ("setting", "value", "from", "what it is"):
        table.add_column(head, overflow="fold")
    for name, one in settings.values.items():
        about = f"{one.setting.about} [{one.setting.unit}]".replace("[", "\\[")
        table.add_row(name, _text(one.value).replace("[", "\\["), one.source, about)
    for name, value in settings.variables.items():
        table.add_row(f"${{{name}}}", value.replace("[", "\\["), str(settings.file), "In flows.")
    console = Console(highlight=False)
    console.print(table)
    for warning in settings.warnings:
        console.print(warning)
    return 0


def plain(settings: Settings) -> dict[str, Any]:
    """All settings as plain values, each with where it comes from."""
    values = {
        name: {"value": _json(one.value), "from": one.source, "unit": one.setting.unit}
        for name, one in settings.values.items()
    }
    return {
        "file": str(settings.file) if settings.file else None,
        "settings": values,
        "variables": dict(settings.variables),
        "warnings": list(settings.warnings),
    }


def _json(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_json(one) for one in value]
    return str(value) if isinstance(value, Path) else value


def _text(value: Any) -> str:
    plain = _json(value)
    return ", ".join(plain) if isinstance(plain, list) else str(plain)


def _example(args: argparse.Namespace) -> int:
    print("\n".join(example_lines()))
    return 0


def example_lines(given: Mapping[str, Any] | None = None) -> Iterator[str]:
    """The lines of a genba.toml in which every setting is a comment with its usual value.

    Args:
        given: Settings that are set, and to what.
    """
    given = given or {}
    yield "# Settings of the gateway. A later source wins: what is usual, this file, the"
    yield "# environment (GENBA_<SETTING>), the command line. See `genba config show`."
    table = ""
    for one in SETTINGS:
        if one.table != table:
            table = one.table
            is_given = any(name.startswith(f"{table}_") for name in given)
            yield ""
            yield f"[{table}]" if is_given else f"# [{table}]"
        value = "/var/lib/genba" if one.name == "state" else _json(one.usual())
        yield ""
        yield f"# {one.about} [{one.unit}]"
        mark = "" if one.name in given else "# "
        shown = given.get(one.name, "" if value is None else value)
        yield f"{mark}{one.key} = {json.dumps(shown)}"
    yield ""
    yield "# A value for each ${NAME} in the flows."
    yield "# [variables]"
    yield '# mqtt_url = "mqtt://10.0.0.5:1883"'
