"""Keeping: a session's draft on the gateway, and what lint says of it, a moment after each edit."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Final

from gateway.errors import ConfigError, Disconnected, GatewayError, Rejected
from gateway.flow.document import Document
from ui.editor import drafts
from ui.editor.drafts import Draft
from ui.editor.merge import Side, clashes, merged
from ui.editor.place import placed
from ui.editor.problems import placed_problem
from ui.editor.tree import layout_of, tree_of
from ui.engine import Api, path_of

if TYPE_CHECKING:
    from ui.editor.session import Session, Tab

SAVE_S: Final = 0.8
"""How long after an edit it is saved, so that many are one [s]."""
LINT_S: Final = 0.4
AGAIN_S: Final = 5.0
"""How long after a failed save it is tried again [s]."""
Start = Callable[[Coroutine[Any, Any, None]], object]


class Keeper:
    """Saves and lints what is edited.

    Args:
        session: What is edited.
        start: Runs something beside the page.
    """

    def __init__(self, session: Session, start: Start) -> None:
        self._session = session
        self._start = start
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._saving = asyncio.Lock()
        self._known: Api | None = None
        self._saved = self._state()
        self._before = session.tree

    def _state(self) -> tuple[str, str]:
        return self._session.text(), repr(layout_of(self._session.tree))

    @property
    def is_saved(self) -> bool:
        """Whether the gateway has what is here."""
        return self._state() == self._saved

    def touched(self) -> None:
        """Something was edited."""
        self._later("save", SAVE_S, self.save)
        self._later("lint", LINT_S, self.lint)

    @property
    def _api(self) -> Api | None:
        """The API as somebody has it who is, or was, here and may edit."""
        able = [tab for tab in self._session.tabs if tab.may_edit]
        if able:
            self._known = able[-1].api
        return self._known

    def look(self) -> None:
        """Somebody came: they want to know what lint says."""
        if self._api is not None:
            self._later("lint", 0.0, self.lint)

    def left(self, tab: Tab) -> None:
        """Somebody went; what they did last is kept at once."""
        if not self._session.tabs and not self.is_saved:
            self._later("save", 0.0, self.save)

    def stop(self) -> None:
        """Nothing is saved or looked at any more."""
        for timer in self._timers.values():
            timer.cancel()

    def deployed(self) -> None:
        """What is here runs now, so the draft is none any more."""
        self._saved, self._before = ("", ""), self._session.tree
        self._later("save", 0.0, self.save)

    def _later(
        self, name: str, seconds: float, work: Callable[[], Coroutine[Any, Any, None]]
    ) -> None:
        if name in self._timers:
            self._timers[name].cancel()
        loop = asyncio.get_running_loop()
        self._timers[name] = loop.call_later(seconds, lambda: self._start(work()))

    async def save(self) -> None:
        """Keep the draft on the gateway; tells every tab how it went."""
        api = self._api
        if api is None:
            return
        async with self._saving:
            state, tree = self._state(), self._session.tree
            if state == self._saved:
                return
            self._session.say_all("saved", {"state": "saving"})
            try:
                await self._keep(api)
            except (Rejected, Disconnected) as error:
                await self._not_saved(api, error)
                return
            self._saved, self._before = state, tree
            self._session.say_all("saved", {"state": "saved"})

    async def _keep(self, api: Api) -> None:
        text, layout = self._session.text(), layout_of(self._session.tree)
        if self._session.running is not None and text == self._session.running.text:
            if self._session.version:
                await drafts.drop(api, self._session.flow, self._session.version)
                self._session.version = 0
            await drafts.save_layout(api, self._session.flow, layout)
            return
        new = Draft(text, layout, self._session.base, self._session.version)
        self._session.version = await drafts.save(api, self._session.flow, new)

    async def _not_saved(self, api: Api, error: GatewayError) -> None:
        """Find out why, and try again where that can help."""
        text = str(error)
        try:
            other = await drafts.draft(api, self._session.flow)
        except GatewayError:
            other = None
        if other is not None and other.version != self._session.version:
            await self._overwritten(other)
            return
        if other is None and isinstance(error, Rejected):
            self._session.version = 0  # It was thrown away; what is here becomes a new one.
        self._session.say_all("saved", {"state": "failed", "text": text})
        if self._session.tabs:
            self._later("save", AGAIN_S, self.save)

    async def _overwritten(self, other: Draft) -> None:
        """A program saved the draft besides this session: both are put together, and it is said."""
        session = self._session
        session.version = other.version
        text = f"{name_of(other.by)} saved this draft from elsewhere; both edits are in it now."
        try:
            theirs = placed(tree_of(Document.parse(other.text), other.layout))
            asked = clashes(self._before, session.tree, theirs)
            mine: dict[str, Side] = {clash.row()["key"]: "mine" for clash in asked}
            after = merged(self._before, session.tree, theirs, mine)
        except ConfigError as error:
            text = (
                f"{name_of(other.by)} saved this draft from elsewhere, and it does not go together "
                f"with yours, which counts. {error}"
            )
        else:
            if asked:
                names = ", ".join(clash.about for clash in asked)
                text += f" Where both changed the same, yours counts: {names}."
            session.take(after)
        session.say_all("notice", {"text": text})
        self._later("save", 0.0, self.save)

    async def lint(self) -> None:
        """Have the gateway look at the flow; every tab hears what it finds."""
        api = self._api
        if api is None:
            return
        try:
            found = await api.post(
                path_of("api", "flows", self._session.flow, "lint"), {"text": self._session.text()}
            )
        except GatewayError as error:
            self._session.say_all("problems", {"rows": [], "error": str(error)})
            return
        self._session.problems = [placed_problem(self._session.tree, row) for row in found]
        self._session.say_all("problems", {"rows": self._session.problems, "error": ""})


def name_of(actor: str) -> str:
    """An actor without its kind.

    >>> name_of("user:anna")
    'anna'
    """
    return actor.partition(":")[2] or actor


__all__ = ["Keeper", "Start", "name_of"]
