"""The protocol of OpenAI's chat completions: what is sent, and what its answers mean.

Only what servers have in common is used: no `n`, no `logprobs`, no `logit_bias`, and one field
for the longest answer, chosen for each server.

Source: OpenAI API reference, chat completions; WHATWG HTML, 9.2 (server-sent events);
llama.cpp, tools/server/README.md.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from gateway.errors import Disconnected, Rejected
from gateway.flow.generate import Ask
from gateway.flow.models import ServerModel

EVENT_BYTES_MAX: Final = 1024 * 1024
ANSWER_CHARS_MAX: Final = 256 * 1024


def request(model: ServerModel, ask: Ask, more: tuple[tuple[str, str], ...] = ()) -> dict[str, Any]:
    """The body of a question.

    Args:
        model: The server.
        ask: The question.
        more: Messages behind those of the question.
    """
    messages = [{"role": role, "content": text} for role, text in (*ask.messages, *more)]
    body: dict[str, Any] = {
        "model": model.model,
        "messages": messages,
        "temperature": ask.temperature,
        model.tokens_field: ask.tokens_max,
        "stream": model.is_streaming,
    }
    if model.takes_seed:
        body["seed"] = ask.seed
    if model.is_streaming and model.tells_usage:
        body["stream_options"] = {"include_usage": True}
    if ask.schema is None:
        return body
    if model.form == "json_schema":
        form = {"name": "answer", "strict": True, "schema": ask.schema}
        body["response_format"] = {"type": "json_schema", "json_schema": form}
        return body
    if model.form == "json_object":
        body["response_format"] = {"type": "json_object"}
    schema = json.dumps(ask.schema, ensure_ascii=False)
    wish = f"Answer with JSON that fits this schema, and with nothing else:\n{schema}"
    if messages and messages[0]["role"] == "system":
        messages[0] = {"role": "system", "content": f"{messages[0]['content']}\n\n{wish}"}
    else:
        messages.insert(0, {"role": "system", "content": wish})
    return body


@dataclass(slots=True)
class Heard:
    """An answer as it comes in.

    Args:
        on_piece: Told each piece.
        where: The server, for people.
    """

    on_piece: Callable[[str], None]
    where: str
    parts: list[str] = field(default_factory=list)
    tokens_in: int = 0
    tokens_out: int = 0
    finish: str = ""
    is_whole: bool = False
    _chars: int = 0

    @property
    def text(self) -> str:
        """All pieces together."""
        return "".join(self.parts)

    def event(self, data: str) -> None:
        """Take the data of one server-sent event.

        Raises:
            Disconnected: The server says that something went wrong, or nothing that is known.
            Rejected: It withholds the answer.
        """
        if data.strip() == "[DONE]":
            self.is_whole = True
            return
        self._take(self._value(data), "delta")

    def whole(self, data: bytes) -> None:
        """Take an answer that came in one piece; errors as in `event`."""
        self._take(self._value(data), "message")
        self.is_whole = True

    def _value(self, data: str | bytes) -> dict[str, Any]:
        try:
            value = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise Disconnected(f"{self.where} sent something that is no JSON.") from error
        if not isinstance(value, dict):
            raise Disconnected(f"{self.where} sent JSON that is no object.")
        if value.get("error"):
            raise Disconnected(f"{self.where} broke off: {said(value)}")
        return value

    def _take(self, value: dict[str, Any], key: str) -> None:
        usage = value.get("usage")
        if isinstance(usage, dict):
            self.tokens_in = _count(usage.get("prompt_tokens")) or self.tokens_in
            self.tokens_out = _count(usage.get("completion_tokens")) or self.tokens_out
        choices = value.get("choices")
        first = choices[0] if isinstance(choices, list) and choices else {}
        if not isinstance(first, dict):
            raise Disconnected(f"{self.where} sent an answer of another form.")
        message = first.get(key)
        text = message.get("content") if isinstance(message, dict) else None
        if key == "message" and not isinstance(text, str):
            raise Disconnected(f"{self.where} sent an answer without a text.")
        if isinstance(text, str) and text:
            self._chars += len(text)
            if self._chars > ANSWER_CHARS_MAX:
                raise Rejected(f"{self.where} answers without an end.")
            self.parts.append(text)
            self.on_piece(text)
        self.finish = str(first.get("finish_reason") or self.finish)
        if self.finish == "content_filter":
            raise Rejected(f"{self.where} withholds the answer (content_filter).")


class Events:
    """Server-sent events out of bytes, however they are cut."""

    def __init__(self, where: str) -> None:
        self._where = where
        self._rest = b""
        self._data: list[str] = []

    def feed(self, part: bytes) -> list[str]:
        """The data of the events that are whole with this part.

        Raises:
            Disconnected: One is larger than any we know.
        """
        found = []
        self._rest += part
        *lines, self._rest = self._rest.split(b"\n")
        if len(self._rest) + sum(map(len, self._data)) > EVENT_BYTES_MAX:
            raise Disconnected(f"{self._where} sends a line of more than {EVENT_BYTES_MAX} bytes.")
        for raw in lines:
            line = raw.removesuffix(b"\r").decode("utf-8", "replace")
            if line.startswith("data:"):
                self._data.append(line[5:].removeprefix(" "))
            elif not line and self._data:
                found.append("\n".join(self._data))
                self._data = []
        return found

    def rest(self) -> list[str]:
        """What stands at the end without an empty line behind it."""
        return self.feed(b"\n\n")


def said(value: Any) -> str:
    """A server's own words about an error, on one line and bounded."""
    error = value.get("error", value) if isinstance(value, dict) else value
    text = error.get("message", error) if isinstance(error, dict) else error
    return " ".join("".join(c if c.isprintable() else " " for c in str(text)).split())[:200]


def _count(value: Any) -> int:
    return value if isinstance(value, int) and 0 <= value < 10**9 else 0


__all__ = ["Events", "Heard", "request", "said"]
