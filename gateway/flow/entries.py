"""What a flow file holds: entries, wires and tests, as plain values."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from pydantic import Field

from gateway.flow.config import Bytes, Config

RESERVED: Final = ("type", "about", "disabled", "outbox")
"""Keys of a node that are no option; no Config may use them."""
TEST_KEYS: Final = ("title", "given", "expect", "until", "tags", "config")
_END: Final = re.compile(
    r"([A-Za-z][A-Za-z0-9_-]*(?:/[A-Za-z][A-Za-z0-9_-]*)*)(?:\.([A-Za-z][A-Za-z0-9_]*))?\Z"
)
BYPASS: Final = "bypass"
"""``disabled: bypass``: the node does nothing, and what comes in goes out as it came."""


class OutboxOptions(Config):
    """What the engine does with rows that a sink cannot take now."""

    bytes_max: Bytes = Field(
        default=4_000_000_000,
        ge=10_000,
        description="How much may wait, in memory and on the disk.",
    )
    when_full: Literal["drop_oldest", "drop_newest", "block"] = Field(
        default="drop_oldest",
        description="What gives way when more would wait. `block` holds up the whole flow, its "
        "alarms too, until the receiver takes rows again; of a worker it holds up the sources.",
    )
    backfill: Literal["in_order", "live_first"] | None = Field(
        default=None,
        description="After an outage: all in order, or new rows at once and the old ones "
        "besides, each with its own timestamp. By default as the sink says.",
    )
    backfill_rows_per_s: int = Field(
        default=50_000, gt=0, description="How fast old rows are sent besides new ones [1/s]."
    )


@dataclass(frozen=True, slots=True)
class Entry:
    """A node or a connection as the flow writes it; `config` is not validated here.

    Args:
        type: ``family.node``.
        config: Its options.
        about: A sentence of the engineer.
        disabled: It does nothing.
        outbox: How much may wait for it.
        bypassed: It is disabled, and what comes into it goes on as it came.
    """

    type: str
    config: Mapping[str, Any] = field(default_factory=dict)
    about: str = ""
    disabled: bool = False
    outbox: OutboxOptions | None = None
    bypassed: bool = False


@dataclass(frozen=True, slots=True)
class Wire:
    """One wire from an output port to an input port."""

    source: str
    source_port: str
    target: str
    target_port: str
    line: int = field(default=0, compare=False)

    def __str__(self) -> str:
        return f"{self.source}.{self.source_port} -> {self.target}.{self.target_port}"


@dataclass(frozen=True, slots=True)
class FlowTest:
    """One test inside a flow: what goes in, what must come out; see `gateway.engine.flowtest`.

    Args:
        title: What it shows.
        given: Text by ``node`` or ``node.port``: rows for an input, or out of a source.
        expect: Text by ``node`` or ``node.port``: all that leaves an output or reaches a sink.
        until: Virtual time at which it ends, such as ``1h``; timers up to then fire.
        tags: Facts about tags: ``{"press/oil": {"unit": "Cel"}}``.
        config: Options that differ in this test, by node.
    """

    title: str
    given: Mapping[str, str]
    expect: Mapping[str, str]
    until: str | None = None
    tags: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    config: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def ends_of(chain: str) -> list[tuple[str, str]]:
    """(node, port) for each end of a chain; the port is empty where only the node is named.

    Raises:
        ValueError: The text is no chain of wires.

    >>> ends_of("high.alarms -> log")
    [('high', 'alarms'), ('log', '')]
    """
    parts = [part.strip() for part in chain.split("->")]
    found = [_END.match(part) for part in parts]
    ends = [(m[1], m[2] or "") for m in found if m is not None]
    if len(parts) < 2 or len(ends) < len(parts):
        raise ValueError("Write a wire like `oil -> clean` or `high.alarms -> log`.")
    if any(port for _, port in ends[1:-1]):
        raise ValueError("In the middle of a chain write no port; split the chain in two wires.")
    return ends


def entry_data(entry: Entry) -> dict[str, Any]:
    head: dict[str, Any] = {"type": entry.type}
    if entry.disabled:
        head["disabled"] = BYPASS if entry.bypassed else True
    if entry.about:
        head["about"] = entry.about
    if entry.outbox is not None:
        head["outbox"] = entry.outbox.model_dump(exclude_unset=True)
    return {**head, **entry.config}


def flow_test_data(test: FlowTest) -> dict[str, Any]:
    data = {key: getattr(test, key) for key in TEST_KEYS}
    return {key: value for key, value in data.items() if value or key in ("given", "expect")}


__all__ = [
    "BYPASS",
    "RESERVED",
    "TEST_KEYS",
    "Entry",
    "FlowTest",
    "Wire",
    "ends_of",
    "entry_data",
    "flow_test_data",
]
