"""Knowledge: causes of what a signal does, with a first check each, in English and Japanese.

The text is in `knowledge.txt`, written by us; each cause names the literature behind it by a key
of `SOURCES`. The format of a cause:

    [bearing.wear] mechanical
    at: bearing 3, motor 1          assets and how typical it is there, 1 to 3; * is any
    of: vibration 3, temperature 2  quantities; * is any
    as: drift 3, step 1             shapes; * is any
    way: up                         up, down, or left out for either
    when: comm                      conditions of the alarm, left out for any
    with: temperature up            what else moves then: quantity or asset, and which way
    after: maintenance              changes by people that bring it on
    en: wear of the bearing | listen to the bearing and compare its temperature with the next one
    ja: 軸受の摩耗 | 軸受の異音と隣の軸受との温度差の確認
    from: iso13373, randall

The English check completes "First, …"; the Japanese one is a noun phrase before を/をしてください
(it ends in a noun of action such as 確認 or 点検).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Final, Literal, get_args

from models.explainer.text import Language
from models.explainer.vocabulary import ASSETS, QUANTITIES, SHAPES

Kind = Literal[
    "mechanical",
    "fluid",
    "thermal",
    "electrical",
    "control",
    "process",
    "sensor",
    "network",
    "operation",
    "outside",
]
"""Where a cause lies: in the mechanics, a fluid, the heat balance, the electrics, the control, the
process and its material, the measurement, the way to the gateway, the work of people, outside."""
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)

SOURCES: Final[Mapping[str, str]] = {
    "iso13373": "ISO 13373-1:2002, -2:2016, -3:2015 Vibration condition monitoring",
    "iso20816": "ISO 20816-1:2016 Measurement and evaluation of machine vibration",
    "iso17359": "ISO 17359:2018 Condition monitoring, general guidelines, annex B (fault tables)",
    "iso15243": "ISO 15243:2017 Rolling bearings, damage and failures",
    "iso4406": "ISO 4406:2021 Hydraulic fluid power, coding of contamination",
    "iso8573": "ISO 8573-1:2010 Compressed air, purity classes",
    "iec60034": "IEC 60034-1:2022 and 60034-11:2020 Rotating machines, thermal protection",
    "iec60751": "IEC 60751:2022 Platinum resistance thermometers",
    "iec61000": "IEC 61000-4-30:2015 Power quality measurement",
    "iec62682": "IEC 62682:2022 Alarm systems for the process industries",
    "namur107": "NAMUR NE 107:2017 Self-monitoring and diagnosis of field devices",
    "namur43": "NAMUR NE 43:2003 Signal level for failure information of transmitters",
    "randall": "R. B. Randall, Vibration-based Condition Monitoring, 2nd ed., Wiley 2021",
    "mobley": "R. K. Mobley, An Introduction to Predictive Maintenance, 2nd ed., 2002",
    "liptak": "B. Liptak (ed.), Instrument Engineers' Handbook, vol. 1 and 2, 4th ed.",
    "karassik": "I. Karassik et al., Pump Handbook, 4th ed., McGraw-Hill 2008",
    "skf": "SKF, Bearing damage and failure analysis (handbook), 2017",
    "rexroth": "Bosch Rexroth, The Hydraulic Trainer, vol. 3 (planning and troubleshooting)",
    "festo": "Festo Didactic, Pneumatics: maintenance and fault finding (textbook TP 101)",
    "seborg": "Seborg, Edgar, Mellichamp, Doyle, Process Dynamics and Control, 4th ed., ch. 12",
    "choudhury": "Choudhury, Shah, Thornhill, Process Nonlinearities and Valve Stiction, 2008",
    "boyes": "W. Boyes (ed.), Instrumentation Reference Book, 4th ed., 2010",
    "nist": "NIST SP 800-82r3:2023 Guide to OT security (networks of control systems)",
    "modbus": "Modbus over Serial Line, Specification and Implementation Guide V1.02",
    "opcua": "OPC UA Part 4:2022 Services, and Part 8 Data Access (status codes)",
    "oiml": "OIML R 76-1:2006 Non-automatic weighing instruments",
    "pressing": "Schuler, Metal Forming Handbook, Springer 1998",
    "usp": "U. Fischer et al., Mechanical and Metal Trades Handbook, 4th ed., Europa 2018",
    "sre": "Google SRE Book, ch. 6 (symptoms and causes), O'Reilly 2016",
    "tsay": "R. S. Tsay, Analysis of Financial Time Series, 3rd ed., ch. 5 (high-frequency data)",
}


@dataclass(frozen=True, slots=True)
class Entry:
    """One cause and its first check.

    Args:
        id: Its name for ever, such as ``bearing.wear``; operators' verdicts are about it.
        kind: Where it lies.
        assets: Asset: how typical it is there, 1 to 3; empty for any.
        quantities: Quantity: how typical; empty for any.
        shapes: Shape: how typical; empty for any.
        way: Direction it pushes to; empty for either.
        conditions: Conditions of the alarm it needs, lower case; empty for any.
        along: What else moves then: a quantity or asset, and a direction or empty for either.
        after: Kinds of change that bring it on.
        names: Language: the cause as a noun phrase.
        checks: Language: what to check first.
        sources: Keys of `SOURCES`.
    """

    id: str
    kind: Kind
    assets: Mapping[str, int]
    quantities: Mapping[str, int]
    shapes: Mapping[str, int]
    way: str
    conditions: tuple[str, ...]
    along: tuple[tuple[str, str], ...]
    after: tuple[str, ...]
    names: Mapping[Language, str]
    checks: Mapping[Language, str]
    sources: tuple[str, ...]


@cache
def entries() -> Mapping[str, Entry]:
    """All causes by id, in the order of the file."""
    text = Path(__file__).with_name("knowledge.txt").read_text("utf-8")
    return MappingProxyType({entry.id: entry for entry in parse(text)})


def parse(text: str) -> list[Entry]:
    """The causes of a text in the format above.

    Raises:
        ValueError: It breaks the format.
    """
    found: list[Entry] = []
    for block in text.split("\n["):
        lines = [line.strip() for line in block.splitlines()]
        lines = [line for line in lines if line and not line.startswith("#")]
        if lines:
            found.append(_entry(lines))
    return found


def _entry(lines: list[str]) -> Entry:
    name, _, kind = lines[0].lstrip("[").partition("]")
    if kind.strip() not in KINDS:
        raise ValueError(f"{name}: {kind.strip()!r} is no kind of cause.")
    said: dict[str, str] = {}
    for line in lines[1:]:
        key, colon, rest = line.partition(": ")
        if not colon or key in said:
            raise ValueError(f"{name}: cannot read {line!r}.")
        said[key] = rest.strip()
    if extra := said.keys() - {
        "at",
        "of",
        "as",
        "way",
        "when",
        "with",
        "after",
        "en",
        "ja",
        "from",
    }:
        raise ValueError(f"{name}: unknown lines {sorted(extra)}.")
    en, ja = (tuple(part.strip() for part in said[lang].split("|")) for lang in ("en", "ja"))
    if len(en) != 2 or len(ja) != 2:
        raise ValueError(f"{name}: a cause and a check, with | between, in both languages.")
    return Entry(
        name,
        kind.strip(),  # type: ignore[arg-type]  # Checked against KINDS above.
        _weights(name, said.get("at", "*"), ASSETS),
        _weights(name, said.get("of", "*"), QUANTITIES),
        _weights(name, said.get("as", "*"), SHAPES),
        said.get("way", ""),
        tuple(_list(said.get("when", ""))),
        tuple(_pair(one) for one in _list(said.get("with", ""))),
        tuple(_list(said.get("after", ""))),
        {"en": en[0], "ja": ja[0]},
        {"en": en[1], "ja": ja[1]},
        tuple(_list(said.get("from", ""))),
    )


def _weights(name: str, text: str, known: tuple[str, ...]) -> Mapping[str, int]:
    found: dict[str, int] = {}
    if text == "*":
        return found
    for one in _list(text):
        what, _, weight = one.partition(" ")
        if what not in known:
            raise ValueError(f"{name}: {what!r} is not in the vocabulary.")
        found[what] = int(weight or 2)
    return found


def _list(text: str) -> list[str]:
    return [one.strip() for one in text.split(",") if one.strip()]


def _pair(text: str) -> tuple[str, str]:
    what, _, way = text.partition(" ")
    return what, way
