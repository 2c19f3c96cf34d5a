"""Jobs: long computations that people ask for, each in a process of its own at low priority.

A replay takes all of a core for a minute. In the engine's own process it would share Python's
lock with the alarms, in a thread as well; so it is a command of ours, started as a child that
gives way to everything else, ends when it is asked to or takes too long, and ends by itself
when the gateway is gone.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from gateway.data.tasks import Tasks
from gateway.engine.program import module_words
from gateway.errors import GatewayError, Rejected
from gateway.flow.node import Clock

OUTPUT_BYTES_MAX: Final = 8 * 1024 * 1024
"""Of what a job may say; one that says more is ended."""
ERROR_CHARS_MAX: Final = 4_000
KEPT_S: Final = 3600.0
KEPT_MAX: Final = 20
WAITING_MAX: Final = 5
"""Short commands that run or wait for their turn."""
END_S: Final = 3.0
"""How long a child may take to end when it is asked to, before it is killed [s]."""
State = Literal["running", "done", "failed", "cancelled"]


class Busy(Rejected):
    """A job runs already, and one at a time is what a gateway can spare."""


@dataclass(slots=True, eq=False)
class Job:
    """One computation.

    Args:
        id: Its name in the API; nobody can guess it.
        kind: replay.
        flow: The flow it is about.
        by: Who asked for it.
        began: When [ns].
        state: running, done (there is a result), failed (`text` says why), cancelled.
        progress: How much is done, 0 to 1; None when that is not known.
        text: How it stands, for people.
        result: What came out.
        ended_s: When it ended, by the monotonic clock [s].
    """

    id: str
    kind: str
    flow: str
    by: str
    began: int
    state: State = "running"
    progress: float | None = None
    text: str = "It has been started."
    result: Any = None
    ended_s: float | None = None
    task: asyncio.Task[Any] | None = field(default=None, repr=False)

    def row(self) -> dict[str, Any]:
        """As plain values."""
        names = ("id", "kind", "flow", "by", "began", "state", "progress", "text", "result")
        return {name: getattr(self, name) for name in names}


class Jobs:
    """At most one job at a time, and the results of the last hour.

    Args:
        clock: The time.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._tasks = Tasks("jobs")
        self._known: dict[str, Job] = {}
        self._asked = asyncio.Lock()
        self._waiting = 0

    def start(
        self,
        kind: str,
        flow: str,
        by: str,
        words: Sequence[str],
        files: Mapping[str, str],
        limit_s: float,
    ) -> Job:
        """Start a command of ours.

        Args:
            kind: replay.
            flow: The flow it is about.
            by: Who asked.
            words: The command's arguments; ``{name}`` is the path of a file. It prints JSON.
            files: Texts by file name, in a folder of the job's own.
            limit_s: How long it may take [s].

        Raises:
            Busy: Another one runs.
        """
        self._forget()
        for job in self._known.values():
            if job.state == "running":
                raise Busy(
                    f"A {job.kind} of {job.flow} runs already, started by {job.by}. "
                    "Wait until it is done, or end it first."
                )
        job = Job(secrets.token_urlsafe(12), kind, flow, by, self._clock.now())
        self._known[job.id] = job
        job.task = self._tasks.start(job.id, self._run(job, words, files, limit_s))
        return job

    def get(self, id: str) -> Job | None:
        """A job of the last hour, or None."""
        self._forget()
        return self._known.get(id)

    async def cancel(self, job: Job) -> None:
        """End a job; it is forgotten if it was done already."""
        if job.task is not None and job.state == "running":
            job.task.cancel()
            with suppress(asyncio.CancelledError):
                await job.task
            if job.state == "running":  # It was ended before its first step.
                job.state, job.text = "cancelled", "It was ended."
                job.ended_s = self._clock.monotonic()
        else:
            self._known.pop(job.id, None)

    async def once(
        self, words: Sequence[str], files: Mapping[str, str], limit_s: float
    ) -> tuple[int, Any]:
        """Run a short command of ours and wait for it; one after the other.

        Returns: its exit code, and what it printed as JSON.

        Raises:
            Rejected: It took too long or said nothing; the message is its own where it has one.
            Busy: Too many wait for theirs.
        """
        if self._waiting >= WAITING_MAX:
            raise Busy("Others wait for theirs. Try again in a moment.")
        self._waiting += 1
        try:
            async with self._asked:
                return await self._once(words, files, limit_s)
        finally:
            self._waiting -= 1

    async def _once(
        self, words: Sequence[str], files: Mapping[str, str], limit_s: float
    ) -> tuple[int, Any]:
        job = Job("", "", "", "", self._clock.now())
        try:
            return await self._command(job, words, files, limit_s)
        except TimeoutError:
            raise Rejected(f"It was ended: it took longer than {limit_s:g} s.") from None

    async def stop(self) -> None:
        """End all."""
        await self._tasks.stop()

    async def _run(
        self, job: Job, words: Sequence[str], files: Mapping[str, str], limit_s: float
    ) -> None:
        try:
            _, job.result = await self._command(job, words, files, limit_s)
            job.state, job.progress, job.text = "done", 1.0, "Done."
        except asyncio.CancelledError:
            job.state, job.text = "cancelled", "It was ended."
        except TimeoutError:
            text = f"It was ended: it took longer than {limit_s:g} s. Ask for a shorter time."
            job.state, job.text = "failed", text
        except (GatewayError, OSError) as error:
            job.state, job.text = "failed", str(error)
        finally:
            job.ended_s = self._clock.monotonic()

    async def _command(
        self, job: Job, words: Sequence[str], files: Mapping[str, str], limit_s: float
    ) -> tuple[int, Any]:
        with tempfile.TemporaryDirectory(prefix="genba-") as folder:
            paths = {name: str(Path(folder) / name) for name in files}
            for name, text in files.items():
                await asyncio.to_thread(Path(paths[name]).write_text, text, "utf-8")
            process = await asyncio.create_subprocess_exec(
                *command(),
                *(paths.get(word, word) for word in words),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
            try:
                async with asyncio.timeout(limit_s):
                    said, error = await asyncio.gather(_output(process), _progress(process, job))
                    code = await process.wait()
            finally:
                await _end(process)
        try:
            return code, json.loads(said)
        except ValueError:
            said_why = error.strip().removeprefix("genba: ")
            raise Rejected(said_why or f"The command ended with {code} and said nothing.") from None

    def _forget(self) -> None:
        """Drop results that nobody has fetched for an hour, and the oldest when there are many."""
        now = self._clock.monotonic()
        ended = [job for job in self._known.values() if job.ended_s is not None]
        for number, job in enumerate(reversed(ended), 1):
            if number >= KEPT_MAX or now - (job.ended_s or 0.0) > KEPT_S:
                del self._known[job.id]


def command() -> list[str]:
    """How a command of ours is started."""
    return module_words("gateway")


async def _output(process: asyncio.subprocess.Process) -> bytes:
    assert process.stdout is not None
    parts, size = [], 0
    while part := await process.stdout.read(65536):
        size += len(part)
        if size > OUTPUT_BYTES_MAX:
            raise Rejected(
                f"The result is larger than {OUTPUT_BYTES_MAX:,} bytes (output_bytes_max). "
                "Ask for a shorter time."
            )
        parts.append(part)
    return b"".join(parts)


async def _progress(process: asyncio.subprocess.Process, job: Job) -> str:
    """Lines like ``37%`` are how far it is; the rest is what it says on an error."""
    assert process.stderr is not None
    error, rest = "", ""
    while part := (await process.stderr.read(4096)).decode(errors="replace"):
        *lines, rest = (rest + part)[-ERROR_CHARS_MAX:].split("\n")
        for line in lines:
            number = line.strip().removesuffix("%")
            if line.strip().endswith("%") and number.isdigit():
                job.progress, job.text = min(int(number), 100) / 100, f"{number} % done."
            else:
                error = f"{error}{line}\n"[-ERROR_CHARS_MAX:]
    return error + rest


async def _end(process: asyncio.subprocess.Process) -> None:
    """See that the child is gone: it is asked, then killed."""
    if process.returncode is not None:
        return
    for ask in (process.terminate, process.kill):
        with suppress(ProcessLookupError):
            ask()
        with suppress(TimeoutError):
            async with asyncio.timeout(END_S):
                await process.wait()
                return


__all__ = ["Busy", "Job", "Jobs", "command"]
