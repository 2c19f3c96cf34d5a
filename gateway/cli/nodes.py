"""``genba nodes``: what there is to build flows from."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gateway.flow.spec import Spec


def add(commands: Any) -> None:
    """Declare the command and its options."""
    parser = commands.add_parser("nodes", help="list the nodes there are")
    parser.add_argument("filter", nargs="?", default="", help="only names that contain this")
    parser.add_argument("--json", action="store_true", help="print everything as JSON")
    parser.add_argument("--tools", action="store_true", help="print tool descriptions as JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the list; 1 when no node fits the filter."""
    from gateway.flow.spec import all_specs

    specs = [spec for spec in all_specs() if args.filter in spec.name]
    if args.json or args.tools:
        rows = [spec.tool if args.tools else _row(spec) for spec in specs]
        print(json.dumps(rows, indent=2, ensure_ascii=False))
        return int(not specs)
    width = max((len(spec.name) for spec in specs), default=0)
    family = ""
    for spec in specs:
        if spec.name.partition(".")[0] != family and family:
            print()
        family = spec.name.partition(".")[0]
        print(f"{spec.name:<{width}}  {spec.kind:<10}  {spec.stage:<12}  {spec.summary}")
    if not specs:
        print(f"No node's name contains {args.filter!r}.")
        return 1
    print(f"\n{len(specs)} nodes. `genba docs NAME` shows one.")
    return 0


def _row(spec: Spec) -> dict[str, Any]:
    def ports(side: Any) -> list[dict[str, str]]:
        return [{"name": p.name, "carries": p.carries, "about": p.about} for p in side]

    return {
        "name": spec.name,
        "kind": spec.kind,
        "stage": spec.stage,
        "summary": spec.summary,
        "writes": spec.writes,
        "inputs": ports(spec.inputs),
        "outputs": ports(spec.outputs),
        "schema": spec.schema,
    }
