"""genba install: the gateway as services of systemd, with a user, a folder and settings."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from gateway.api.certificate import FOLDER as CERTIFICATES
from gateway.cli.config import example_lines
from gateway.cli.units import ENABLED, FOLDER, GUARD, SECRETS_KEY, UNITS, USER, unit_text
from gateway.data.whole import write_whole
from gateway.engine.release import BASE
from gateway.engine.secrets import KEY
from gateway.errors import ConfigError

UNIT_DIR: Final = Path("etc/systemd/system")
CONFIG: Final = Path("etc/genba/genba.toml")
STATE: Final = Path("var/lib/genba")
LISTEN: Final = "0.0.0.0:8443"
"""An appliance is reached from the network, by TLS; a program on a laptop is not."""


def add(commands: Any) -> None:
    """Declare the subcommand."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "install", help="install the gateway as services of systemd"
    )
    parser.add_argument(
        "--root", type=Path, default=Path("/"), help="folder of another system, to make an image"
    )
    parser.add_argument(
        "--program", type=Path, help="the command the services run; else the one that runs now"
    )
    parser.add_argument("--no-start", action="store_true", help="enable, but do not start now")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the subcommand; a second run changes nothing but what is out of date."""
    root: Path = args.root
    is_here = root.resolve() == Path("/")
    program = args.program or program_now()
    if is_here:
        must_be_root()
        must_have_systemd()
    changed = _links(root)
    if is_here:
        must_be_reachable(program)
    changed += _user(root)
    for name in UNITS:
        changed += _write(root / UNIT_DIR / name, unit_text(name, program), 0o644)
    guard = (FOLDER / GUARD.name).read_text("utf-8")
    changed += _write(root / GUARD.relative_to("/"), guard, 0o755)
    if not (root / CONFIG).exists():
        text = "\n".join(example_lines({"listen": LISTEN})) + "\n"
        changed += _write(root / CONFIG, text, 0o640)
    _own(root, root / CONFIG.parent, 0o750, "root")
    _own(root, root / CONFIG, 0o640, "root")
    for folder in (root / STATE, root / STATE / CERTIFICATES):
        folder.mkdir(parents=True, exist_ok=True)
        _own(root, folder, 0o700, USER)
    if is_here:  # An image is for many machines; each makes its own.
        changed += _secrets_key(root)
    _enable(root, is_here=is_here, is_started=is_here and not args.no_start, changed=changed)
    for line in changed or ["Nothing was out of date."]:
        print(line)
    if is_here and not args.no_start:
        print("It runs: systemctl status genba-engine genba-ui")
        print("The code for the first administrator: journalctl -u genba-engine | grep claim")
        print(f"Settings: /{CONFIG}, then systemctl restart genba.target")
    return 0


def program_now() -> Path:
    """The command that runs now."""
    if getattr(sys, "frozen", False):
        is_release = Path(sys.executable).parent.parent == BASE / "releases"
        return BASE / "current" / "genba" if is_release else Path(sys.executable)
    found = shutil.which(sys.argv[0])
    path = Path(found or sys.argv[0]).absolute()
    if path.name == "__main__.py":
        path = Path(sys.executable).with_name("genba")
    return path


def _links(root: Path) -> list[str]:
    """Of a release in /opt/genba: `current`, and the command for all users."""
    release = Path(sys.executable).parent
    base = root / BASE.relative_to("/")
    if not getattr(sys, "frozen", False) or release.parent != base / "releases":
        return []
    said = []
    links = {base / "current": Path("releases") / release.name}
    links[root / "usr/local/bin/genba"] = BASE / "current" / "genba"
    for path, target in links.items():
        if not path.is_symlink():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.symlink_to(target)
            said.append(f"Made {path}.")
    return said


def must_be_root() -> None:
    """Raises ConfigError for anybody else."""
    if os.geteuid() != 0:
        raise ConfigError("Only root can do this.", hint="sudo genba install")


def must_have_systemd() -> None:
    """Raises ConfigError where systemd does not run."""
    if not Path("/run/systemd/system").is_dir():
        raise ConfigError(
            "systemd does not run on this machine.",
            hint="`genba run` runs the gateway in the foreground; --root DIR installs elsewhere.",
        )


def must_be_reachable(program: Path) -> None:
    """Raises ConfigError when the user of the services cannot run it."""
    for path in (program, *program.parents):
        try:
            mode = path.stat().st_mode
        except OSError as error:
            raise ConfigError(f"There is no {path}.", hint="Name it with --program.") from error
        if not mode & 0o001:
            raise ConfigError(
                f"Other users may not enter {path}, so the services could not run {program}.",
                hint="Put Genba into /opt/genba, or name another place with --program.",
            )


def _user(root: Path) -> list[str]:
    """Make the user of the services; the group dialout gives the serial ports."""
    passwd = root / "etc/passwd"
    known = passwd.read_text("utf-8").split("\n") if passwd.exists() else []
    if any(line.startswith(f"{USER}:") for line in known):
        return []
    words = ["useradd", "--system", "--user-group", "--no-create-home"]
    words += ["--home-dir", f"/{STATE}", "--shell", "/usr/sbin/nologin", USER]
    if root.resolve() != Path("/"):
        words[1:1] = ["--root", str(root.resolve())]
    call(words)
    return [f"Made the user {USER}."]


def _write(path: Path, text: str, mode: int) -> list[str]:
    """Write a file where it differs; whole or not at all."""
    if path.exists() and path.read_text("utf-8") == text:
        return []
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, text, mode)
    return [f"Wrote {path}."]


def _secrets_key(root: Path) -> list[str]:
    """The key of the secrets, out of the state and root's: the services get it from systemd."""
    path, old = root / SECRETS_KEY.relative_to("/"), root / STATE / "secrets" / KEY
    if path.exists():
        return []
    key = old.read_bytes() if old.exists() else os.urandom(32)
    path.parent.mkdir(mode=0o700, exist_ok=True)
    write_whole(path, key, 0o600)  # Before the old one goes: without it no secret can be read.
    old.unlink(missing_ok=True)
    return [f"Wrote {path}."]


def _own(root: Path, path: Path, mode: int, user: str) -> None:
    """Owner, group and mode; ids are those of the system that it is for."""
    ids = {}
    for file in ("passwd", "group"):
        lines = (root / "etc" / file).read_text("utf-8").split("\n")
        ids[file] = {line.split(":")[0]: int(line.split(":")[2]) for line in lines if ":" in line}
    os.chown(path, ids["passwd"][user], ids["group"][USER])
    path.chmod(mode)


def _enable(root: Path, *, is_here: bool, is_started: bool, changed: Sequence[str]) -> None:
    if not is_here:
        call(["systemctl", "--root", str(root.resolve()), "enable", *ENABLED])
        return
    call(["systemctl", "daemon-reload"])
    call(["systemctl", "enable", *ENABLED])
    if is_started:
        call(["systemctl", "restart" if changed else "start", "genba.target"])
        call(["systemctl", "start", "genba-update.path"])


def call(words: Sequence[str]) -> None:
    """Run a command of the system.

    Raises:
        ConfigError: It failed; with what it said.
    """
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise ConfigError(f"There is no {words[0]} on this machine.") from error
    if done.returncode:
        said = (done.stderr or done.stdout).strip().split("\n")[-1]
        raise ConfigError(f"`{' '.join(words)}` failed: {said}")
