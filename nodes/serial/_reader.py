"""The reader: bytes with their times become rows and events. No waiting and no I/O."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from gateway import Event
from nodes.serial._config import SerialSourceConfig
from nodes.serial._fields import Lines
from nodes.serial._framing import after_start, excerpt
from nodes.serial._watch import Watch

Row = tuple[int, int, float, int]
"""(tag, ts, value, quality)"""


class Reader:
    """Cuts what came into messages and takes the numbers out of them.

    Args:
        config: How messages are framed and parsed.
        codes: The code of each tag.
        where: The port, for sentences.
        watch: Told what is understood and what is not.
        count: Counts by name.
    """

    def __init__(
        self,
        config: SerialSourceConfig,
        codes: Mapping[str, int],
        where: str,
        watch: Watch,
        count: Callable[[str, int], None],
    ) -> None:
        self.rows: list[Row] = []
        self.events: list[Event] = []
        self.pending = False
        """True while a pause would end a message."""
        self.heard_at = 0
        """When the last bytes came [ns]."""
        self._config = config
        self._codes = codes
        self._where = where
        self._watch = watch
        self._count = count
        self._lines = Lines(
            config.pattern,
            config.separator,
            {name: tag.rule(config.decimal) for name, tag in config.tags.items()},
        )
        self._ignore = re.compile(config.ignore) if config.ignore is not None else None
        self._start = config.start.encode(config.encoding)
        self._idle_ns = round(config.idle_s * 1e9)
        self._last_ts = 0
        self.restart(skips=False)

    def restart(self, *, skips: bool) -> None:
        """Begin anew; `skips` passes over the first message, whose begin was not heard."""
        self._framer = self._config.framer()
        self._skips = skips and not self._start and self._config.frame != "regex"
        self._dropped = 0
        self.pending = False

    def take(self) -> tuple[list[Row], list[Event]]:
        """What was read since the last call."""
        taken = self.rows, self.events
        self.rows, self.events = [], []
        return taken

    def feed(self, ts: int, data: bytes) -> None:
        """Bytes that came at a time [ns]; a pause before them may end a message."""
        if self.pending and ts - self.heard_at >= self._idle_ns:
            self._frames(self._framer.flush(), ts)
        self.heard_at = ts
        self._frames(self._framer.feed(data), ts)
        self.pending = self._config.frame != "delimiter"

    def flush(self, ts: int) -> None:
        """The line was silent until a time [ns]."""
        self.pending = False
        self._frames(self._framer.flush(), ts)

    def _frames(self, frames: list[bytes], ts: int) -> None:
        """Turn frames into rows; what is not understood is counted."""
        dropped, self._dropped = self._framer.dropped - self._dropped, self._framer.dropped
        if dropped and not self._skips:
            self._count("dropped_bytes", dropped)
            text = f"{dropped} bytes on {self._where} are no message"
            limit = f"(frame_bytes_max is {self._config.frame_bytes_max})."
            self.events += self._watch.refused(ts, f"{text} {limit}")
        for frame in frames:
            if self._skips:
                self._skips = False
                self._count("partial", 1)
                continue
            problem = self._frame(frame, ts)
            if problem:
                self._count("refused", 1)
                text = f"A message on {self._where} {problem}: {excerpt(frame)!r}."
                self.events += self._watch.refused(ts, text)

    def _frame(self, frame: bytes, ts: int) -> str:
        """Rows of one frame; or what is wrong with it."""
        body = after_start(frame, self._start)
        if body is None:
            return f"does not begin with {self._config.start!r}"
        try:
            text = body.decode(self._config.encoding)
        except UnicodeDecodeError:
            return f"is not {self._config.encoding}"
        if self._ignore is not None and self._ignore.search(text):
            self._count("ignored", 1)
            return ""
        found = self._lines.read(text.strip("\r\n\0"))
        if not found:
            return "is not understood"
        ts = self._last_ts = max(ts, self._last_ts + 1)  # two lines in one breath: two moments
        self.rows += [(self._codes[name], ts, value, q) for name, (value, q) in found.items()]
        if all(status >> 30 for _, status in found.values()):
            return "has no number where one should be"
        self.events += self._watch.good(ts)
        return ""
