"""genba playbooks: write out the playbooks of Ansible that ship with the product."""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path
from typing import Any, Final

from gateway.errors import ConfigError

FOLDER: Final = Path(__file__).resolve().parents[2] / "ansible"
_BUILT: Final = shutil.ignore_patterns("__pycache__", "drift.json", "backups", "audit")


def add(commands: Any) -> None:
    """Declare the subcommand."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "playbooks", help="write out the playbooks of Ansible, for many gateways"
    )
    parser.add_argument("folder", type=Path, help="where to; must not exist yet")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the subcommand; returns the exit code."""
    folder: Path = args.folder
    if folder.exists():
        raise ConfigError(f"{folder} is there already; nothing was done.", hint="Name another.")
    if not FOLDER.is_dir():
        raise ConfigError(
            "The playbooks are in the single binary and in the sources, and this is neither.",
            hint="See `genba docs fleet`.",
        )
    shutil.copytree(FOLDER, folder, ignore=_BUILT)
    # Ansible runs what can be executed, and an archive may have lost that.
    (folder / "inventory" / "from_csv.py").chmod(0o755)
    print(f"{folder}: name your gateways in inventory/plant.ini, then see `genba docs fleet`.")
    return 0
