"""A gateway with two flows in a process of its own, slow enough to be killed in the middle."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

from gateway.engine import runner, store_writer
from gateway.engine.runtime import Runtime
from gateway.flow.document import Document


async def main(folder: Path) -> None:
    runner.STEP_ROWS_MAX = 20  # type: ignore[misc]  # many small steps, so that a kill hits one
    store_writer.COMMIT_INTERVAL_S = 0.01  # type: ignore[misc]  # and a run of seconds
    documents = [Document.load(path) for path in sorted(folder.glob("*.flow.yaml"))]
    runtime = Runtime(documents, folder, checkpoint_s=0.3)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await runtime.start()
    (folder / "ready").touch()
    await stop.wait()
    await runtime.stop()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
