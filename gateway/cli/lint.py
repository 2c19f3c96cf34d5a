"""``genba lint``: check flows before they run."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from gateway.cli.main import take_values
from gateway.errors import ConfigError
from gateway.flow.findings import Finding


def add(commands: Any) -> None:
    """Declare the command and its options."""
    parser = commands.add_parser("lint", help="check flows before they run")
    parser.add_argument("flows", nargs="*", type=Path, help="flow files or folders; else flows/")
    take_values(parser)
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
    names: dict[str, Path] = {}
    for file in files:
        found = lint_file(file, values)
        with suppress(ConfigError):  # A file that is no flow is among the findings.
            document = Document.load(file)
            found += _between(file, document.name, names, is_in_folder=file not in args.flows)
            if args.write:
                document.save(file)
        findings += [replace(finding, file=str(file)) for finding in found]
    if args.json:
        print(json.dumps([asdict(finding) for finding in findings], indent=2, ensure_ascii=False))
    else:
        for finding in findings:
            print(finding)
        errors = sum(f.severity == "error" for f in findings)
        warnings = len(findings) - errors
        counts = ((len(files), "flow"), (errors, "error"), (warnings, "warning"))
        print(", ".join(f"{n} {word}{'' if n == 1 else 's'}" for n, word in counts) + ".")
    return int(any(f.severity == "error" or args.strict for f in findings))


def _between(
    file: Path, name: str, names: dict[str, Path], *, is_in_folder: bool
) -> Iterator[Finding]:
    """What keeps `genba run` from running flows together that are good one by one."""
    if is_in_folder and not file.name.endswith(".flow.yaml"):
        text = "`genba run` takes only files named *.flow.yaml from a folder."
        hint = f"Rename it to {file.name.removesuffix(file.suffix)}.flow.yaml."
        yield Finding("warning", str(file), 1, "", "", text, hint)
    other = names.setdefault(name, file)
    if other != file:
        text = f"This flow is called {name!r}, as is that of {other}."
        yield Finding("error", str(file), 1, "", "flow", text, "Give each flow a name of its own.")


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
            hint = "Name a flow file or a folder; `genba docs start` shows how to begin."
            raise ConfigError(f"There is no file {path}.", hint=hint)
    if not found:
        raise ConfigError("There is no flow here.", hint="Name a flow file or a folder of them.")
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
