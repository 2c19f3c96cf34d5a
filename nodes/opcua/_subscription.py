"""One subscription: its items, and what was published, waiting in a bounded queue."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from asyncua.ua.ua_binary import struct_from_binary

from gateway import Cause, Disconnected
from nodes.opcua._decode import Publish
from nodes.opcua._session import Session
from nodes.opcua._ua import DataChangeFilter, MonitoredItemCreateRequest, NodeId, ua

Band = Literal["absolute", "percent"]
_KEEPALIVE_S: Final = 5.0  # How often a quiet subscription says that it lives.
_LIFETIMES: Final = (
    12  # Keep-alives until the server forgets us: at least 3, OPC 10000-4, 5.14.1.1.
)
_SLOW_S: Final = 20.0  # A small server takes its time for 1,000 items.
_TRIGGERS: Final = {
    "value": ua.DataChangeTrigger.StatusValue,
    "timestamp": ua.DataChangeTrigger.StatusValueTimestamp,
}
_BANDS: Final = {"absolute": 1, "percent": 2}  # DeadbandType: OPC 10000-4 v1.05, 7.22.2.
_NO_FILTER: Final = frozenset(
    {
        ua.StatusCodes.BadFilterNotAllowed,
        ua.StatusCodes.BadMonitoredItemFilterUnsupported,
        ua.StatusCodes.BadMonitoredItemFilterInvalid,
        ua.StatusCodes.BadDeadbandFilterInvalid,
    }
)


@dataclass(frozen=True, slots=True)
class Hole:
    """Publishes that are missing between two server times [ns], why, and how many rows."""

    start: int
    end: int
    cause: Cause
    text: str
    rows: int = 0


@dataclass(frozen=True, slots=True)
class Watch:
    """How items are watched; see the options of `opcua.source`."""

    sampling_s: float
    queue_size: int
    trigger: str
    band: Band | None
    band_value: float


class Subscription:
    """Takes what is published and lends it to one reader.

    Args:
        session: Where it lives.
        rows_max: How many rows may wait; a publish beyond that is dropped whole and is a hole.
        clock: Seconds since some start.
    """

    def __init__(self, session: Session, rows_max: int, clock: Callable[[], float]) -> None:
        self.session = session
        self.number = 0
        self.dropped_rows = 0
        self._rows_max = rows_max
        self._clock = clock
        self._waiting: deque[Publish | Hole] = deque()
        self._rows = 0
        self._ready = asyncio.Event()
        self._heard_s = clock()
        self._silent_s = 0.0
        self._sequence = 0
        self._heard = 0  # Server time of the last publish that was kept [ns].
        self._dropping = 0
        self._ended = ""

    async def open(self, publishing_s: float) -> None:
        """Create it at the server."""
        request = ua.CreateSubscriptionRequest()
        count = max(1, round(_KEEPALIVE_S / publishing_s))
        request.Parameters.RequestedPublishingInterval = publishing_s * 1000
        request.Parameters.RequestedMaxKeepAliveCount = count
        request.Parameters.RequestedLifetimeCount = count * _LIFETIMES
        request.Parameters.MaxNotificationsPerPublish = 0
        request.Parameters.PublishingEnabled = True
        body = await self.session.send("creating a subscription", request)
        result = struct_from_binary(ua.CreateSubscriptionResponse, body).Parameters
        self.number = int(result.SubscriptionId)
        period_s = float(result.RevisedPublishingInterval) / 1000
        self._silent_s = 2 * period_s * int(result.RevisedMaxKeepAliveCount) + 5.0
        self._heard_s = self._clock()
        self.session.subscribe(self.number, self._take)

    async def watch(self, items: Sequence[tuple[int, NodeId]], how: Watch) -> dict[int, int]:
        """Watch nodes under handles; returns the StatusCode of each that the server refused.

        A node that does not take the deadband, such as a text, is watched without.
        """
        refused = await self._create(items, how, filtered=True)
        again = {handle for handle, status in refused.items() if status in _NO_FILTER}
        if again:
            plain = [item for item in items if item[0] in again]
            refused = {h: s for h, s in refused.items() if h not in again}
            refused |= await self._create(plain, how, filtered=False)
        return refused

    async def _create(
        self, items: Sequence[tuple[int, NodeId]], how: Watch, *, filtered: bool
    ) -> dict[int, int]:
        refused: dict[int, int] = {}
        chosen = _filter(how) if filtered else None
        for part in self.session.chunks("items", items):
            request = ua.CreateMonitoredItemsRequest()
            request.Parameters.SubscriptionId = self.number
            request.Parameters.TimestampsToReturn = ua.TimestampsToReturn.Both
            request.Parameters.ItemsToCreate = [_item(h, node, how, chosen) for h, node in part]
            slow_s = max(_SLOW_S, self.session.timeout_s)
            body = await self.session.send(f"watching {len(part)} nodes", request, timeout_s=slow_s)
            results = struct_from_binary(ua.CreateMonitoredItemsResponse, body).Results
            for (handle, _), result in zip(part, results, strict=True):
                if not result.StatusCode.is_good():
                    refused[handle] = int(result.StatusCode.value)
        return refused

    def _take(self, publish: Publish) -> None:
        """Keep what came; called by the session's publish loop, so it must not wait."""
        self._heard_s = self._clock()
        if publish.ended:
            self._ended = publish.ended
            self._ready.set()
            return
        if publish.is_data:
            if self._sequence and publish.sequence != _next(self._sequence):
                text = "Messages that the server has sent did not arrive."
                self._put(Hole(self._heard, publish.published, "sequence", text))
            self._sequence = publish.sequence
        size = len(publish.changes)
        if size and self._rows + size > self._rows_max and self._waiting:
            self._dropping += size
            self.dropped_rows += size
            return
        if self._dropping:
            text = "The flow was slower than the server: `queue_rows_max` rows waited already."
            end = publish.published
            self._put(Hole(self._heard, end, "buffer_overflow", text, self._dropping))
            self._dropping = 0
        self._heard = publish.published
        self._rows += size
        self._put(publish)

    def _put(self, item: Publish | Hole) -> None:
        if isinstance(item, Publish) and not len(item.changes) and self._waiting:
            last = self._waiting[-1]
            if isinstance(last, Publish) and not len(last.changes):
                self._waiting[-1] = item  # Keep-alives do not pile up.
                return
        self._waiting.append(item)
        self._ready.set()

    async def next(self, within_s: float = float("inf")) -> list[Publish | Hole]:
        """Wait for something, then take all that waits; nothing after `within_s`.

        Raises:
            Disconnected: The subscription or its session is gone, or too long silent.
        """
        until_s = self._clock() + within_s
        while not self._waiting:
            if self._ended:
                raise Disconnected(self._ended)
            self._ready.clear()
            left_s = self._heard_s + self._silent_s - self._clock()
            if left_s <= 0:
                raise Disconnected(
                    f"The subscription at {self.session.address} was silent for "
                    f"{self._silent_s:.0f} s, although it promised to speak."
                )
            try:
                left_s = min(left_s, until_s - self._clock())
                async with asyncio.timeout(left_s):
                    await self._ready.wait()
            except TimeoutError:
                if self._clock() >= until_s:
                    return []
        taken = list(self._waiting)
        self._waiting.clear()
        self._rows = 0
        return taken

    async def close(self) -> None:
        """Delete it at the server, so that a shared session does not collect dead ones."""
        if self.number:
            await self.session.unsubscribe(self.number)


def _next(sequence: int) -> int:
    """Sequence numbers run from 1 to 2**32 - 1. Source: OPC 10000-4 v1.05, 7.8 Counter."""
    return sequence % 0xFFFFFFFF + 1


def _filter(how: Watch) -> DataChangeFilter | None:
    if how.band is None and how.trigger == "value":
        return None  # The default; some servers refuse it when it is spelled out.
    chosen = ua.DataChangeFilter()
    chosen.Trigger = _TRIGGERS[how.trigger]
    chosen.DeadbandType = ua.UInt32(_BANDS[how.band] if how.band is not None else 0)
    chosen.DeadbandValue = ua.Double(how.band_value)
    return chosen


def _item(
    handle: int, node: NodeId, how: Watch, chosen: DataChangeFilter | None
) -> MonitoredItemCreateRequest:
    request = ua.MonitoredItemCreateRequest()
    request.ItemToMonitor.NodeId = node
    request.ItemToMonitor.AttributeId = ua.AttributeIds.Value
    request.MonitoringMode = ua.MonitoringMode.Reporting
    wanted = request.RequestedParameters
    wanted.ClientHandle = ua.UInt32(handle)
    wanted.SamplingInterval = ua.Double(how.sampling_s * 1000)
    wanted.QueueSize = ua.UInt32(how.queue_size)
    wanted.DiscardOldest = True
    if chosen is not None:
        wanted.Filter = chosen
    return request


__all__ = ["Band", "Hole", "Subscription", "Watch"]
