"""genba apply: make this gateway what it should be; a second run changes nothing."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gateway.api.client_wanted import WantedClient
from gateway.cli._wanted import FOLDER, Wanted

ACTOR = "user:genba-apply"


def add(commands: Any) -> None:
    """Declare the subcommand."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "apply", help="deploy the flows and dashboards that this gateway should have"
    )
    parser.add_argument("folder", nargs="?", type=Path, default=FOLDER, help="what it should be")
    parser.add_argument(
        "--prune", action="store_true", help="end flows and dashboards that are not in the folder"
    )
    parser.add_argument("--note", default="genba apply", help="why, for the revisions")
    parser.add_argument("--api", help="address of the gateway")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the subcommand."""
    wanted, client = Wanted(args.folder), WantedClient(args.api)
    changed = [*_flows(wanted, client, args), *_dashboards(wanted, client, args)]
    for line in changed or ["Nothing to change."]:
        print(line)
    return 0


def _flows(wanted: Wanted, client: WantedClient, args: argparse.Namespace) -> Iterator[str]:
    flows = wanted.flows()
    if flows is None:
        return
    there = client.running_flows()
    for name, document in flows.items():
        if there.get(name) != document.text():
            done = client.deploy(name, document.text(), ACTOR, args.note)
            yield f"Deployed the flow {name}, revision {done['revision']}."
    for name in sorted(set(there) - set(flows)) if args.prune else ():
        client.remove(name, ACTOR, args.note)
        yield f"Ended the flow {name}; its revisions are kept."


def _dashboards(wanted: Wanted, client: WantedClient, args: argparse.Namespace) -> Iterator[str]:
    boards = wanted.dashboards()
    if boards is None:
        return
    there = client.dashboards()
    for name, text in boards.items():
        if there.get(name) != text:
            client.put_dashboard(name, text, is_new=name not in there)
            yield f"Saved the dashboard {name}."
    for name in sorted(set(there) - set(boards)) if args.prune else ():
        client.remove_dashboard(name)
        yield f"Removed the dashboard {name}."
