"""genba sign: keys for releases, and signatures."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from gateway.engine.release import KEYS, new_key, sign, verified


def add(commands: Any) -> None:
    """Declare the subcommand."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "sign", help="make keys for releases, sign a release, check a signature"
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    key = actions.add_parser("key", help="make a key; keep it off the gateways")
    key.add_argument("file", type=Path, help="where to; its public part goes beside it as .pub")
    key.set_defaults(run=_key)
    release = actions.add_parser("release", help="sign a release file")
    release.add_argument("file", type=Path)
    release.add_argument("--key", type=Path, required=True, help="the key to sign with")
    release.set_defaults(run=_release)
    check = actions.add_parser("check", help="say who signed a release file")
    check.add_argument("file", type=Path)
    check.add_argument("--key", type=Path, action="append", help=f"a .pub file; else all in {KEYS}")
    check.set_defaults(run=_check)


def _key(args: argparse.Namespace) -> int:
    public = new_key(args.file)
    print(f"Made {args.file}. Keep it where no gateway is; whoever has it can update all of them.")
    print(f"Put {public} into {KEYS} of each gateway that is to trust it.")
    return 0


def _release(args: argparse.Namespace) -> int:
    sign(args.file, args.key)
    print(f"Signed {args.file}.")
    return 0


def _check(args: argparse.Namespace) -> int:
    found = verified(args.file, args.key or sorted(KEYS.glob("*.pub")))
    print(f"{found.name} is whole, and was signed with {found.key}.")
    return 0
