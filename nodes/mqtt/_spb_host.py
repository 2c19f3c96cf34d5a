"""The listening side of Sparkplug B: births say what the numbers mean, deaths end it.

Source: Eclipse Sparkplug 3.0.0, 5 Operational Behavior, 6.4 Payloads.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from gateway import Cause, Context, Gap, LimitError, Tag, quality
from nodes.mqtt._refusals import Refusals
from nodes.mqtt._sparkplug import NUMERIC, DataType, Metric, Payload, decode, encode
from nodes.mqtt._topics import clean, fill
from nodes.mqtt._wire import Outgoing

DEFAULT_TAG = "{group}/{edge}/{device}/{metric}"
_REBIRTH = "Node Control/Rebirth"
_REBIRTH_EVERY_NS = 10_000_000_000
_QUALITY = {0: quality.BAD, 192: quality.GOOD, 500: quality.BAD_NO_COMMUNICATION}
_KINDS = {"NBIRTH", "NDEATH", "DBIRTH", "DDEATH", "NDATA", "DDATA"}
Row = tuple[int, int, float, int]
"""(tag code, ts [ns], value, quality)"""


@dataclass(slots=True)
class _Known:
    """What a birth said of one metric; `code` is -1 for what is no number."""

    name: str
    datatype: DataType
    code: int


@dataclass(slots=True)
class _Edge:
    """One edge node: what it was born with and where its sequence stands."""

    group: str
    name: str
    is_born: bool = False
    birth_seq: int | None = None
    next_seq: int = 0
    asked: int = 0
    heard: int = 0
    """When the last message of it came [ns]; 0 for never."""
    aliases: dict[tuple[str, int], _Known] = field(default_factory=dict)
    names: dict[tuple[str, str], _Known] = field(default_factory=dict)


class SparkplugHost:
    """Turns Sparkplug messages into rows; asks for a rebirth when it has lost the thread.

    Args:
        ctx: Tags, clock and counters.
        refusals: Takes events for the status port.
        tag: Template of tag names with group, edge, device and metric.
    """

    def __init__(self, ctx: Context, refusals: Refusals, tag: str = DEFAULT_TAG) -> None:
        self._ctx = ctx
        self._refusals = refusals
        self._tag = tag
        self._edges: dict[tuple[str, str], _Edge] = {}
        self._commands: list[Outgoing] = []

    def take(self, topic: str, data: bytes, arrival: int) -> list[Row]:
        """The rows of one message.

        Raises:
            ValueError: It is no Sparkplug B payload.
        """
        levels = topic.split("/")
        if levels[0] != "spBv1.0" or len(levels) not in (4, 5) or levels[2] not in _KINDS:
            self._ctx.count("not_for_a_host")  # commands and STATE, ours among them
            return []
        kind, device = levels[2], levels[4] if len(levels) == 5 else ""
        if kind.startswith("D") != bool(device):
            raise ValueError(f"{kind} on a topic of {len(levels)} levels")
        key = levels[1], levels[3]
        payload = decode(data)
        edge = self._edges.setdefault(key, _Edge(*key))
        try:
            return self._take(edge, kind, device, payload, arrival)
        finally:
            edge.heard = arrival

    def _take(
        self, edge: _Edge, kind: str, device: str, payload: Payload, arrival: int
    ) -> list[Row]:
        match kind:
            case "NBIRTH":
                return self._born(edge, payload, arrival)
            case "NDEATH":
                return self._died(edge, payload, arrival)
            case "DBIRTH":
                self._count(edge, payload, arrival)
                return self._define(edge, device, payload, arrival)
            case "DDEATH":
                self._count(edge, payload, arrival)
                return self._gone(edge, device, arrival)
        return self._data(edge, device, payload, arrival)

    def commands(self) -> list[Outgoing]:
        """Rebirth requests to publish since the last call."""
        commands, self._commands = self._commands, []
        return commands

    def _born(self, edge: _Edge, payload: Payload, arrival: int) -> list[Row]:
        found = [m for m in payload.metrics if m.name == "bdSeq" and isinstance(m.value, int)]
        edge.birth_seq = int(found[0].value or 0) if found else None
        edge.is_born = True
        edge.next_seq = ((payload.seq or 0) + 1) % 256
        edge.aliases.clear()
        edge.names.clear()
        data = {"edge": f"{edge.group}/{edge.name}", "bd_seq": edge.birth_seq}
        self._refusals.tell("sparkplug/birth", data)
        return self._define(edge, "", payload, arrival)

    def _died(self, edge: _Edge, payload: Payload, arrival: int) -> list[Row]:
        """A death counts unless its bdSeq is before that of the birth: then it is a late will.

        One after it counts too: some libraries number a graceful end like the next birth.
        """
        found = payload.find("bdSeq")
        seq = found.value if found is not None else None
        if isinstance(seq, int) and 0 < ((edge.birth_seq or 0) - seq) % 256 < 128:
            self._ctx.count("old_deaths")
            return []
        edge.is_born = False
        self._refusals.tell("sparkplug/death", {"edge": f"{edge.group}/{edge.name}", "bd_seq": seq})
        return self._gone(edge, None, arrival)

    def _gone(self, edge: _Edge, device: str | None, arrival: int) -> list[Row]:
        """Mark what a device brings, or all of an edge node, as without communication."""
        if device is not None:
            name = f"{edge.group}/{edge.name}/{device}"
            self._refusals.tell("sparkplug/death", {"device": name})
        bad = quality.BAD_NO_COMMUNICATION
        codes = {
            known.code
            for (owner, _), known in edge.names.items()
            if known.code >= 0 and device in (None, owner)
        }
        return [(code, arrival, float("nan"), bad) for code in sorted(codes)]

    def _define(self, edge: _Edge, device: str, payload: Payload, arrival: int) -> list[Row]:
        rows: list[Row] = []
        for metric in payload.metrics:
            if metric.name in ("bdSeq", _REBIRTH) or metric.name.startswith("Node Control/"):
                continue
            known = _Known(metric.name, metric.datatype, self._code(edge, device, metric))
            edge.names[device, metric.name] = known
            if (
                metric.alias is not None
            ):  # unique in an edge node; kept apart by device all the same
                edge.aliases[device, metric.alias] = known
            if known.code >= 0:
                rows.append(self._row(known, metric, payload, arrival))
        return rows

    def _code(self, edge: _Edge, device: str, metric: Metric) -> int:
        if metric.datatype not in NUMERIC:
            return -1
        words = {"group": edge.group, "edge": edge.name, "device": device, "metric": metric.name}
        name = clean(re.sub("/{2,}", "/", fill(self._tag, words)).strip("/"))
        facts = metric.properties
        try:
            return self._ctx.tags.add(
                Tag(
                    name,
                    unit=str(facts.get("engUnit") or ""),
                    low=_float(facts.get("engLow")),
                    high=_float(facts.get("engHigh")),
                )
            )
        except LimitError as error:
            self._refusals.note("tags_full", name, str(error))
            return -1

    def _data(self, edge: _Edge, device: str, payload: Payload, arrival: int) -> list[Row]:
        if not edge.is_born:
            self._miss(edge, "not_understood", "Data came before a birth.", arrival)
            return []
        self._count(edge, payload, arrival)
        rows: list[Row] = []
        for metric in payload.metrics:
            known = (
                edge.names.get((device, metric.name))
                if metric.name  # data may carry the name although an alias was born
                else edge.aliases.get((device, -1 if metric.alias is None else metric.alias))
            )
            if known is None:
                why = f"The metric {metric.name or metric.alias!r} was never born."
                self._miss(edge, "not_understood", why, arrival, [])
            elif known.code >= 0:
                rows.append(self._row(known, metric, payload, arrival))
        return rows

    def _row(self, known: _Known, metric: Metric, payload: Payload, arrival: int) -> Row:
        """One row; a historical value keeps its own timestamp like any other."""
        ts_ms = metric.ts_ms if metric.ts_ms is not None else payload.ts_ms
        in_range = ts_ms is not None and ts_ms < 2**63 // 10**6
        ts = ts_ms * 10**6 if ts_ms is not None and in_range else arrival
        raw = metric.properties.get("Quality")
        status = _QUALITY.get(raw, quality.UNCERTAIN) if isinstance(raw, int) else quality.GOOD
        value = metric.typed(known.datatype).value
        if metric.is_null or not isinstance(value, int | float):
            bad = status if status >= quality.BAD else quality.BAD
            return known.code, ts, float("nan"), bad
        if metric.is_historical:
            self._ctx.count("historical")
        return known.code, ts, float(value), status

    def _count(self, edge: _Edge, payload: Payload, arrival: int) -> None:
        """Watch the sequence. Source: Sparkplug 3.0.0, 6.4.5, tck-id-payloads-ndata-seq-inc."""
        if payload.seq is None or not edge.is_born:
            return
        if payload.seq != edge.next_seq:
            self._ctx.count("sequence_gaps")
            why = f"Number {payload.seq} came where {edge.next_seq} was due."
            self._miss(edge, "sequence", why, arrival)
        edge.next_seq = (payload.seq + 1) % 256

    def _miss(
        self, edge: _Edge, cause: Cause, why: str, arrival: int, codes: list[int] | None = None
    ) -> None:
        """Tell that something of an edge node is missing, and ask it to be born anew."""
        if codes is None:
            codes = sorted({known.code for known in edge.names.values() if known.code >= 0})
        tags = tuple(self._ctx.tags.name(code) for code in codes)
        name, start = f"{edge.group}/{edge.name}", edge.heard or arrival
        self._refusals.gap(Gap(self._ctx.node_id, cause, start, arrival, name, tags, text=why))
        self._ask(edge)

    def _ask(self, edge: _Edge) -> None:
        """Ask for a rebirth, at most once in ten seconds an edge node."""
        now = self._ctx.clock.now()
        if edge.asked and now - edge.asked < _REBIRTH_EVERY_NS:
            return
        edge.asked = now
        order = Metric(_REBIRTH, datatype=DataType.BOOLEAN, value=True)
        body = encode(Payload(now // 10**6, (order,)))
        self._commands.append(Outgoing(f"spBv1.0/{edge.group}/NCMD/{edge.name}", body))
        self._ctx.count("rebirths_asked")


def _float(value: object) -> float:
    return float(value) if isinstance(value, int | float) else float("nan")
