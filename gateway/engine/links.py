"""Links: how every connection is, who uses it, what goes through it, and its certificates."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final
from weakref import WeakKeyDictionary

from gateway.engine.connections import ConnectionDriver
from gateway.engine.host import FlowHost
from gateway.flow.browsing import Certificate
from gateway.flow.effects import address_of
from gateway.flow.node import Clock

RATE_S: Final = 10.0
"""Rows a second are the mean of so long [s]."""
_LOOK_S: Final = 1.0
_FILES_S: Final = 5.0
_KEPT: Final = round(RATE_S / _LOOK_S)


class Links:
    """The connections of all flows.

    Args:
        hosts: The flows that run.
        clock: The time.
    """

    def __init__(self, hosts: Callable[[], Mapping[str, FlowHost]], clock: Clock) -> None:
        self._hosts = hosts
        self._clock = clock
        self._certificates: WeakKeyDictionary[
            ConnectionDriver, tuple[float, Sequence[Certificate]]
        ] = WeakKeyDictionary()
        self._seen: deque[tuple[float, dict[tuple[str, str], int]]] = deque(maxlen=_KEPT + 1)

    async def rows(self) -> list[dict[str, Any]]:
        """Every connection as plain values, by flow and name."""
        now, totals = self._clock.monotonic(), self._totals()
        if not self._seen or now - self._seen[-1][0] >= _LOOK_S:
            self._seen.append((now, totals))
        began, before = self._seen[0]
        found = []
        for flow, host in sorted(self._hosts().items()):
            for name, driver in sorted(host.drivers.items()):
                key = (flow, name)
                rate = None
                if key in before and now - began >= _LOOK_S:
                    rate = round((totals[key] - before[key]) / (now - began), 3)
                row = await self._row(host, name, driver)
                found.append({**row, "rows": totals[key], "rows_s": rate})
        return found

    def one(self, flow: str, name: str) -> ConnectionDriver | None:
        """What drives a connection, or None when there is none."""
        host = self._hosts().get(flow)
        return host.drivers.get(name) if host is not None else None

    async def _row(self, host: FlowHost, name: str, driver: ConnectionDriver) -> dict[str, Any]:
        entry = host.document.connections[name]
        status = driver.ctx.status
        certificates = await self._certificates_of(driver)
        return {
            "flow": host.name,
            "name": name,
            "type": entry.type,
            "address": address_of(host.document, name, entry),
            "state": status.state,
            "text": status.text,
            "since": driver.since,
            "error": driver.error,
            "next_try": driver.next_try or None,
            "opened": status.counts["opened"],
            "nodes": users(host, name),
            "browses": driver.connection.browses,
            "certificates": [asdict(one) for one in certificates],
        }

    def forget(self, driver: ConnectionDriver) -> None:
        """What was decided about a certificate is to be seen at once."""
        self._certificates.pop(driver, None)

    async def _certificates_of(self, driver: ConnectionDriver) -> Sequence[Certificate]:
        """They stand in files, which are not read for each screen each second."""
        now = self._clock.monotonic()
        at, found = self._certificates.get(driver, (float("-inf"), ()))
        if now - at >= _FILES_S:
            found = await asyncio.to_thread(driver.connection.certificates)
            self._certificates[driver] = now, found
        return found

    def _totals(self) -> dict[tuple[str, str], int]:
        """Rows that sources brought and sinks were given, by connection."""
        found: dict[tuple[str, str], int] = {}
        for flow, host in self._hosts().items():
            for name in host.drivers:
                mine = set(users(host, name))
                ports: dict[tuple[str, str], int] = {}
                wires = host.runner.graph.traffic.wires.items()
                for (source, port, target, _), count in wires:
                    # A port with two wires brings its rows once.
                    if source in mine:
                        ports[source, port] = max(ports.get((source, port), 0), count.rows)
                    elif target in mine:
                        ports[target, ""] = ports.get((target, ""), 0) + count.rows
                found[flow, name] = sum(ports.values())
        return found


def users(host: FlowHost, name: str) -> list[str]:
    """The nodes of a flow that name a connection."""
    return [
        node
        for node, entry in host.document.nodes.items()
        if entry.config.get("connection") == name and not entry.disabled
    ]


__all__ = ["Links", "users"]
