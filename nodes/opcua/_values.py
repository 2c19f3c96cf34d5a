"""Numbers to the types servers want, and JSON to the arguments of methods."""

from __future__ import annotations

import math
from typing import Any, Final

from nodes.opcua._ua import DataValue, Variant, VariantType, ua

_INTEGERS: Final = {
    ua.VariantType.SByte: (-(2**7), 2**7 - 1),
    ua.VariantType.Byte: (0, 2**8 - 1),
    ua.VariantType.Int16: (-(2**15), 2**15 - 1),
    ua.VariantType.UInt16: (0, 2**16 - 1),
    ua.VariantType.Int32: (-(2**31), 2**31 - 1),
    ua.VariantType.UInt32: (0, 2**32 - 1),
    ua.VariantType.Int64: (-(2**63), 2**63 - 1),
    ua.VariantType.UInt64: (0, 2**64 - 1),
}
_FLOAT_MAX: Final = 3.4028234663852886e38  # IEC 60559 single precision.
_BUILT_IN_MAX: Final = 25  # Built-in types have these ids: OPC 10000-6 v1.05, 5.1.2.
_ABSTRACT: Final = {
    ua.ObjectIds.Number: ua.VariantType.Double,
    ua.ObjectIds.Integer: ua.VariantType.Int64,
    ua.ObjectIds.UInteger: ua.VariantType.UInt64,
    ua.ObjectIds.Enumeration: ua.VariantType.Int32,
    ua.ObjectIds.Duration: ua.VariantType.Double,
    ua.ObjectIds.UtcTime: ua.VariantType.DateTime,
    ua.ObjectIds.LocaleId: ua.VariantType.String,
}


def type_of(value: DataValue, datatype: Any) -> VariantType | None:
    """What a variable wants: the type of what it holds, else of its DataType; None if unknown."""
    held = value.Value
    if held is not None and held.Value is not None and isinstance(held.VariantType, ua.VariantType):
        return None if held.is_array else held.VariantType
    return built_in(datatype)


def built_in(datatype: Any) -> VariantType | None:
    """The built-in type behind a DataType's node, None if it is a structure."""
    if not isinstance(datatype, ua.NodeId) or datatype.NamespaceIndex != 0:
        return None
    number = datatype.Identifier
    if number in _ABSTRACT:
        return _ABSTRACT[number]
    return ua.VariantType(number) if 0 < number <= _BUILT_IN_MAX else None


def to_variant(number: float, kind: VariantType) -> Variant:
    """A number as a server wants it; a fraction is rounded to the nearest integer.

    Raises:
        ValueError: It does not fit, in words that follow "The value".
    """
    if not math.isfinite(number):
        raise ValueError("is no number")
    if kind is ua.VariantType.Boolean:
        if number not in (0.0, 1.0):
            raise ValueError(f"{number:g} is neither 0 nor 1")
        return ua.Variant(bool(number), kind)
    if kind in _INTEGERS:
        low, high = _INTEGERS[kind]
        whole = round(number)
        if not low <= whole <= high:
            raise ValueError(f"{number:g} does not fit {kind.name} ({low} to {high})")
        return ua.Variant(whole, kind)
    if kind is ua.VariantType.Float and abs(number) > _FLOAT_MAX:
        raise ValueError(f"{number:g} does not fit Float")
    if kind in (ua.VariantType.Float, ua.VariantType.Double):
        return ua.Variant(float(number), kind)
    if kind is ua.VariantType.String:
        return ua.Variant(f"{number:.15g}", kind)
    raise ValueError(f"cannot be written as {kind.name}")


def argument(value: Any, kind: VariantType | None, is_array: bool) -> Variant:
    """A JSON value as a method's argument.

    Raises:
        ValueError: It does not fit the argument's type.
    """
    if kind is None:
        raise ValueError("is of a structured type, which cannot be sent")
    if is_array:
        if not isinstance(value, list):
            raise ValueError("must be a list")
        return ua.Variant([argument(item, kind, False).Value for item in value], kind)
    if isinstance(value, bool | int | float):
        if kind in _INTEGERS and isinstance(value, int):
            low, high = _INTEGERS[kind]
            if not low <= value <= high:
                raise ValueError(f"{value} does not fit {kind.name} ({low} to {high})")
            return ua.Variant(int(value), kind)
        return to_variant(float(value), kind)
    if isinstance(value, str):
        if kind is ua.VariantType.String:
            return ua.Variant(value, kind)
        if kind is ua.VariantType.LocalizedText:
            return ua.Variant(ua.LocalizedText(value), kind)
        if kind is ua.VariantType.NodeId:
            return ua.Variant(ua.NodeId.from_string(value), kind)
    raise ValueError(f"{value!r} does not fit {kind.name}")


__all__ = ["argument", "built_in", "to_variant", "type_of"]
