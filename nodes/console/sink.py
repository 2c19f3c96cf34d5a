"""Show what arrives in the terminal."""

from __future__ import annotations

import asyncio
import sys
from collections import OrderedDict
from typing import Annotated, Final, Literal

import orjson
from pydantic import AfterValidator, Field, StringConstraints

from gateway import (
    Config,
    Context,
    Disconnected,
    Example,
    Message,
    Port,
    Record,
    Sink,
    Template,
    records,
)
from nodes._notify import check_template, line_of

GROWING_MAX: Final = 100
"""Answers that may be under way at once; of one that is forgotten only the rest is shown."""


class ConsoleSinkConfig(Config):
    form: Literal["line", "json"] = Field(
        "line", description="A line for people, or JSON with all fields."
    )
    line: Annotated[str, StringConstraints(max_length=2_000), AfterValidator(check_template)] = (
        Field(
            "",
            examples=["{time} {tag} {value} {unit}"],
            description="The line, with the fields of a row in braces; empty for our own.",
        )
    )
    to: Literal["both", "stdout", "live"] = Field(
        "both",
        description="stdout: the terminal or the log of the service; live: the view of `genba run "
        "--live` and of the browser; or both.",
    )
    rows_max: int = Field(
        100, ge=1, le=10_000, description="Lines of one write; what is more is counted in a line."
    )
    chars_max: int = Field(1_000, ge=20, le=100_000, description="Characters of a line.")


class ConsoleSink(Sink[ConsoleSinkConfig]):
    """Show samples, alarms and events in the terminal and in the live view, a line each.

    Pieces of an answer that is still being written (`chunks`) become one line that grows in the
    live view; the terminal gets it when it is whole. What comes from outside cannot steer the
    terminal: characters that are not to be seen are shown as spaces, and a line is one line.

    Delivery: latest; lines are for people who look, and none is kept for later.
    Back pressure: of a large message only the first `rows_max` rows are shown, the rest is
    counted. A terminal that does not take lines holds up nobody else.
    """

    Config = ConsoleSinkConfig
    delivery = "latest"
    inputs = (
        Port("in", "samples", "Samples to show."),
        Port("events", "events", "Events to show."),
        Port("alarms", "alarms", "Alarms to show."),
        Port("chunks", "events", "Pieces of answers of `llm.generate`; each answer is a line."),
    )
    examples = (
        Example("Have a look", {}),
        Example("What a model says", {"line": "{data.text}", "to": "stdout"}),
        Example("For another program", {"form": "json", "to": "stdout"}),
        Example("What a model is writing, in the browser", {"to": "live"}),
    )

    def __init__(self, config: ConsoleSinkConfig, ctx: Context) -> None:
        super().__init__(config, ctx)
        self._template = Template(config.line)
        self._growing: OrderedDict[str, str] = OrderedDict()

    async def write(self, message: Message, port: str) -> None:
        if port == "chunks":
            await self._write_chunks(message)
            return
        found = records(message, self.ctx)
        lines = [self._line(record) for record in found[: self.config.rows_max]]
        if len(found) > len(lines):
            lines.append(f"... and {len(found) - len(lines)} more rows")
        if self.config.to != "stdout":
            for line in lines:
                self.ctx.say("info", line)
        if self.config.to != "live":
            await asyncio.to_thread(self._put, lines)

    async def _write_chunks(self, message: Message) -> None:
        """Put pieces together; one of seq 0 begins its line anew."""
        whole: list[str] = []
        for record in records(message, self.ctx):
            data = record.data.get("data", {})
            key, text = str(data.get("id", "")), str(data.get("text", ""))
            before = self._growing.pop(key, "") if data.get("seq") else ""
            is_over = bool(data.get("last"))
            line = (before + text)[: self.config.chars_max + 1]  # One more shows that it is cut.
            if not is_over:
                self._growing[key] = line
                while len(self._growing) > GROWING_MAX:
                    self._growing.popitem(last=False)
            shown = self._clean(line) + (" [cut off]" if data.get("cut") else "")
            if self.config.to != "stdout":
                self.ctx.show(shown, key, is_over=is_over)
            if is_over:
                whole.append(shown)
        if whole and self.config.to != "live":
            await asyncio.to_thread(self._put, whole)

    def _line(self, record: Record) -> str:
        if self.config.form == "json":
            options = orjson.OPT_NON_STR_KEYS
            return orjson.dumps(record.data, default=str, option=options).decode()
        text = self._template.fill(record.data) if self._template.text else line_of(record)
        return self._clean(text)

    def _clean(self, text: str) -> str:
        text = "".join(c if c.isprintable() else " " for c in text)
        more = "..." if len(text) > self.config.chars_max else ""
        return text[: self.config.chars_max] + more

    def _put(self, lines: list[str]) -> None:
        out = sys.stdout
        try:
            for line in lines:
                out.write(
                    line.encode(out.encoding or "utf-8", "replace").decode(out.encoding) + "\n"
                )
            out.flush()
        except (OSError, ValueError) as error:
            raise Disconnected(f"The terminal is gone: {error}.") from error
