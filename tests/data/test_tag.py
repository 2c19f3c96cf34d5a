"""The tag table: who finds a place when there are more names than places."""

from __future__ import annotations

import pytest

from gateway.data.tag import Tag, TagTable
from gateway.errors import LimitError


def test_names_of_strangers_leave_the_reserve_to_derived_tags() -> None:
    tags = TagTable(10, reserve=3)
    for i in range(7):
        tags.code(f"made/up/{i}")
    assert tags.is_full
    with pytest.raises(LimitError, match=r"made/up/7.*tags_max is 10"):
        tags.code("made/up/7")
    assert tags.code("made/up/3") == 3, "a tag that is known needs no place"
    assert tags.derive(0, "mean") == 7
    assert tags.add(Tag("made/up/1#score")) == 8
    assert tags.derive(2, "mean") == 9
    with pytest.raises(LimitError):
        tags.derive(3, "mean")


def test_derived_tags_may_take_more_than_the_reserve() -> None:
    tags = TagTable(10, reserve=3)
    for i in range(4):
        tags.derive(tags.code(f"t{i}"), "mean")
    assert not tags.is_full
    tags.code("t4")
    tags.code("t5")
    assert len(tags) == 10
    assert tags.is_full
    with pytest.raises(LimitError):
        tags.code("t6")


def test_a_stored_table_is_read_also_when_it_has_no_reserve_left() -> None:
    old = TagTable(10)
    for i in range(9):
        old.code(f"t{i}")
    tags = TagTable(10, reserve=3)
    tags.load(old.dump())
    assert tags.names() == old.names()
    with pytest.raises(LimitError):
        tags.code("t9")
    assert tags.derive(0, "mean") == 9
