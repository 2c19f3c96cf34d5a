"""The command ``genba``: one module a subcommand, imported only when it is needed."""

from __future__ import annotations

import argparse
import importlib
import os
import runpy
import sys
from collections.abc import Sequence
from functools import partial
from typing import Final

from gateway.engine.program import OPTION
from gateway.errors import ConfigError, GatewayError

COMMANDS: Final = {
    "run": "run flows",
    "config": "show the settings and where each comes from",
    "ui": "run the screens of a gateway that runs elsewhere on this machine",
    "demo": "run a simulated plant and the gateway against it",
    "plant": "run the simulated plant alone",
    "lint": "check flows before they run",
    "test": "run the tests inside flows",
    "convert": "make a flow from an export of Node-RED",
    "replay": "run recorded input through a flow again",
    "maketest": "make a flow test of what was recorded",
    "trace": "follow recorded samples through a flow, node by node",
    "nodes": "list the nodes there are",
    "docs": "read or write the help pages",
    "alarms": "list, acknowledge and shelve alarms",
    "explain": "say why an alarm was raised, or export what was learnt",
    "status": "say on one page how the gateway is",
    "doctor": "check the machine and the gateway, and say what to do",
    "support-bundle": "write all that helps to find a fault into one file, without secrets",
    "licences": "list what the gateway is made of, with the licences",
    "gaps": "list what sources have missed",
    "dlq": "list, look at, replay and discard dead letters",
    "deploy": "let a flow file take the place of the flow that runs",
    "revisions": "list or compare the revisions of a flow",
    "rollback": "run an old revision of a flow again, as a new one",
    "remove": "end a flow; its revisions are kept",
    "users": "list, add and change accounts, and claim a new gateway",
    "destinations": "list and change where webhooks and other nodes may send to",
    "models": "list, add, try and install language models",
    "prompts": "list, show, save and try what flows ask language models",
    "setpoint": "write a value to a machine: look, confirm, see what came of it",
    "grants": "list, set and remove write grants",
    "secrets": "list, set and remove the secrets that flows name",
    "tls": "show the certificate of the screens, or have it signed",
    "backup": "write everything of the running gateway into one sealed file",
    "restore": "put a backup in the place of the state of a gateway",
    "audit": "list who did what, and check that no record was altered",
    "sign": "make keys for releases, sign a release, check a signature",
    "update": "put another release in the place of this one, or go back",
    "fleet": "look at other gateways, and push flows to them",
    "apply": "deploy the flows and dashboards that this gateway should have",
    "drift": "say how this gateway differs from what it should be",
    "install": "install the gateway as services of systemd",
    "uninstall": "take the services of systemd away again",
    "reset": "delete all that this gateway has recorded, and who may use it",
    "playbooks": "write out the playbooks of Ansible, for many gateways",
    "shadow": "run an edited flow beside the live one, its effects muted",
}


MODULES: Final = ("gateway", "gateway.plant", "ui", "ui.fleet_door", "models.llm.worker")


def main(argv: Sequence[str] | None = None) -> int:
    """Run a subcommand; returns the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        code = _command(words)
        sys.stdout.flush()  # Here, not when Python ends: a reader that has gone is no error.
        return code
    except GatewayError as error:
        print(f"genba: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader of our output has gone, such as `genba docs | head`.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:  # A folder that is none, a file that is not ours, a full disk.
        where = f"{error.filename}: " if error.filename else ""
        print(f"genba: {where}{error.strerror or error}.", file=sys.stderr)
        return 1


def _command(words: list[str]) -> int:
    if words[:1] == [OPTION]:
        return _module(words[1:])
    if words[:1] == ["plant"]:
        return int(importlib.import_module("gateway.plant.main").main(words[1:]))
    parser = argparse.ArgumentParser(
        prog="genba",
        description="An edge gateway for factories.",
        allow_abbrev=False,
        # With an indent, argparse breaks the line behind the longest command.
        formatter_class=partial(
            argparse.HelpFormatter, indent_increment=0, max_help_position=20, width=90
        ),
    )
    parser.add_argument("--version", action="store_true", help="print the version and end")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    wanted = next((word for word in words if word in COMMANDS), None)
    for name, about in COMMANDS.items():
        if name == wanted and name != "plant":
            importlib.import_module(f"gateway.cli.{name.replace('-', '_')}").add(commands)
        else:
            commands.add_parser(name, help=about, add_help=False)
    if words and wanted is None and not words[0].startswith("-"):
        from gateway.flow.findings import near

        parser.error(f"invalid choice: {words[0]!r}. {near(words[0], COMMANDS)}")
    args = parser.parse_args(words)
    if args.version:
        from importlib.metadata import version

        print(f"genba {version('genba')}")
        return 0
    if args.command is None:
        parser.print_help()
        return 2
    return int(args.run(args))


def _module(words: list[str]) -> int:
    """Run a module of ours as ``python -m`` does: how the single binary starts its processes."""
    name, *rest = words or [""]
    if name not in MODULES:
        raise ConfigError(f"{name!r} is no program of ours.", hint=", ".join(MODULES))
    sys.argv = [name, *rest]
    runpy.run_module(name, run_name="__main__", alter_sys=True)
    return 0


def take_values(parser: argparse.ArgumentParser) -> None:
    """Declare ``--set NAME=VALUE``, which every command that reads flows takes alike."""
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a value for ${NAME} in the flows",
    )
