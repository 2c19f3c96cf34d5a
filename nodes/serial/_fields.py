"""Fields: the numbers in one line of text. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from gateway import quality

_NUMBER: Final = re.compile(r"\s*([-+]?)\s*(\d+\.?\d*(?:[eE][-+]?\d+)?|\.\d+)\s*(\S*)\s*\Z")


@dataclass(frozen=True, slots=True)
class FieldRule:
    """How one field becomes a value.

    Args:
        name: The named group of the pattern, or the number of the column from 1.
        unit: The unit of the value; a number followed by another unit is Bad.
        units: Factors by the unit that stands behind the number, such as ``{"g": 0.001}``.
        words: Values of words, such as ``{"ON": 1}``.
        scale: value = number * scale + offset.
        offset: See `scale`.
        decimal: The decimal mark.
    """

    name: str
    unit: str = ""
    units: Mapping[str, float] = field(default_factory=dict)
    words: Mapping[str, float] = field(default_factory=dict)
    scale: float = 1.0
    offset: float = 0.0
    decimal: str = "."

    def value(self, text: str) -> tuple[float, int]:
        """(value, quality) of a field's text.

        >>> FieldRule("w", unit="kg", units={"g": 0.001}).value("+ 1500 g")
        (1.5, 0)
        >>> rule = FieldRule("w", unit="kg", words={"OFF": 0})
        >>> rule.value("12.5kg"), rule.value("off"), hex(rule.value("12.5 lb")[1])
        ((12.5, 0), (0.0, 0), '0x80070000')
        """
        word = text.strip()
        for known, number in self.words.items():
            if word.lower() == known.lower():
                return float(number), quality.GOOD
        found = _NUMBER.match(text if self.decimal == "." else text.replace(self.decimal, "."))
        if found is None:
            return float("nan"), quality.BAD_DECODING
        sign, digits, unit = found.groups()
        factor = 1.0
        if unit in self.units:
            factor = self.units[unit]
        elif unit and (self.units or self.unit) and unit != self.unit:
            return float("nan"), quality.BAD_DECODING
        number = float(sign + digits) * factor
        return number * self.scale + self.offset, quality.GOOD


class Lines:
    """Takes the fields out of a line.

    Args:
        pattern: A regular expression with named groups, found anywhere in the line; or None.
        separator: What stands between columns where there is no pattern; None is white space.
        rules: The fields by tag.
    """

    def __init__(
        self, pattern: str | None, separator: str | None, rules: Mapping[str, FieldRule]
    ) -> None:
        self._pattern = None if pattern is None else re.compile(pattern)
        self._separator = separator
        self._rules = rules

    def read(self, line: str) -> dict[str, tuple[float, int]]:
        """(value, quality) by tag; empty when the line is not of this kind.

        >>> rules = {"scale/weight": FieldRule("2")}
        >>> Lines(None, ",", rules).read("ST, 12.5"), Lines(None, ",", rules).read("hello")
        ({'scale/weight': (12.5, 0)}, {})
        """
        if self._pattern is not None:
            match = self._pattern.search(line)
            fields = {} if match is None else match.groupdict()
        else:
            fields = {str(i): text for i, text in enumerate(line.split(self._separator), 1)}
        found = {}
        for tag, rule in self._rules.items():
            text = fields.get(rule.name)
            if text is not None:
                found[tag] = rule.value(text)
        return found
