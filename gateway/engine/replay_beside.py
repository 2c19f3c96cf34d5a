"""The recorded flow in a process of its own, while the edited one runs here: half the time.

Both processes read the same records. The other one sends what left its flow, step by step, in
frames: a length, a JSON header, and the rows as bytes. It waits when we are slower.
"""

from __future__ import annotations

import json
import multiprocessing
import signal
import struct
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from gateway.engine.codec import alarm_of, plain
from gateway.engine.replay import Player, Revisions, Steps
from gateway.engine.replay_ends import UNSEEN, Content, End, Eye, NameIds, Seen
from gateway.engine.replay_run import Span, until_end
from gateway.engine.store_read import Checkpoint, StateReader
from gateway.engine.wiring import Input
from gateway.errors import ConfigError, FaultError, GatewayError
from gateway.flow.document import Document
from gateway.flow.variables import resolve

FRAME_STEPS: Final = 200
_LENGTH: Final = struct.Struct("<I")
WAIT_S: Final = 5.0  # For the other process to end; it has nothing left to do.


@dataclass(frozen=True)
class Recorded:
    """How to replay what ran; plain values, so that another process can do it as well.

    Args:
        state: The state file.
        flow: The flow's name.
        text: The flow as it was at the start, its variables replaced.
        first: Number of the first record to run.
        start: What is reported begins here [ns].
        end: And ends here [ns].
        follows: True to go along with the revisions that were deployed meanwhile.
        watch: Output ports that count as ends.
        tags_max: How many tags there may be.
        from_checkpoint: True to start with the stored state; else fresh.
        is_fresh: True when alarms may count their occurrences anew.
    """

    state: str
    flow: str
    text: str
    first: int
    start: int
    end: int
    follows: bool
    watch: tuple[End, ...]
    tags_max: int
    from_checkpoint: bool
    is_fresh: bool

    @property
    def span(self) -> Span:
        """What is reported."""
        return Span(self.start, self.end)

    @property
    def document(self) -> Document:
        """The flow at the start."""
        return Document.parse(self.text, f"{self.flow}.flow.yaml")

    def player(self, reader: StateReader, stored: Checkpoint | None = None) -> Player:
        """The flow, ready for the first record.

        Args:
            reader: The state file.
            stored: The checkpoint to start from, if it was read already.

        Raises:
            ConfigError: The flow cannot be made, or the checkpoint is gone by now.
        """
        player = Player(
            self.document,
            reader.tags(self.tags_max),
            watch=self.watch,
            revisions=revisions_of(reader, self.flow) if self.follows else None,
            is_fresh=self.is_fresh,
        )
        if self.from_checkpoint:
            stored = stored or reader.checkpoint(self.flow, self.start)
            if stored is None or stored.seq + 1 != self.first:
                raise ConfigError(
                    "The gateway has stored a newer state meanwhile.",
                    hint="Try again, or start fresh with --warm-up 1h.",
                )
            player.adopt(stored.states, stored.now)
        return player


def revisions_of(reader: StateReader, flow: str) -> Revisions:
    """The recorded flows of a flow, by number."""
    known = {revision.number: revision for revision in reader.revisions(flow)}

    def document(number: int) -> Document:
        if number not in known:
            raise ConfigError(
                f"The state file has no revision {number} of {flow}.",
                hint="Name the flow's file instead of its name.",
            )
        revision = known[number]
        written = Document.parse(revision.text, f"{flow} (revision {number})")
        return written.with_values(lambda value: resolve(value, revision.variables))

    return document


class Beside:
    """The recorded flow in another process.

    Args:
        task: What it does.
        ids: Where the names of its tags are noted.
        steps: The same records as they are read here.
    """

    def __init__(self, task: Recorded, ids: NameIds, steps: Steps) -> None:
        context = multiprocessing.get_context("spawn")
        self._frames, theirs = context.Pipe(duplex=False)
        self._process = context.Process(target=_serve, args=(theirs, asdict(task)), daemon=True)
        self._process.start()
        theirs.close()
        self._ids = ids
        self._steps = steps
        self._upto = 0
        self._seen: dict[int, Seen] = {}
        self.faults: dict[str, int] = {}
        """How often each node failed."""
        self._is_done = False
        self._missing = 0

    def __enter__(self) -> Beside:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._frames.close()
        self._process.join(WAIT_S)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()

    def step(self, inputs: Sequence[Input], now: int) -> Seen:
        """What left the recorded flow in the step that is run here now.

        Raises:
            ConfigError: The recorded flow cannot be replayed.
            FaultError: The other process ended.
        """
        seq = self._steps.seq
        while self._upto < seq and not self._is_done:
            self._read()
        return self._seen.pop(seq, UNSEEN)

    def verify(self) -> None:
        """Call it at the end: both processes must have read the same records.

        Raises:
            FaultError: They did not.
        """
        while not self._is_done:
            self._read()
        if self._missing != self._steps.missing:
            raise FaultError(
                "The oldest records were dropped while they were replayed. Try again with a "
                "later --from."
            )

    def _read(self) -> None:
        try:
            frame = self._frames.recv_bytes()
        except (EOFError, OSError) as error:
            raise FaultError("The process that replays the recorded flow has ended.") from error
        (length,) = _LENGTH.unpack_from(frame)
        at = _LENGTH.size + length
        head = json.loads(frame[_LENGTH.size : at])
        if head["error"]:
            raise ConfigError(head["error"])
        self._upto, self._is_done = head["upto"], head["done"]
        self._missing, self.faults = head["missing"], head["faults"]
        self._ids.add(head["names"])
        for seq, alarms, ends in head["steps"]:
            found: dict[End, Content] = {}
            for node, port, kind, n, size in ends:
                found[node, port] = Content(kind, n, frame[at : at + size])
                at += size
            self._seen[seq] = Seen(tuple(alarm_of(row) for row in alarms), found)


class _Sender:
    """Collects what left the flow and sends it in frames."""

    def __init__(self, frames: Connection, ids: NameIds) -> None:
        self._frames = frames
        self._ids = ids
        self._named = 0
        self._steps: list[Any] = []
        self._body = bytearray()
        self._count = 0

    def add(self, steps: Steps, seen: Seen) -> None:
        """One step."""
        self._count += 1
        if seen is UNSEEN:
            return
        ends = []
        for (node, port), content in seen.ends.items():
            ends.append([node, port, content.kind, content.n, len(content.data)])
            self._body += content.data
        self._steps.append([steps.seq, [plain(event) for event in seen.alarms], ends])

    @property
    def is_due(self) -> bool:
        """True when there is enough for a frame."""
        return self._count >= FRAME_STEPS

    def send(
        self, steps: Steps, faults: Mapping[str, int], *, done: bool = False, error: str = ""
    ) -> None:
        """Send what was collected."""
        names = list(self._ids.names.values())
        head = {
            "upto": steps.seq,
            "missing": steps.missing,
            "names": names[self._named :],
            "steps": self._steps,
            "faults": dict(faults),
            "done": done,
            "error": error,
        }
        text = json.dumps(head).encode()
        self._frames.send_bytes(_LENGTH.pack(len(text)) + text + bytes(self._body))
        self._named, self._steps, self._body, self._count = len(names), [], bytearray(), 0


def _serve(frames: Connection, task: dict[str, Any]) -> None:
    """What the other process does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the one that asked.
    ids = NameIds()
    sender = _Sender(frames, ids)
    try:
        recorded = Recorded(**task)
        with StateReader(Path(recorded.state)) as reader:
            player = recorded.player(reader)
            eye = Eye(player.tags, ids)
            steps = Steps(reader.records(recorded.flow, recorded.first))
            for inputs, now in until_end(steps, recorded.span):
                result = player.step(inputs, now)
                seen = eye.see(result)
                if seen.ends and now < recorded.start:
                    seen = Seen(seen.alarms, {})  # Of a warm-up only acknowledgements matter.
                sender.add(steps, seen)
                if sender.is_due:
                    sender.send(steps, player.faults)
            sender.send(steps, player.faults, done=True)
    except GatewayError as error:
        sender.send(Steps(()), {}, error=str(error))
    except (BrokenPipeError, ConnectionResetError):
        pass  # Nobody wants the rest.


__all__ = ["Beside", "Recorded", "revisions_of"]
