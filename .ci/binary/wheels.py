"""Installs what a binary for another processor is made of: wheels.py ARCH SUITE VENV [WHEEL].

All of it comes as wheels, so the pip that runs this can unpack those of another processor; under
qemu that takes seven times as long. What pip is not told of the other machine is its marker
`platform_machine`; no library of ours has one that differs between these processors.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
GLIBC = {"bookworm": 36, "bullseye": 31}


def main(arch: str, suite: str, venv: Path, more: Sequence[str]) -> None:
    """Install the libraries, PyInstaller, further wheels, and genba itself."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        project = tomllib.load(file)["project"]
    (site,) = venv.glob("lib/python3.*/site-packages")
    python = site.parent.name.removeprefix("python")
    tags = [f"manylinux_2_{minor}_{arch}" for minor in range(GLIBC[suite], 16, -1)]
    words = ["--only-binary=:all:", "--python-version", python, "--implementation", "cp"]
    words += ["--abi", f"cp{python.replace('.', '')}", "--abi", "abi3", "--abi", "none"]
    for tag in [*tags, f"manylinux2014_{arch}", f"linux_{arch}"]:
        words += ["--platform", tag]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["binary"], *more]
    pip("install", "--no-compile", "--target", str(site), *words, *wanted)
    with tempfile.TemporaryDirectory() as folder:
        pip("wheel", "--no-deps", "--wheel-dir", folder, str(ROOT))
        pip("install", "--no-compile", "--no-deps", "--target", str(site), *made(folder))


def made(folder: str) -> list[str]:
    """The wheels of a folder."""
    return [str(path) for path in Path(folder).glob("*.whl")]


def pip(*words: str) -> None:
    """Run pip, of the Python that runs this."""
    command = [sys.executable, "-m", "pip", *words[:1], "--quiet", "--disable-pip-version-check"]
    subprocess.run([*command, *words[1:]], check=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), sys.argv[4:])
