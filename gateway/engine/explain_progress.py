"""Progress: how far the explanation of each alarm is, for those who watch it being written."""

from __future__ import annotations

from collections import Counter, OrderedDict
from dataclasses import dataclass, field
from typing import Final, Literal

from gateway.engine.store_explain import Explained, Key
from models.explainer.text import LANGUAGES, Explanation, Language

State = Literal["none", "waiting", "looking", "writing", "done", "dropped", "failed"]
"""none: nobody has asked for it; waiting: others come first; looking: facts are gathered;
writing: the template's text is there and a model writes; done; dropped: there was no room for it
in a storm of alarms; failed: `note` says why."""
KEPT_MAX: Final = 200
"""Alarms whose progress is remembered; of older ones the state file tells."""


@dataclass(slots=True)
class Progress:
    """How far one explanation is.

    Args:
        key: The annunciation.
        state: See `State`.
        explained: What there is of it.
        drafts: By language what a model has written so far.
        note: What is to be said about it to people.
        version: Grows with every change.
    """

    key: Key
    state: State = "none"
    explained: Explained | None = None
    drafts: dict[str, Explanation] = field(default_factory=dict)
    note: str = ""
    version: int = 0


class Board:
    """The progress of the last alarms, and who watches which."""

    def __init__(self) -> None:
        self._known: OrderedDict[Key, Progress] = OrderedDict()
        self._leads: OrderedDict[Key, Key] = OrderedDict()
        self._watched: Counter[tuple[Key, str]] = Counter()

    def get(self, key: Key) -> Progress | None:
        """The progress of an annunciation, or of that which explains it."""
        return self._known.get(self.lead_of(key))

    def lead_of(self, key: Key) -> Key:
        """The annunciation that explains this one: itself unless an incident took it in."""
        return self._leads.get(key, key)

    def led(self, key: Key, lead: Key) -> None:
        """This one is explained by that one from now on."""
        self._leads.pop(key, None)
        if key == lead:
            return
        self._leads[key] = lead
        self._known.pop(key, None)
        while len(self._leads) > 4 * KEPT_MAX:
            self._leads.popitem(last=False)

    def set(
        self,
        key: Key,
        state: State,
        note: str = "",
        explained: Explained | None = None,
    ) -> Progress:
        """It is so far now; what is explained already stays."""
        progress = self._known.get(key) or Progress(key)
        progress.state, progress.note = state, note
        progress.explained = explained or progress.explained
        progress.drafts = {}
        self._changed(progress)
        return progress

    def draft(self, key: Key, text: Explanation) -> None:
        """A model has written so much."""
        progress = self._known.get(key)
        if progress is not None:
            progress.drafts[text.language] = text
            self._changed(progress)

    def _changed(self, progress: Progress) -> None:
        progress.version += 1
        self._known[progress.key] = progress
        self._known.move_to_end(progress.key)
        while len(self._known) > KEPT_MAX:
            self._known.popitem(last=False)

    # ------------------------------------------------------------------ who watches

    def watch(self, key: Key, language: str) -> None:
        """Somebody looks at it in a language."""
        self._watched[key, language] += 1

    def unwatch(self, key: Key, language: str) -> None:
        """Somebody looks at it no longer."""
        self._watched[key, language] -= 1
        if self._watched[key, language] <= 0:
            del self._watched[key, language]

    def languages(self, key: Key) -> list[Language]:
        """All languages, those that somebody looks at first."""
        seen = {one for other, one in self._watched if self.lead_of(other) == key}
        return sorted(LANGUAGES, key=lambda one: one not in seen)


__all__ = ["Board", "Progress", "State"]
