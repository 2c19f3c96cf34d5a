"""How a flow writes the values of a device: shared by source and sink."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from pydantic import Field, field_validator, model_validator

from gateway import Config, PositiveSeconds
from nodes._setpoints import Greatest, Least
from nodes.modbus._planner import Span
from nodes.modbus._registers import (
    ORDERS,
    Address,
    Order,
    Point,
    parse_address,
    width_of,
)

_RANGE: Final = re.compile(r"([^-\s]+)(?:\s*-\s*([^-\s]+))?\Z")


class PointConfig(Config):
    """Where a value is and how it is written there."""

    address: str = Field(
        examples=["40001", "holding:0", "input:12", "coil:3", "discrete:7", "holding:4.3"],
        description="A reference number as in the manual, or a table and the address on the wire.",
    )
    type: str | None = Field(
        None,
        examples=["int16", "uint32", "float32", "bool", "string(16)"],
        description="bool, int16 to uint64, float32, float64 or string(bytes); else by address.",
    )
    order: Order | None = Field(
        None, description="Byte order; ABCD is most significant first; else that of the node."
    )
    scale: float = Field(1.0, description="Value = number on the wire * scale + offset.")
    offset: float = Field(0.0, description="Added after scaling, in the tag's unit.")

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, given: Any) -> Any:
        """``"holding:0 float32 CDAB scale=0.1"`` or a bare reference number is enough."""
        return compact(given) if isinstance(given, str | int) else given

    @field_validator("address", mode="before")
    @classmethod
    def _is_address(cls, given: Any) -> str:
        parse_address(given, 0)
        return str(given)

    @field_validator("type")
    @classmethod
    def _is_type(cls, kind: str | None) -> str | None:
        if kind is not None:
            width_of(kind)
        return kind

    @field_validator("scale")
    @classmethod
    def _is_scale(cls, scale: float) -> float:
        if scale == 0:
            raise ValueError("scale must not be 0.")
        return scale

    @model_validator(mode="after")
    def _fits(self) -> PointConfig:
        address = parse_address(self.address, 0)
        kind = self.type or default_type(address)
        if (address.space in ("coil", "discrete") or address.bit is not None) and kind != "bool":
            raise ValueError(f"{self.address} is one bit: its type is bool, not {kind}.")
        if kind.startswith("string") and (self.scale != 1 or self.offset != 0):
            raise ValueError("A string has no scale and no offset.")
        return self

    def point(self, name: str, base: int, unit: int, order: Order) -> Point:
        """The value as the decoder wants it; the address wins over the defaults of the node."""
        address = parse_address(self.address, base)
        kind = self.type or default_type(address)
        bit = address.bit
        if kind == "bool" and bit is None and address.space in ("holding", "input"):
            bit = 0
        return Point(
            name,
            address.space,
            address.offset,
            kind,
            address.order or self.order or order,
            bit,
            self.scale,
            self.offset,
            unit if address.device is None else address.device,
        )


class ReadTag(PointConfig):
    """One value to read."""

    unit: str = Field("", examples=["Cel", "bar"], description="UCUM unit of the value.")
    low: float | None = Field(None, description="Lower end of the expected range.")
    high: float | None = Field(None, description="Upper end of the expected range.")
    about: str = Field("", description="One sentence for people.")
    scan_s: PositiveSeconds | None = Field(
        None, description="Time between two scans of this tag; else that of the node."
    )

    def range(self) -> tuple[float, float]:
        """(low, high), NaN where it is not known."""
        return (
            math.nan if self.low is None else self.low,
            math.nan if self.high is None else self.high,
        )


class WriteTag(PointConfig):
    """One value to write."""

    min: Least = None
    max: Greatest = None

    @property
    def is_bit(self) -> bool:
        """Whether it is 0 or 1 by itself."""
        return (self.type or default_type(parse_address(self.address, 0))) == "bool"

    @model_validator(mode="after")
    def _can_be_written(self) -> WriteTag:
        address = parse_address(self.address, 0)
        if address.space not in ("coil", "holding"):
            raise ValueError(f"{self.address} cannot be written: only coils and holding registers.")
        if (self.type or "").startswith("string"):
            raise ValueError("Strings cannot be written: samples are numbers.")
        return self


def default_type(address: Address) -> str:
    """bool for bits, else uint16."""
    is_bit = address.space in ("coil", "discrete") or address.bit is not None
    return "bool" if is_bit else "uint16"


def compact(given: str | int) -> dict[str, Any]:
    """The fields behind the short form of a tag.

    Raises:
        ValueError: A word is not understood.

    >>> compact("holding:0 float32 CDAB unit=bar")
    {'address': 'holding:0', 'type': 'float32', 'order': 'CDAB', 'unit': 'bar'}
    """
    address, *words = str(given).split() or [""]
    fields: dict[str, Any] = {"address": address}
    for word in words:
        key, is_pair, value = word.partition("=")
        if is_pair:
            fields[key] = value
        elif word.upper() in ORDERS:
            fields["order"] = word.upper()
        else:
            width_of(word)
            fields["type"] = word
    return fields


def points_of(
    tags: Mapping[str, PointConfig], base: int, unit: int, order: Order
) -> dict[str, Point]:
    """All values by tag. Raises ValueError when one does not fit."""
    return {name: tag.point(name, base, unit, order) for name, tag in tags.items()}


def spans_of(texts: Sequence[str], base: int) -> list[Span]:
    """The address ranges behind ``holding:100-199``, ``40101-40200`` or ``coil:7``.

    >>> spans_of(["holding:100-199", "40001-40002"], 1)[1]
    Span(space='holding', first=0, last=1)
    """
    spans = []
    for text in texts:
        found = _RANGE.match(text.strip())
        if found is None:
            raise ValueError(f"{text!r} is no range. Write holding:100-199 or 40101-40200.")
        first = parse_address(found[1], base)
        last = found[2] or found[1]
        if ":" in found[1] and last.isdigit():
            last = f"{first.space}:{last}"
        end = parse_address(last, base)
        if end.space != first.space or end.offset < first.offset:
            raise ValueError(f"{text!r} is no range: its end lies before its start.")
        spans.append(Span(first.space, first.offset, end.offset))
    return spans
