"""What a server knows about its variables: unit, range, meaning, kind."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from gateway import Tag, TagTable
from nodes.opcua._browse import properties_of
from nodes.opcua._session import Session, content
from nodes.opcua._ua import NodeId, ua

_UNECE_URI: Final = "http://www.opcfoundation.org/UA/units/un/cefact"
_BOOLEAN: Final = ua.NodeId(ua.ObjectIds.Boolean)
_HISTORY_BIT: Final = 0x04  # AccessLevel HistoryRead: OPC 10000-3 v1.05, 8.57.
_UCUM: Final = {
    "C62": "1", "P1": "%", "CEL": "Cel", "FAH": "[degF]", "KEL": "K",
    "BAR": "bar", "MBR": "mbar", "PAL": "Pa", "KPA": "kPa", "MPA": "MPa", "PS": "[psi]",
    "MTR": "m", "CMT": "cm", "MMT": "mm", "4H": "um", "MTK": "m2", "MTQ": "m3",
    "MTS": "m/s", "C16": "mm/s", "KMH": "km/h", "2X": "m/min", "MSK": "m/s2",
    "KGM": "kg", "GRM": "g", "TNE": "t", "LTR": "L", "MLT": "mL",
    "L2": "L/min", "MQH": "m3/h", "MQS": "m3/s", "KGS": "kg/s", "E93": "kg/h",
    "SEC": "s", "C26": "ms", "MIN": "min", "HUR": "h", "DAY": "d",
    "HTZ": "Hz", "KHZ": "kHz", "RPM": "/min", "C94": "/min", "RPS": "/s",
    "AMP": "A", "4K": "mA", "VLT": "V", "2Z": "mV", "KVT": "kV", "OHM": "Ohm", "FAR": "F",
    "WTT": "W", "KWT": "kW", "MAW": "MW", "WHR": "W.h", "KWH": "kW.h", "MWH": "MW.h",
    "D46": "V.A", "KVA": "kV.A", "JOU": "J", "KJO": "kJ", "NEW": "N", "B47": "kN", "NU": "N.m",
    "DD": "deg", "C81": "rad", "59": "[ppm]", "LUX": "lx", "2N": "dB", "Q30": "[pH]",
}  # fmt: skip
"""UNECE Recommendation 20 codes as UCUM. Source: OPC 10000-8 v1.05, 5.6.3; UCUM 2.1."""


def unit_code(unit: Any) -> str:
    """The UCUM code of an EUInformation; what the server shows where the code is not known."""
    if not isinstance(unit, ua.EUInformation):
        return ""
    number = int(unit.UnitId)
    if unit.NamespaceUri == _UNECE_URI and number > 0:
        letters = number.to_bytes(4, "big").lstrip(b"\0").decode("ascii", "replace")
        if letters in _UCUM:
            return _UCUM[letters]
    return str(unit.DisplayName.Text or "")


async def learn_facts(
    session: Session, tags: TagTable, names: Sequence[str], ids: Sequence[NodeId]
) -> None:
    """Read units, ranges and descriptions of nodes into the tag table."""
    properties = await properties_of(session, ids, ("EngineeringUnits", "EURange"))
    about = await session.read(ids, ua.AttributeIds.Description)
    kinds = await session.read(ids, ua.AttributeIds.DataType)
    for name, facts, text, kind in zip(names, properties, about, kinds, strict=True):
        limits = facts.get("EURange")
        low, high = float("nan"), float("nan")
        if isinstance(limits, ua.Range) and limits.High > limits.Low:
            low, high = float(limits.Low), float(limits.High)
        said = content(text)
        tags.add(
            Tag(
                name,
                unit=unit_code(facts.get("EngineeringUnits")),
                low=low,
                high=high,
                kind="state" if content(kind) == _BOOLEAN else "gauge",
                about=str(said.Text or "") if isinstance(said, ua.LocalizedText) else "",
            )
        )


async def with_history(session: Session, ids: Sequence[NodeId]) -> list[bool]:
    """Which nodes keep a history that this user may read."""
    levels = await session.read(ids, ua.AttributeIds.UserAccessLevel)
    return [bool(int(content(level) or 0) & _HISTORY_BIT) for level in levels]


__all__ = ["learn_facts", "unit_code", "with_history"]
