"""Compiles llama.cpp for a processor on another one: python llama.py ARCH FOLDER.

Under qemu the same takes ten times as long. Needs the compilers that aarch64.cmake names.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1]))

from models.llm import binding  # noqa: E402 - found beside this script, not installed


def main(arch: str, folder: Path) -> None:
    """Build the wheel unless it is there."""
    wheel = folder / f"llama_cpp_python-{binding.VERSION}-py3-none-linux_{arch}.whl"
    if wheel.is_file():
        return
    with tempfile.TemporaryDirectory() as tools:
        if arch != os.uname().machine:
            os.environ["CMAKE_TOOLCHAIN_FILE"] = str(HERE / f"{arch}.cmake")
            # The stripper of this machine does not know the other one's libraries.
            (Path(tools) / "strip").symlink_to(f"/usr/bin/{arch}-linux-gnu-strip")
            os.environ["PATH"] = f"{tools}{os.pathsep}{os.environ['PATH']}"
        binding.build(wheel, lambda text: print(text, file=sys.stderr), 2)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]).resolve())
