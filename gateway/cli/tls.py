"""genba tls: the certificate of the screens, and how your own authority signs it."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from gateway.api.client import URL
from gateway.api.client_accounts import AccountClient
from gateway.cli.words import local_time, printable


def add(commands: Any) -> None:
    """Declare the subcommand."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "tls", help="show the certificate of the screens, or have it signed"
    )
    parser.add_argument("--api", help=f"address of the gateway; else $GENBA_API, else {URL}")
    parser.set_defaults(run=run, verb="show", json=False)
    verbs = parser.add_subparsers(dest="verb", metavar="ACTION")
    show = verbs.add_parser("show", help="whose it is and until when, also without an action")
    show.add_argument("--json", action="store_true", help="as JSON")
    request = verbs.add_parser("request", help="print a signing request for your authority")
    request.add_argument("--name", action="append", default=[], help="a host name or address")
    install = verbs.add_parser("import", help="take the certificate that was signed")
    install.add_argument("file", type=Path, help="it and its issuers, PEM; - is standard input")


def run(args: argparse.Namespace) -> int:
    """Run the subcommand; returns the exit code."""
    client = AccountClient(args.api)
    match args.verb:
        case "request":
            print(client.certificate_request(args.name), end="")
        case "import":
            is_piped = str(args.file) == "-"
            print(
                client.install_certificate(sys.stdin.read() if is_piped else args.file.read_text())
            )
        case _:
            row = client.certificate()
            if args.json:
                print(json.dumps(row, ensure_ascii=False))
                return 0
            print(f"subject  {printable(row['subject'])}")
            signer = "itself" if row["own"] else printable(row["issuer"])
            print(f"signed   by {signer}")
            print(f"names    {', '.join(map(printable, row['names']))}")
            print(f"until    {local_time(row['to'])} ({row['days_left']} days)")
            print(f"SHA-256  {row['sha256']}")
    return 0
