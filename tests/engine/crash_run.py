"""A gateway in a process of its own, for being killed: slow enough to be hit, with checkpoints."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

from gateway.engine import runner, store_writer
from gateway.engine.runtime import Runtime
from gateway.flow.document import Document


async def main(folder: Path) -> None:
    if sys.argv[2:] == ["slow"]:
        runner.STEP_ROWS_MAX = 100  # type: ignore[misc]  # many small steps, so that a kill hits one
        store_writer.COMMIT_INTERVAL_S = 0.03  # type: ignore[misc]  # and a run of about two seconds
    document = Document.load(folder / "crash.flow.yaml")
    runtime = Runtime([document], folder, checkpoint_s=0.4)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await runtime.start()
    (folder / "ready").touch()
    await stop.wait()
    await runtime.stop()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
