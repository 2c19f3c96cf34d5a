"""YAML: what is written is read back to the same values, and surprises are refused."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway import ConfigError
from gateway.flow.yaml_read import END, read
from gateway.flow.yaml_write import WIDTH, write

AWKWARD = st.text(alphabet="ab1:-#{}[],'\"\n yno.0_+~|>%@&*!?eE\t\\/", max_size=10)
WORDS = st.sampled_from(["yes", "on", "1:30", "2026-01-01", "null", "~", "1e5", "0x1f", "a\nb\n"])
TEXT = st.text(max_size=12) | AWKWARD | WORDS
LEAF = st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.floats() | TEXT
VALUE = st.recursive(
    LEAF, lambda c: st.lists(c, max_size=4) | st.dictionaries(TEXT, c, max_size=4), max_leaves=12
)


@settings(max_examples=400, deadline=None, derandomize=True)
@given(st.dictionaries(TEXT, VALUE, max_size=4), st.dictionaries(TEXT, VALUE, max_size=3))
def test_round_trip(top: dict[str, Any], nodes: dict[str, Any]) -> None:
    value = {**top, "nodes": nodes, "wires": list(nodes.values())}
    text = write(value, sections=("nodes", "wires"))
    back = read(text, "f").value
    assert repr(back) == repr(value), text
    assert write(back, sections=("nodes", "wires")) == text


def test_words_stay_what_the_user_wrote() -> None:
    found = read("a: yes\nb: on\nc: 2026-11-20\nd: 1:30\ne: true\nf: 1_000\ng: 010\nh:", "f").value
    assert found == {
        "a": "yes",
        "b": "on",
        "c": "2026-11-20",
        "d": "1:30",
        "e": True,
        "f": "1_000",
        "g": 10,
        "h": None,
    }


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("a: 1\na: 2", 2, "there twice"),
        ("a: &x [1]\nb: *x", 1, "aliases"),
        ("a: 1\nb: *x", 2, "aliases"),
        ("a: !!python/object 1", 1, "tag"),
        ("a: !x {b: 1}", 1, "tag"),
        ("a: [", 1, "no YAML"),
        ("a:\n\tb: 1", 2, "Indent with spaces"),
        ("a: 1\n---\nb: 2", 2, "second document"),
        ("a: " + "[" * 50 + "]" * 50, 1, "deeper"),
        ("? [a]\n: 1", 1, "short text"),
        ("a: \x07", 1, "no YAML"),
    ],
)
def test_refused(text: str, line: int, says: str) -> None:
    with pytest.raises(ConfigError) as error:
        read(text, "press.yaml")
    assert says in str(error.value)
    assert error.value.where.startswith("press.yaml"), error.value.where
    if "\x07" not in text:
        assert error.value.where.startswith(f"press.yaml:{line}"), error.value.where


def test_a_bomb_is_refused_before_it_grows() -> None:
    bomb = "a: &a [x]\n" + "".join(
        f"{c}: &{c} [*{p},*{p}]\n" for p, c in zip("abc", "bcd", strict=True)
    )
    with pytest.raises(ConfigError, match="aliases"):
        read(bomb, "f")
    with pytest.raises(ConfigError, match="flow_bytes_max"):
        read("a" * 3_000_000, "f")


def test_comments_find_their_entry() -> None:
    text = (
        "# top\nflow: a # behind\nnodes:\n  # above x\n  x: 1\n"
        "  y:\n    # inside y\n    z: 1\n# end\n"
    )
    parsed = read(text, "f")
    assert parsed.comments == {
        ("flow",): ["# top", "# behind"],
        ("nodes", "x"): ["# above x"],
        ("nodes", "y"): ["# inside y"],
        END: ["# end"],
    }


def test_long_values_get_a_line_an_entry() -> None:
    text = write({"nodes": {"a": {"type": "x.y", "tags": {f"tag{i}": i for i in range(30)}}}})
    assert all(len(line) <= WIDTH for line in text.splitlines())
    assert read(text, "f").value["nodes"]["a"]["tags"]["tag29"] == 29
