"""Live topic of an explanation: what is written, while it is written."""

from __future__ import annotations

from typing import Final, Literal

import orjson

from gateway.api.live_topics import Topic
from gateway.engine.explain_progress import Progress
from gateway.engine.explain_view import shown
from gateway.engine.runtime import Runtime
from gateway.engine.store_explain import Key

EXPLAIN_HZ: Final = 10.0


class ExplainTopic(Topic):
    """The explanation of one alarm, as far as it is made.

    Args:
        runtime: The gateway.
        alarm: Which alarm, and which of its annunciations.
        language: In which language.
    """

    def __init__(
        self, runtime: Runtime, alarm: tuple[str, int], language: Literal["en", "ja"]
    ) -> None:
        super().__init__(EXPLAIN_HZ)
        self._explainer = runtime.explainer
        self._alarm = alarm
        self._language = language
        self._now: tuple[Key, int] | None = None
        self._changed = 0
        if self._explainer is not None:
            self._explainer.watch(alarm, language)

    def _look(self) -> None:
        progress = self._progress()
        now = (progress.key, progress.version) if progress is not None else None
        if now != self._now or not self._changed:
            self._now, self._changed = now, self.at

    def _progress(self) -> Progress | None:
        return self._explainer.board.get(self._alarm) if self._explainer is not None else None

    def _tell(self, since: int) -> bytes | None:
        if self._changed <= since:
            return None
        found = self._progress()
        return orjson.dumps(shown(found, self._language) if found is not None else None)

    def close(self) -> None:
        if self._explainer is not None:
            self._explainer.board.unwatch(self._alarm, self._language)


__all__ = ["ExplainTopic"]
