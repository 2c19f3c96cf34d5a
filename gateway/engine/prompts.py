"""Prompts: the library of texts that models are asked with, as files beside the state.

Two kinds stand in it. A text of the folder ``prompts/`` is shared by name (``file`` of a node that
asks a model); it is edited here, each version with its author in the audit, and a node takes a
new one with its next question. A prompt that stands in a flow is shown with the rule that chooses
it; it is edited where it stands, and its versions are the flow's revisions.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from gateway.data.event import Event
from gateway.data.whole import write_whole
from gateway.engine.store import Store
from gateway.engine.store_records import audit, audit_page
from gateway.errors import ConfigError, Disconnected, LimitError
from gateway.flow.document import Document
from gateway.flow.node import Clock
from gateway.flow.records import iso
from gateway.flow.registry import node_class

FOLDER: Final = "prompts"
SUFFIX: Final = ".jinja"
NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}\Z")
ASKS: Final = "llm.generate"
"""The type of nodes that have prompts."""
PROMPTS_MAX: Final = 200
TEXT_CHARS_MAX: Final = 20_000
REVISIONS_MAX: Final = 100


class PromptChanged(ConfigError):  # noqa: N818 - what happened, for people
    """Somebody else has saved it since."""


def version_of(text: str) -> str:
    """A short name of a text; another text has another one."""
    return hashlib.sha256(text.encode()).hexdigest()[:8]


class Prompts:
    """The library of a gateway.

    Args:
        state: Folder of its state.
        store: Where versions are kept: the audit.
        clock: The time.
        flows: The flows that run, by name.
    """

    def __init__(
        self, state: Path, store: Store, clock: Clock, flows: Callable[[], Mapping[str, Document]]
    ) -> None:
        self._folder = state / FOLDER
        self._store = store
        self._clock = clock
        self._flows = flows
        self._lock = asyncio.Lock()

    # ------------------------------------------------------------------ what there is

    def names(self) -> list[str]:
        """Of the texts in the folder, in order."""
        found = (path.name.removesuffix(SUFFIX) for path in self._folder.glob(f"*{SUFFIX}"))
        return sorted(name for name in found if NAME.match(name))

    def text(self, name: str) -> str | None:
        """A text of the folder; None when there is none of this name."""
        if not NAME.match(name):
            return None
        try:
            return (self._folder / (name + SUFFIX)).read_text("utf-8")
        except (OSError, UnicodeDecodeError):
            return None

    def in_flows(self) -> list[dict[str, Any]]:
        """Every prompt of every node that runs, with the rule that chooses it."""
        return [row for flow, document in self._flows().items() for row in self._of(flow, document)]

    def _of(self, flow: str, document: Document) -> Iterator[dict[str, Any]]:
        kind: Any = node_class(ASKS)
        for node, entry in document.nodes.items():
            if entry.type != ASKS:
                continue
            for row in kind.prompts_of(entry.config, self._folder):
                yield {"flow": flow, "node": node, **row}

    async def listing(self) -> dict[str, Any]:
        """Everything for a screen: shared texts with their users and authors, and all in flows."""
        placed = await asyncio.to_thread(self.in_flows)
        texts = []
        for name in self.names():
            text = self.text(name)
            last = next(iter(await self.revisions(name, 1)), None)
            users = [f"{row['flow']}/{row['node']}" for row in placed if row["file"] == name]
            texts.append(
                {
                    "prompt": name,
                    "version": version_of(text or ""),
                    "chars": len(text or ""),
                    "used": sorted(set(users)),
                    "by": last["by"] if last else "",
                    "ts": last["ts"] if last else 0,
                    "note": last["note"] if last else "",
                }
            )
        return {"texts": texts, "in_flows": placed}

    async def revisions(self, name: str, limit: int = REVISIONS_MAX) -> list[dict[str, Any]]:
        """Its versions with text and author, newest first, as far back as the audit goes."""
        rows = await audit_page(self._store, 4 * limit, text=f'"prompt": "{name}"')
        found = [
            {
                "id": row["id"],
                "ts": row["ts"],
                "by": row["actor"],
                "note": str(row["detail"].get("note", "")),
                "text": str(row["detail"].get("text", "")),
                "version": version_of(str(row["detail"].get("text", ""))),
                "is_removal": row["action"] == "prompt/remove",
            }
            for row in rows
            if row["action"] in ("prompt/save", "prompt/remove") and row["detail"]["prompt"] == name
        ]
        return found[:limit]

    # ------------------------------------------------------------------ changes

    async def put(self, name: str, text: str, base: str, note: str, actor: str) -> str:
        """Save a text; returns its version.

        Args:
            name: Of the text.
            text: A template.
            base: The version that was edited; empty for a new one.
            note: Why, in words.
            actor: Who.

        Raises:
            ConfigError: It is no name or no template.
            PromptChanged: It is not as it was when the editing began.
            LimitError: There are too many.
            Disconnected: It cannot be recorded, or the disk does not take it.
        """
        if not NAME.match(name):
            raise ConfigError(f"{name!r} is no name of a prompt.", hint="Use letters, 0-9, - and _")
        if not 0 < len(text) <= TEXT_CHARS_MAX:
            raise ConfigError(f"A prompt has 1 to {TEXT_CHARS_MAX:,} characters.")
        kind: Any = node_class(ASKS)
        kind.check_prompt(text)
        async with self._lock:
            self._same(name, base)
            if self.text(name) is None and len(self.names()) >= PROMPTS_MAX:
                raise LimitError("prompts_max", PROMPTS_MAX, "Delete one first.")
            detail = {"prompt": name, "before": base, "text": text, "note": note}
            await audit(self._store, self._clock.now(), actor, "prompt/save", detail)
            await asyncio.to_thread(self._write, name, text)
        return version_of(text)

    async def remove(self, name: str, base: str, actor: str) -> None:
        """Delete a text that no flow uses; its versions stay in the audit.

        Raises:
            ConfigError: A flow uses it.
            PromptChanged: It is not as it was when it was looked at.
            Disconnected: It cannot be recorded.
        """
        async with self._lock:
            self._same(name, base)
            users = [
                f"{row['flow']}/{row['node']}" for row in self.in_flows() if row["file"] == name
            ]
            if users:
                raise ConfigError(
                    f"The prompt {name!r} is asked by {', '.join(users)}.",
                    hint="Let them ask another one first.",
                )
            detail = {"prompt": name, "text": self.text(name) or "", "note": ""}
            await audit(self._store, self._clock.now(), actor, "prompt/remove", detail)
            (self._folder / (name + SUFFIX)).unlink(missing_ok=True)

    def _same(self, name: str, base: str) -> None:
        text = self.text(name)
        now = "" if text is None else version_of(text)
        if now != base:
            what = "has been changed" if now and base else "exists already" if now else "is gone"
            raise PromptChanged(
                f"The prompt {name!r} {what} meanwhile.",
                hint="Look at it as it is now, then make your change again.",
            )

    def _write(self, name: str, text: str) -> None:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            write_whole(self._folder / (name + SUFFIX), text)
        except OSError as error:
            raise Disconnected(
                f"{name}{SUFFIX} cannot be written ({error.strerror}). Is the disk full? Try again."
            ) from error

    # ------------------------------------------------------------------ a look at one

    def preview(self, event: Event, *, text: str = "", flow: str = "", node: str = "") -> Any:
        """What would be asked about an event, by a text or by the prompts of a node.

        Raises:
            ConfigError: There is no such node, or the text is no template.
            Rejected: It cannot be filled with this event.
        """
        kind: Any = node_class(ASKS)
        values = {
            "topic": event.topic,
            "id": event.id,
            "time": iso(event.ts),
            "data": dict(event.data),
        }
        if not flow:
            return kind.fill(text, values)
        document = self._flows().get(flow)
        entry = document.nodes.get(node) if document is not None else None
        if entry is None or entry.type != ASKS:
            raise ConfigError(f"No node {flow}/{node} asks a model.")
        return kind.would_ask(entry.config, self._folder, event, values)


__all__ = ["FOLDER", "PromptChanged", "Prompts", "version_of"]
