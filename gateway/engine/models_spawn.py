"""How the process of a local model is started: as a child, or by systemd when we connect.

Installed, it is a unit of its own (genba-explainer@.service): what it takes is not ours, and when
it takes too much it is ended and not we. See decision 0043.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import models
from gateway.engine.program import module_words

STOP_S: Final = 2.0
"""Who has not stopped after so long is ended."""
SOCKET: Final = "GENBA_EXPLAINER"
"""The variable with the path of the socket that starts one process a connection."""
_PROGRAM: Final = (
    "import sys; sys.path.insert(0, sys.argv[1]); "
    "from models.llm.worker import main; sys.exit(main())"
)
ENVIRONMENT: Final = {
    # Threads that wait for each other must sleep: on a busy machine spinning costs seconds.
    "OMP_WAIT_POLICY": "passive",
    "OPENBLAS_NUM_THREADS": "1",
    "GGML_NO_BACKTRACE": "1",  # It would start a debugger, which nothing there may.
    "PYTHONDONTWRITEBYTECODE": "1",
}


def socket_path() -> str:
    """Where systemd starts the process; empty where it is to be our child."""
    return os.environ.get(SOCKET, "")


def worker_words() -> list[str]:
    """The words that start the process."""
    if getattr(sys, "frozen", False):  # It finds our modules inside of itself only.
        return module_words("models.llm.worker")
    root = str(Path(str(models.__file__)).parents[1])
    return [sys.executable, "-I", "-X", "utf8", "-c", _PROGRAM, root]


def spawned(thread_count: int) -> subprocess.Popen[bytes]:
    """A child process; in a thread, as starting one may take longer than the loop may wait."""
    return subprocess.Popen(
        worker_words(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**ENVIRONMENT, "OMP_NUM_THREADS": str(thread_count)},
        cwd="/",
    )


def reap(process: subprocess.Popen[bytes]) -> None:
    """In a thread: the process has closed its lines, so it has ended or is made to."""
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


__all__ = ["ENVIRONMENT", "SOCKET", "STOP_S", "reap", "socket_path", "spawned", "worker_words"]
