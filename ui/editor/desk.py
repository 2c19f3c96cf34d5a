"""Desk: one tab of one person at a flow. It hears the browser and tells it what came of it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

from nicegui import context, ui
from nicegui.events import GenericEventArguments

from gateway.errors import ConfigError, Disconnected, GatewayError, Rejected
from ui.editor.asks import ASKS
from ui.editor.element import FlowEditor
from ui.editor.level import level_of
from ui.editor.ops import Op
from ui.editor.panel import Panel
from ui.editor.release import rivalry
from ui.editor.session import Session, Tab
from ui.editor.tree import Fields, Tree
from ui.editor.view import CATEGORIES, catalogue
from ui.i18n import _, told
from ui.session import api, me

CHECK_S: Final = 10.0
"""How long it is believed that somebody may still edit [s]."""
_SELECTED_MAX: Final = 2_000
_SHOWN: Final = ("add", "paste", "group", "note", "many", "gather", "unpack", "port")
"""What is new after these is selected."""


class Desk:
    """One tab.

    Args:
        session: The flow that is open in it.
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        who = me()
        self.tab = Tab(
            context.client.id,
            who.actor,
            self._say,
            api(),
            may_edit="flow.edit" in who.may,
        )
        self._turn = asyncio.Lock()
        self._checked = asyncio.get_running_loop().time()
        self.editor = FlowEditor(
            {
                "flow": session.flow,
                "catalogue": catalogue(),
                "categories": list(CATEGORIES),
                "view": session.view(),
                "status": session.status(self.tab),
                "actor": who.name,
                "may": sorted(who.may),
            }
        )
        self._listen()
        with self.editor:
            self.panel = Panel(self)
        context.client.on_connect(self._here)
        context.client.on_disconnect(self._gone)

    def _listen(self) -> None:
        for name, hear in (("op", self._op), ("step", self._step), ("ask", self._ask)):
            self.editor.on(name, hear)
        self.editor.on("select", self._select)

    # ------------------------------------------------------------------ for the form

    def tree(self, level: str) -> Tree | None:
        """The inside of a subflow, or the flow itself; None when it is gone."""
        tree = self.session.tree
        return level_of(tree, level) if not level or level in tree["subflows"] else None

    def fields(self, node: str, level: str = "") -> Fields | None:
        """The fields of a node or a connection as they are; None when it is gone."""
        tree = self.tree(level)
        return (tree["nodes"].get(node) or tree["connections"].get(node)) if tree else None

    def problems(self, node: str, level: str = "") -> list[dict[str, Any]]:
        """What lint says of a node: ``severity``, ``field``, ``text``, ``hint``."""
        rows = self.session.problems
        return [row for row in rows if row["node"] == node and row["in"] == level]

    @property
    def api(self) -> Any:
        """The API as this person has it."""
        return self.tab.api

    async def edit(self, op: Op) -> list[str] | None:
        """Do something; None when it was refused, which was said.

        Args:
            op: As in `ui.editor.ops`, such as
                ``{"op": "set", "id": "clean", "fields": {"band": 0.5}}``.
        """
        async with self._turn:
            try:
                await self._may()
                new = self.session.edit(self.tab, op)
                if op.get("op") == "rename":
                    self._say("select", {"ids": [str(op["to"])], "in": str(op.get("in") or "")})
                return new
            except GatewayError as error:
                self._say("refused", {"text": str(error), "view": self._touched(op)})
                return None

    # ------------------------------------------------------------------ from the browser

    async def _op(self, event: GenericEventArguments) -> None:
        op = event.args
        if not isinstance(op, Mapping):
            return
        new = await self.edit(op)
        if new and op.get("op") in _SHOWN:
            self._say("select", {"ids": new, "in": str(op.get("in") or "")})

    async def _step(self, event: GenericEventArguments) -> None:
        async with self._turn:
            try:
                await self._may()
                step = self.session.undo if event.args == "undo" else self.session.redo
                step(self.tab)
            except GatewayError as error:
                text = _("This step cannot be taken: {why}", why=told(error))
                self._say("refused", {"text": text})
                self._say("status", self.session.status(self.tab))
        await self.panel.refresh()

    async def _select(self, event: GenericEventArguments) -> None:
        ids = [str(name) for name in list(event.args["ids"])[:_SELECTED_MAX]]
        level = str(event.args.get("in") or "")
        self.session.select(self.tab, ids, level)
        await self.panel.show(ids, level)

    async def _ask(self, event: GenericEventArguments) -> None:
        number, what = int(event.args["id"]), str(event.args["what"])
        ask = ASKS.get(what)
        try:
            if ask is None:
                raise ConfigError(f"The editor cannot {what!r}.", hint="Reload the page.")
            values = await ask(self, dict(event.args.get("args") or {}))
        except GatewayError as error:
            self.editor.answer(number, False, str(error))
            return
        self.editor.answer(number, True, values)

    async def _may(self) -> None:
        """See now and then whether this person's login still holds.

        Raises:
            ConfigError: It does not, or no longer for this.
        """
        now = asyncio.get_running_loop().time()
        if now - self._checked < CHECK_S:
            return
        with suppress(Disconnected):  # What cannot be asked holds; saving will say so.
            try:
                who = await self.tab.api.get("/api/me")
            except Rejected as error:
                self.tab.may_edit = False
                raise ConfigError(_("Your login has ended. Log in again to edit.")) from error
            self.tab.may_edit = "flow.edit" in who["may"]
            self._checked = now

    def _touched(self, op: Op) -> dict[str, Any]:
        """What the browser may show already of an op that was refused: where boxes stand."""
        if op.get("op") not in ("move", "insert"):
            return {}
        view, level = self.session.view(), str(op.get("in") or "")
        if level:
            return {"subflows": {level: view["subflows"].get(level)}}
        return {part: view[part] for part in ("nodes", "frames")}

    # ------------------------------------------------------------------ to the browser

    def _say(self, what: str, values: Any) -> None:
        with suppress(RuntimeError):  # The page is gone.
            self.editor.say(what, values)
            if what in ("patch", "problems"):
                self.panel.heard(what, values)

    def _here(self) -> None:
        """The browser is there, for the first time or again: it gets all anew."""
        if self.tab not in self.session.tabs:
            self.session.join(self.tab)
        session = self.session
        self._say("reset", {"view": session.view(), "status": session.status(self.tab)})
        self._say("problems", {"rows": session.problems, "error": ""})
        self._say("saved", {"state": "saved" if session.is_kept else "saving"})
        if session.rival is not None:
            self._say("rival", rivalry(session))

    def _gone(self) -> None:
        """A socket has ended; a browser that came back on a new one before is still here."""
        if not self.editor.client.has_socket_connection:
            self.session.leave(self.tab)


def editor_of(session: Session) -> Desk:
    """The editor on the page that is being made."""
    with ui.element("div").classes("ed-page"):
        return Desk(session)


__all__ = ["Desk", "editor_of"]
