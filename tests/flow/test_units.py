"""UCUM codes: known, comparable, equal, converted."""

from __future__ import annotations

import numpy as np
import pytest

from gateway.flow import units


@pytest.mark.parametrize("code", sorted(units._ATOMS))
def test_every_atom_is_a_unit(code: str) -> None:
    assert units.known(code)
    assert units.comparable(code, code)


@pytest.mark.parametrize(
    ("left", "right", "factor"),
    [
        ("bar", "kPa", 100),
        ("mm/s", "m/s", 0.001),
        ("m3/h", "L/min", 1000 / 60),
        ("kW.h", "J", 3.6e6),
        ("{parts}/min", "/s", 1 / 60),
        ("[psi]", "kPa", 6.894757),
        ("m/s2", "[g]", 1 / 9.80665),
        ("%", "1", 0.01),
        ("uS/cm", "mS/m", 0.1),
    ],
)
def test_conversion(left: str, right: str, factor: float) -> None:
    assert units.convert(1.0, left, right) == pytest.approx(factor)
    assert units.comparable(left, right)
    assert not units.same(left, right)


def test_offsets_and_arrays() -> None:
    found = units.convert(np.array([0.0, 100.0]), "Cel", "[degF]")
    np.testing.assert_allclose(found, [32, 212])
    assert units.same("L", "l")


def test_nonsense() -> None:
    assert not units.known("furlong")
    assert not units.known("m^2")
    assert not units.comparable("bar", "Cel")
    assert units.comparable("furlong", "furlong")
    with pytest.raises(ValueError, match="cannot be converted"):
        units.convert(1.0, "bar", "Cel")
