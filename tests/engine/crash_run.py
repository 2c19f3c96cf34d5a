"""A gateway in a process of its own, for being killed: slow enough to be hit, with checkpoints.

crash_run FOLDER [slow] [deploy POINT:NTH]
"""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

from gateway.engine import crash, keeper, runner, store_writer
from gateway.engine.runtime import Runtime
from gateway.flow.document import Document


async def deploy(runtime: Runtime, folder: Path, point: str) -> None:
    """Edit the flow once it is at work, and die at a crash point on the way."""
    while runtime.store.commits < 5:
        await asyncio.sleep(0.01)
    crash.arm({"GENBA_CRASH_AT": point})
    await runtime.deploy(Document.load(folder / "edited.yaml"), "user:anna", "under load")


async def main(folder: Path, words: list[str]) -> None:
    if "slow" in words:
        runner.STEP_ROWS_MAX = 100  # type: ignore[misc]  # many small steps, so that a kill hits one
        store_writer.COMMIT_INTERVAL_S = 0.03  # type: ignore[misc]  # and a run of about two seconds
    if "deploy" in words:
        keeper.INBOX_ROWS_MAX = 300  # type: ignore[misc]  # most of the file is not yet read
    document = Document.load(folder / "crash.flow.yaml")
    runtime = Runtime([document], folder, checkpoint_s=0.4)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await runtime.start()
    (folder / "ready").touch()
    if "deploy" in words:
        await deploy(runtime, folder, words[-1])
    await stop.wait()
    await runtime.stop()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2:]))
