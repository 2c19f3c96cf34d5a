"""The registry: a node's type name is its module path, so nothing is ever registered.

``filter.deadband`` is the one public node class of ``nodes/filter/deadband.py``. Modules whose
name begins with an underscore are helpers. Nodes are named by string here, so that the core
does not import them.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

from gateway.errors import ConfigError
from gateway.flow.node import Node

_NAME = re.compile(r"[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*\Z")
MOVED: dict[str, str] = {}
"""Old type names and what they are called now; lint warns and the document loads."""


LENT: dict[str, type[Node[Any]]] = {}
"""Nodes that stand in no folder, by type name: those of the simulation, while it runs."""


def node_class(name: str) -> type[Node[Any]]:
    """The class behind a type name.

    Raises:
        ConfigError: There is no such node; the hint names those that are near.
    """
    name = MOVED.get(name, name)
    return LENT.get(name) or _class_in_folder(name)


@cache
def _class_in_folder(name: str) -> type[Node[Any]]:
    if not _NAME.match(name):
        raise ConfigError(
            f"{name!r} is no node type.", hint="Write family.node, like filter.deadband."
        )
    path = f"nodes.{name}"
    try:
        module = importlib.import_module(path)
    except ModuleNotFoundError as error:
        if error.name is None or not (path + ".").startswith(error.name + "."):
            raise
        raise ConfigError(f"There is no node {name!r}.", hint=_near(name)) from error
    found = [
        value
        for _, value in inspect.getmembers(module, inspect.isclass)
        if issubclass(value, Node)
        and value.__module__ == path
        and not value.__name__.startswith("_")
    ]
    assert len(found) == 1, f"{path} must hold exactly one public node class, not {len(found)}"
    return found[0]


def names() -> list[str]:
    """All type names, sorted; found by looking at the folders, importing nothing but families."""
    root = importlib.import_module("nodes")
    found = []
    for family in pkgutil.iter_modules(root.__path__):
        if not family.ispkg or family.name.startswith("_"):
            continue
        package = importlib.import_module(f"nodes.{family.name}")
        found += [
            f"{family.name}.{module.name}"
            for module in pkgutil.iter_modules(package.__path__)
            if not module.name.startswith("_")
        ]
    return sorted(found)


def node_classes() -> Iterator[tuple[str, type[Node[Any]]]]:
    """Every node with its type name, sorted by name."""
    for name in names():
        yield name, node_class(name)


def _near(name: str) -> str:
    import difflib

    near = difflib.get_close_matches(name, names(), n=3, cutoff=0.5)
    return f"Did you mean {' or '.join(near)}?" if near else "`genba nodes` lists all there are."
