"""Every law for every node, with every example as a config. See tests/contract/laws.py."""

from __future__ import annotations

import os
from typing import Any

import pytest

from gateway import Node
from gateway.flow import registry
from tests.contract import laws, words
from tests.contract.scripts import script

SCRIPTS = int(os.environ.get("GENBA_CONTRACT_SCRIPTS", "6"))
"""How many scripts each law runs; more of them find rarer bugs (try 100 over night)."""

EXEMPT: dict[tuple[str, str, str], str] = {
    **{
        ("test.fault", law, "*"): "It raises on purpose: that is its use in tests."
        for law in laws.LAWS
    },
    (
        "window.count",
        "tags_do_not_disturb",
        "With no room a sample ends the window of its tag early",
    ): "Its limit `rows_max` is one for all tags, so at the limit they do take each other's room.",
}
"""(node, law, title of an example or *) with the reason why the law cannot hold for it."""


def _classes() -> dict[str, type[Node[Any]] | Exception]:
    """Every node; one that cannot be imported fails its own test, not the collection."""
    found: dict[str, type[Node[Any]] | Exception] = {}
    for name in registry.names():
        try:
            found[name] = registry.node_class(name)
        except Exception as error:
            found[name] = error
    return found


NODES = _classes()
GOOD = {name: cls for name, cls in NODES.items() if isinstance(cls, type)}
EXAMPLES = [(name, i) for name, cls in GOOD.items() for i in range(len(cls.examples))]
COMPUTED = [(name, i) for name, i in EXAMPLES if GOOD[name].kind == "transform"]


def test_there_are_nodes() -> None:
    assert "filter.deadband" in GOOD
    assert COMPUTED


@pytest.mark.parametrize("name", NODES)
def test_it_is_a_node_that_explains_itself(name: str) -> None:
    cls = NODES[name]
    if isinstance(cls, Exception):
        raise cls
    words.of_one_kind(cls)
    words.explained(cls)


@pytest.mark.parametrize(("name", "index"), EXAMPLES)
def test_config_round_trips(name: str, index: int) -> None:
    words.config_round_trips(name, GOOD[name], index)


@pytest.mark.parametrize(("name", "index"), COMPUTED)
def test_examples_hold(name: str, index: int) -> None:
    laws.examples_hold(GOOD[name], index)


@pytest.mark.parametrize("law", laws.LAWS)
@pytest.mark.parametrize(("name", "index"), COMPUTED)
def test_law(name: str, index: int, law: str) -> None:
    if {(name, law, "*"), (name, law, GOOD[name].examples[index].title)} & EXEMPT.keys():
        return
    for seed in range(SCRIPTS):
        laws.LAWS[law](GOOD[name], index, script(GOOD[name], index, seed))


@pytest.mark.parametrize(("name", "law", "title"), EXEMPT)
def test_exemptions_are_of_something_and_have_a_reason(name: str, law: str, title: str) -> None:
    assert law in laws.LAWS
    assert title == "*" or title in [example.title for example in GOOD[name].examples]
    assert len(EXEMPT[name, law, title]) > 20
