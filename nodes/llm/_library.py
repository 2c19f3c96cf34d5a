"""Library: the prompts of a node with their rules, and what an event would make of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from gateway import ConfigError, Event, Rejected
from nodes.llm._config import GenerateConfig
from nodes.llm._prompts import Prompt, PromptConfig
from nodes.llm._template import PromptError


def rows(config: GenerateConfig, folder: Path) -> Iterator[dict[str, Any]]:
    """Every prompt of a node, in the order in which they are tried.

    Args:
        config: Of the node.
        folder: Where texts are that stand in files.
    """
    for name, one in config.texts.items():
        named, problem = "", ""
        try:
            named = Prompt(name, one, folder).name
        except ConfigError as error:
            problem = str(error)
        yield {
            "prompt": name,
            "version": named.rpartition("@")[2],
            "when": one.when.model_dump(mode="json", exclude_defaults=True) if one.when else None,
            "system": one.system,
            "user": one.user,
            "file": one.file,
            "problem": problem,
        }


def preview(
    config: GenerateConfig, folder: Path, event: Event, values: Mapping[str, Any]
) -> dict[str, Any]:
    """What would be asked about an event: by which prompt, in which words.

    Args:
        config: Of the node.
        folder: As above.
        event: A sample.
        values: What the templates see of it, without params.

    Raises:
        Rejected: The prompt cannot be filled with it.
        ConfigError: A file is not there, or is no template.
    """
    for name, one in config.texts.items():
        prompt = Prompt(name, one, folder)
        if prompt.fits(event):
            return _filled(prompt, {**values, "params": config.params}, config.chars_max)
    return {"prompt": "", "messages": []}


def of_text(text: str, values: Mapping[str, Any], chars_max: int = 20_000) -> dict[str, Any]:
    """What a text by itself would make of an event; checks it as well.

    Raises:
        Rejected: It cannot be filled with it.
        ConfigError: It is no template.
    """
    return _filled(checked(text), values, chars_max)


def checked(text: str) -> Prompt:
    """A text as a prompt.

    Raises:
        ConfigError: It is no template.
    """
    try:
        return Prompt("text", PromptConfig.model_validate({"user": text}), Path())
    except ValidationError as error:
        said = "; ".join(one["msg"] for one in error.errors())
        raise ConfigError(said.removeprefix("Value error, ")) from error


def _filled(prompt: Prompt, values: Mapping[str, Any], chars_max: int) -> dict[str, Any]:
    try:
        question = prompt.ask(values, chars_max)
    except PromptError as error:
        raise Rejected(f"{prompt.name}: {error}") from error
    return {"prompt": question.prompt, "messages": [list(one) for one in question.messages]}


__all__ = ["checked", "of_text", "preview", "rows"]
