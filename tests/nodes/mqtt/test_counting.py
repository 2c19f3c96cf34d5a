"""More publishers than are remembered: that is said once, and counted."""

from __future__ import annotations

from collections import Counter
from typing import Any

from gateway import TagTable
from nodes.mqtt._sequence import PUBLISHERS_MAX, Counting


class Ear:
    """The parts of a context that are used, with what was said."""

    node_id = "src"

    def __init__(self) -> None:
        self.tags = TagTable(10)
        self.said: list[str] = []
        self.counts: Counter[str] = Counter()

    def say(self, level: str, text: str) -> None:
        self.said.append(f"{level}: {text}")

    def count(self, name: str, n: int = 1) -> None:
        self.counts[name] += n


def test_publishers_beyond_the_limit_are_told_of() -> None:
    ear: Any = Ear()
    counting = Counting(ear, ear, None)
    for i in range(PUBLISHERS_MAX):
        assert not counting.is_again(f"press{i}", 1, i, [])
    assert counting.is_again("press0", 1, 5, []), "all of them are known"
    assert ear.said == []
    for i in range(3):
        assert not counting.is_again(f"pump{i}", 1, i, [])
    (said,) = ear.said
    assert said.startswith("warning: More than 1,000 publishers")
    assert ear.counts["publishers_forgotten"] == 3
    assert not counting.is_again("press1", 1, 5, []), "this one was forgotten"
