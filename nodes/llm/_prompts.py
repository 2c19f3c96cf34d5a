"""Prompts: which text is asked for which event, and the messages that are made of it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import Field, StringConstraints, model_validator

from gateway import Config, ConfigError, Event
from nodes._events import Rule, RuleConfig
from nodes.llm._template import TEXT_CHARS_MAX, PromptError, PromptTemplate, version_of

KNOWN: Final = frozenset(("topic", "id", "time", "data", "params"))
FOLDER: Final = "prompts"
PromptName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][\w-]{0,63}$")]
Text = Annotated[str, StringConstraints(max_length=TEXT_CHARS_MAX)]
Role = Literal["system", "user"]


class PromptConfig(Config):
    """A prompt, and the events it is for."""

    when: RuleConfig | None = Field(
        None,
        description="Which events it is for, as in `event.filter`; without a rule for all that "
        "no prompt before it takes.",
    )
    system: Text = Field(
        "",
        examples=["You sort log lines of a web shop."],
        description="What the model is told first; empty takes that of the node.",
    )
    user: Text = Field(
        "",
        examples=["Line: {{ data.text | truncate(500) }}"],
        description="The question, a template as `prompt` of the node.",
    )
    file: Annotated[str, StringConstraints(pattern=r"^([A-Za-z0-9][\w-]{0,63})?$")] = Field(
        "",
        description="Instead of `user`: the name of a text in the gateway's folder `prompts/`, "
        "whose file ends in .jinja.",
    )

    @model_validator(mode="after")
    def _can_be_filled(self) -> PromptConfig:
        if bool(self.user) == bool(self.file):
            raise ValueError("Give either `user` (the text) or `file` (the name of one).")
        for text in (self.system, self.user):
            PromptTemplate(text, KNOWN)
        return self


@dataclass(frozen=True, slots=True)
class Question:
    """What a model is asked about one event.

    Args:
        prompt: Name and version of the prompt, such as ``triage@3f2a91c0``.
        messages: Pairs of role and text.
    """

    prompt: str
    messages: tuple[tuple[Role, str], ...]


class Prompt:
    """One prompt, ready to be filled.

    Args:
        name: Its name.
        config: Its texts and its rule.
        folder: Where texts are that stand in files.

    Raises:
        ConfigError: Its file is not there, or cannot be used.
    """

    def __init__(self, name: str, config: PromptConfig, folder: Path) -> None:
        self._called, self._system = name, config.system
        self._path = folder / f"{config.file}.jinja" if config.file else None
        self._stamp = _stamp(self._path)
        self._rule = Rule(config.when) if config.when is not None else None
        try:
            self._take(config.user if self._path is None else _read(self._path))
        except PromptError as error:
            raise ConfigError(f"prompts/{config.file}.jinja: {error}") from error

    def _take(self, user: str) -> None:
        texts: list[tuple[Role, str]] = [("system", self._system), ("user", user)]
        self._texts = [(role, PromptTemplate(text, KNOWN)) for role, text in texts]
        self.name = f"{self._called}@{version_of(self._system, user)}"

    def _refresh(self) -> None:
        """Take the text that stands in the file by now; while it cannot be used, the last one."""
        if (stamp := _stamp(self._path)) == self._stamp:
            return
        self._stamp = stamp
        with suppress(ConfigError, PromptError):
            assert self._path is not None
            self._take(_read(self._path))

    def fits(self, event: Event) -> bool:
        """Whether it is for an event."""
        return self._rule is None or self._rule.fits((event,))[0]

    def ask(self, values: Mapping[str, Any], chars_max: int) -> Question:
        """The question about an event of these values.

        Raises:
            PromptError: Something that it asks for is not there, or it is too long.
        """
        self._refresh()
        found = [(role, text.fill(values, chars_max)) for role, text in self._texts]
        return Question(self.name, tuple((role, text) for role, text in found if text.strip()))


def _stamp(path: Path | None) -> tuple[int, int, int]:
    """Which state of a file this is."""
    if path is None:
        return (0, 0, 0)
    try:
        found = path.stat()
    except OSError:
        return (0, 0, 0)
    return (found.st_mtime_ns, found.st_size, found.st_ino)


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"The prompt {path.name} cannot be read: {error}.",
            hint=f"Put the text there, in UTF-8: {path}",
        ) from error


__all__ = ["FOLDER", "KNOWN", "Prompt", "PromptConfig", "PromptName", "Question", "Text"]
