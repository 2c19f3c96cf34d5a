"""Tests of a flow with subflows: what they say of an instance, said of the nodes inside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from gateway.errors import ConfigError
from gateway.flow.document import Document
from gateway.flow.entries import Entry, FlowTest
from gateway.flow.junctions import End, Junctions
from gateway.flow.subflow import SEPARATOR, subflow_of


def inner_tests(
    document: Document, nodes: Mapping[str, Entry], junctions: Junctions
) -> tuple[FlowTest, ...]:
    """The tests of a flow over the nodes of the expanded one.

    Args:
        document: The flow as written.
        nodes: The expanded nodes.
        junctions: The ports of instances.

    Raises:
        ConfigError: An instance cannot take the options of a test.
    """

    def moved(texts: Mapping[str, str], *, is_given: bool) -> dict[str, str]:
        found: dict[str, str] = {}
        for end, text in texts.items():
            for inner in _inner_ends(document, junctions, end, is_given=is_given):
                found[inner] = text
        return found

    return tuple(
        replace(
            test,
            given=moved(test.given, is_given=True),
            expect=moved(test.expect, is_given=False),
            config=_inner_config(document, nodes, test),
        )
        for test in document.tests
    )


def _inner_ends(document: Document, junctions: Junctions, end: str, *, is_given: bool) -> list[str]:
    """The ports inside that a port of an instance means; anything else is left as it is."""
    node, _, wanted = end.partition(".")
    entry = document.nodes.get(node)
    if entry is None or subflow_of(entry.type) is None:
        return [end]
    ports = document.ports_of(node, "inputs" if is_given else "outputs") or ()
    port = next((port.name for port in ports if wanted in ("", port.name)), None)
    if port is None:
        return [end]
    at = End(node, port, is_junction=True)
    inner = junctions.targets(at) if is_given else junctions.sources(at)
    if not inner or (len(inner) > 1 and not is_given):
        return [end]  # Lint says that it means no single port.
    return [f"{one.node}.{one.port}" for one in inner]


def _inner_config(
    document: Document, nodes: Mapping[str, Entry], test: FlowTest
) -> Mapping[str, Mapping[str, Any]]:
    """Options of a test; parameters of an instance become the options that they change."""
    changed = {
        node: options
        for node, options in test.config.items()
        if node in document.nodes and subflow_of(document.nodes[node].type) is not None
    }
    if not changed:
        return test.config
    config = {node: options for node, options in test.config.items() if node not in changed}
    try:
        other = replace(document, tests=()).with_config(changed).expanded()
    except ConfigError as error:
        text = f"Test {test.title!r}: {error.text}"
        raise ConfigError(text, where=error.where, hint=error.hint) from error
    for node, entry in other.nodes.items():
        before = nodes[node].config
        found = {k: v for k, v in entry.config.items() if before.get(k) != v}
        if found and node.partition(SEPARATOR)[0] in changed:
            config[node] = {**found, **config.get(node, {})}
    return config


__all__ = ["inner_tests"]
