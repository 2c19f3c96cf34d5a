"""Whether a new model takes the place of the one that ships: decided by figures, not by date."""

from __future__ import annotations

from typing import Any

import pytest

from models.explainer.training import ship


def _found(valid: float, digits: int = 0, cut_off: int = 0, ja: float | None = None) -> Any:
    cell = {"valid": valid, "texts with a digit": digits}
    other = cell | {"valid": valid if ja is None else ja}
    part = {"model en": cell, "model ja": other}
    return {"test": part, "kept": part, "cut off": cut_off}


def test_a_better_one_ships() -> None:
    assert not ship.reasons(_found(0.92), _found(0.90))


def test_where_the_words_changed_the_old_one_is_of_no_use() -> None:
    assert not ship.reasons(_found(0.3), None)


@pytest.mark.parametrize(
    ("new", "said"),
    [
        (_found(0.90), "valid"),
        (_found(0.99, digits=1), "digit"),
        (_found(0.99, cut_off=2), "no end"),
        (_found(1.0, ja=0.85), "model ja"),
    ],
)
def test_one_that_is_as_good_or_worse_somewhere_does_not(new: Any, said: str) -> None:
    assert any(said in reason for reason in ship.reasons(new, _found(0.90)))
