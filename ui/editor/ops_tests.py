"""Ops on the tests of a flow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from gateway.errors import ConfigError
from gateway.flow.entries import TEST_KEYS
from ui.editor.tree import Fields, Tree, free_key

Op = Mapping[str, Any]
TESTS_MAX: Final = 1_000
_TEXT_CHARS_MAX: Final = 200_000


def add(tree: Tree, op: Op) -> Tree:
    """A test more, at the end: ``test`` as the flow file has it."""
    said = op["test"]
    fields: Fields = {key: said[key] for key in TEST_KEYS if said.get(key)}
    title = str(fields.get("title", "")).strip()
    if not title or not isinstance(fields.get("given", {}), Mapping):
        raise ConfigError("A test has a title and says what comes in.")
    if len(tree["tests"]) >= TESTS_MAX or len(repr(fields)) > _TEXT_CHARS_MAX:
        raise ConfigError("This is too much for the tests of a flow.", hint="Take a shorter time.")
    return {**tree, "tests": {**tree["tests"], free_key(tree["tests"], title): fields}}


def delete(tree: Tree, op: Op) -> Tree:
    """A test goes, by its title."""
    title = str(op["title"])
    found = [key for key, test in tree["tests"].items() if test.get("title") == title]
    if not found:
        raise ConfigError("This test is not there any more.")
    return {**tree, "tests": {key: t for key, t in tree["tests"].items() if key != found[0]}}


__all__ = ["add", "delete"]
