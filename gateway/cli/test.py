"""``genba test``: run the tests inside flows, in virtual time."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from gateway.cli import gently
from gateway.cli.main import take_values


def add(commands: Any) -> None:
    """Declare the command and its options."""
    parser = commands.add_parser("test", help="run the tests inside flows")
    parser.add_argument("flows", nargs="*", type=Path, help="flow files or folders; else flows/")
    take_values(parser)
    parser.add_argument("-k", dest="title", default="", help="only tests whose title has this")
    parser.add_argument("--junit", type=Path, metavar="FILE", help="write JUnit XML as well")
    parser.add_argument("--json", action="store_true", help="print the outcomes as JSON")
    gently.take(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print what failed; 0 when every test passed, 1 when one failed or there is none."""
    from gateway.cli.lint import flow_files, settings
    from gateway.engine.flowtest import Outcome, junit, run_tests
    from gateway.errors import ConfigError
    from gateway.flow.document import Document
    from gateway.flow.lint import lint
    from gateway.flow.variables import resolve

    if args.gently:
        gently.begin()
    values = settings(args.set)
    outcomes: list[Outcome] = []
    for file in flow_files(args.flows):
        try:
            written = Document.load(file)
            errors = [str(one) for one in lint(written, values) if one.severity == "error"]
            if errors:  # What does not run proves nothing, whatever its tests say.
                title = "The flow can run (genba lint)"
                outcomes.append(Outcome(written.name, file.name, 1, title, tuple(errors)))
                continue
            document = written.with_values(lambda value: resolve(value, values))
        except ConfigError as error:
            outcomes.append(Outcome(file.name, file.name, 1, "The file loads", (str(error),)))
            continue
        outcomes += run_tests(document, args.title)
    if args.json:
        rows = [asdict(outcome) | {"passed": outcome.passed} for outcome in outcomes]
        print(json.dumps(rows, indent=2, ensure_ascii=False))
        return int(not outcomes or not all(outcome.passed for outcome in outcomes))
    for outcome in outcomes:
        if not outcome.passed:
            print(f"{outcome.file}:{outcome.line}: {outcome.title}")
            print("  " + "\n".join(outcome.failures).replace("\n", "\n  "))
    if args.junit is not None:
        args.junit.write_text(junit(outcomes), "utf-8")
    failed = sum(not outcome.passed for outcome in outcomes)
    seconds = sum(outcome.seconds for outcome in outcomes)
    plural = "" if len(outcomes) == 1 else "s"
    print(f"{len(outcomes)} test{plural}, {failed} failed, {seconds:.2f} s.")
    if not outcomes and args.title:
        print(f"No test's title contains {args.title!r}.")
    elif not outcomes:
        print("No flow has a test. Add `tests:` to one; see `genba docs flow_file`.")
    return int(failed > 0 or not outcomes)
