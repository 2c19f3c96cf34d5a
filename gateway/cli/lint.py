"""``genba lint``: check flows before they run."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from gateway.errors import ConfigError
from gateway.flow.findings import Finding


def add(commands: Any) -> None:
    """Declare the command and its options."""
    parser = commands.add_parser("lint", help="check flows before they run")
    parser.add_argument("flows", nargs="*", type=Path, help="flow files or folders; else flows/")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--strict", action="store_true", help="warnings fail too")
    parser.add_argument("--json", action="store_true", help="print findings as JSON")
    parser.add_argument("--write", action="store_true", help="rewrite files in canonical form")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print findings; 0 when there is no error, 1 when there is."""
    from gateway.flow.document import Document
    from gateway.flow.lint import lint_file

    values = settings(args.set)
    findings: list[Finding] = []
    files = flow_files(args.flows)
    for file in files:
        findings += lint_file(file, values)
        if args.write:
            with suppress(ConfigError):  # A file that is no flow is among the findings.
                Document.load(file).save(file)
    if args.json:
        print(json.dumps([asdict(finding) for finding in findings], indent=2, ensure_ascii=False))
    else:
        for finding in findings:
            print(finding)
        errors = sum(f.severity == "error" for f in findings)
        print(f"{len(files)} flows, {errors} errors, {len(findings) - errors} warnings.")
    return int(any(f.severity == "error" or args.strict for f in findings))


def flow_files(paths: Sequence[Path]) -> list[Path]:
    """The flow files that paths name; a folder stands for all that are in it.

    Raises:
        ConfigError: A path does not exist, or there is no flow at all.
    """
    found: list[Path] = []
    for path in paths or [Path("flows")]:
        if path.is_dir():
            found += sorted(p for p in path.iterdir() if p.suffix in (".yaml", ".yml"))
        elif path.exists():
            found.append(path)
        else:
            raise ConfigError(f"There is no file {path}.", hint="Name a flow file or a folder.")
    if not found:
        raise ConfigError("There is no flow here.", hint="Name a flow file or a folder.")
    return found


def settings(pairs: Sequence[str]) -> dict[str, str]:
    """The variables of ``--set name=value``.

    Raises:
        ConfigError: One has no ``=``.
    """
    found = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise ConfigError(f"--set {pair!r} has no value.", hint="Write --set name=value.")
        found[name.strip()] = value
    return found
