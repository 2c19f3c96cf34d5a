"""One session with a server: opened once, never revived, and the services nodes ask of it.

asyncua's own reconnect leaves dead subscriptions behind (measured: 5 of 6 after a link was down
for 20 s), so a lost session is thrown away and a new Client opened.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import Any, Final, TypeVar

from asyncua.client.client import Client
from asyncua.common.utils import Buffer

from gateway import Disconnected, Rejected
from nodes.opcua._address import NodeAddress, parse
from nodes.opcua._decode import Publish, read_publish
from nodes.opcua._errors import ask, explain, name_of
from nodes.opcua._ua import (
    AttributeIds,
    BrowsePath,
    BrowsePathResult,
    DataValue,
    NodeId,
    SubscriptionAcknowledgement,
    ua,
)

T = TypeVar("T")
Starter = Callable[[str, Coroutine[Any, Any, Any]], Any]
CHUNK: Final = 1000  # More in one request makes small servers run into their own limits.
_IDS = ua.ObjectIds
_LIMITS: Final = {
    "read": _IDS.Server_ServerCapabilities_OperationLimits_MaxNodesPerRead,
    "write": _IDS.Server_ServerCapabilities_OperationLimits_MaxNodesPerWrite,
    "browse": _IDS.Server_ServerCapabilities_OperationLimits_MaxNodesPerBrowse,
    "translate": 11712,  # MaxNodesPerTranslateBrowsePathsToNodeIds
    "items": _IDS.Server_ServerCapabilities_OperationLimits_MaxMonitoredItemsPerCall,
    "history": _IDS.Server_ServerCapabilities_OperationLimits_MaxNodesPerHistoryReadData,
}
_SHUTDOWN: Final = 4  # ServerState: OPC 10000-5 v1.05, 12.6.
_CLOSE_S: Final = 2.0
_BUSY_S: Final = 1.0


class Session:
    """An open session; every method raises Disconnected when it is gone.

    Args:
        client: A connected asyncua client.
        address: Host and port, for messages.
        start: Runs the publish loop beside the connection.
        timeout_s: How long a request may take [s].
    """

    def __init__(self, client: Client, address: str, start: Starter, timeout_s: float) -> None:
        self.client = client
        self.address = address
        self.timeout_s = timeout_s
        self.namespaces: list[str] = []
        self._limits: dict[str, int] = {}
        self._start = start
        self._ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._takers: dict[int, Callable[[Publish], None]] = {}
        self._is_publishing = False
        client.connection_lost_callback = self._on_lost

    async def learn(self) -> None:
        """Read the namespaces and the server's limits for one request."""
        ids = [ua.NodeId(_IDS.Server_NamespaceArray), *map(ua.NodeId, _LIMITS.values())]
        values = await self.read(ids)
        self.namespaces = [str(uri) for uri in content(values[0]) or []]
        for name, value in zip(_LIMITS, values[1:], strict=True):
            self._limits[name] = int(content(value) or 0)

    def chunks(self, service: str, items: Sequence[T]) -> Iterator[list[T]]:
        """Items in pieces that the server takes in one request."""
        size = min(self._limits.get(service) or CHUNK, CHUNK)
        for i in range(0, len(items), size):
            yield list(items[i : i + size])

    @property
    def is_open(self) -> bool:
        """False once it is known to be gone."""
        return not self._ended.done()

    async def lost(self, keepalive_s: float) -> str:
        """Wait until the session is gone and say why; asks the server every `keepalive_s`.

        A link that swallows everything is found after `keepalive_s` and one timeout.
        """
        while True:
            try:
                async with asyncio.timeout(keepalive_s):
                    return await asyncio.shield(self._ended)
            except TimeoutError:
                pass
            try:
                state = (await self.read([ua.NodeId(_IDS.Server_ServerStatus_State)]))[0]
            except (Disconnected, Rejected) as error:
                self.end(str(error))
                continue
            if content(state) == _SHUTDOWN:
                self.end(f"The server at {self.address} is shutting down.")

    def end(self, reason: str) -> None:
        """The session is gone: wake everyone who waits for it."""
        if not self._ended.done():
            self._ended.set_result(reason)
            for taker in list(self._takers.values()):
                taker(Publish.end_of(reason))

    @property
    def reason(self) -> str:
        """Why it is gone."""
        return self._ended.result() if self._ended.done() else ""

    async def _on_lost(self, _: Exception) -> None:
        self.end(f"The link to {self.address} was lost.")

    async def close(self) -> None:
        """Close it politely when someone still listens, and the socket in any case."""
        is_open = self.is_open
        self.end("The session was closed.")
        await drop(self.client, polite=is_open)

    async def ask(self, what: str, work: Coroutine[Any, Any, T]) -> T:
        """Wait for one answer; Disconnected also when the session is already gone."""
        if not self.is_open:
            work.close()
            raise Disconnected(self.reason)
        return await ask(self.address, what, work)

    async def send(self, what: str, request: Any, *, timeout_s: float | None = None) -> Buffer:
        """Send a request and wait for the bytes of its answer."""
        protocol = self.client.uaclient.protocol
        if protocol is None:
            raise Disconnected(f"The link to {self.address} is not open.")
        return await self.ask(what, protocol.send_request(request, timeout_s or self.timeout_s))

    async def read(
        self, ids: Sequence[NodeId], attribute: AttributeIds = ua.AttributeIds.Value
    ) -> list[DataValue]:
        """One attribute of many nodes, in order."""
        found: list[DataValue] = []
        for part in self.chunks("read", ids):
            work = self.client.uaclient.session.read_attributes(part, attribute)
            found += await self.ask(f"reading {attribute.name} of {len(part)} nodes", work)
        return found

    async def write(self, ids: list[NodeId], values: list[DataValue]) -> list[int]:
        """Write values; a StatusCode each."""
        found: list[int] = []
        for part in self.chunks("write", list(zip(ids, values, strict=True))):
            nodes, given = [n for n, _ in part], [v for _, v in part]
            work = self.client.uaclient.session.write_attributes(nodes, given)
            codes = await self.ask(f"writing {len(part)} nodes", work)
            found += [int(code.value) for code in codes]
        return found

    async def resolve(self, addresses: Sequence[str]) -> list[NodeId | str]:
        """The node behind each address, or a sentence that says why there is none."""
        found: list[NodeId | str] = []
        paths: list[tuple[int, BrowsePath]] = []
        for i, text in enumerate(addresses):
            address = parse(text)
            if isinstance(address, NodeAddress):
                found.append(self._node_id(address))
            else:
                found.append("")
                paths.append((i, _browse_path(address)))
        for part in self.chunks("translate", paths):
            session = self.client.uaclient.session
            work = session.translate_browsepaths_to_nodeids([path for _, path in part])
            results = await self.ask(f"looking up {len(part)} paths", work)
            for (i, _), result in zip(part, results, strict=True):
                found[i] = _target(result)
        return found

    def _node_id(self, address: NodeAddress) -> NodeId | str:
        index = address.namespace
        if address.uri:
            if address.uri not in self.namespaces:
                return f"the server has no namespace {address.uri}"
            index = self.namespaces.index(address.uri)
        return ua.NodeId.from_string(f"ns={index};{address.kind}={address.identifier}")

    def subscribe(self, number: int, take: Callable[[Publish], None]) -> None:
        """Give every publish answer of a subscription to `take`."""
        self._takers[number] = take
        if not self._is_publishing:
            self._is_publishing = True
            self._start("publish", self._publish())

    async def unsubscribe(self, number: int) -> None:
        """Delete a subscription; a session that is gone needs no word."""
        self._takers.pop(number, None)
        if self.is_open:
            work = self.client.uaclient.session.delete_subscriptions([number])
            await self.ask("deleting a subscription", work)

    async def _publish(self) -> None:
        """Keep one publish request waiting at the server, acknowledging what came.

        One is enough: an answer is taken in less time than the next needs to arrive.
        """
        acks: list[SubscriptionAcknowledgement] = []
        try:
            while self._takers and self.is_open:
                acks = await self._publish_once(acks)
        except Disconnected as error:
            self.end(str(error))
        except (struct.error, IndexError, ValueError, ua.UaError) as error:
            self.end(f"{self.address} published what cannot be read: {error}.")
        finally:
            self._is_publishing = False

    async def _publish_once(
        self, acks: list[SubscriptionAcknowledgement]
    ) -> list[SubscriptionAcknowledgement]:
        request = ua.PublishRequest()
        request.Parameters.SubscriptionAcknowledgements = acks
        asked = set(self._takers)
        protocol = self.client.uaclient.protocol
        if protocol is None:
            raise Disconnected(f"The link to {self.address} was lost.")
        try:
            # No timeout: the server answers when it has something, and its keep-alive is watched.
            publish = read_publish(await protocol.send_request(request, timeout=0))
        except OSError as error:
            raise Disconnected(f"The link to {self.address} was lost.") from error
        except ua.UaStatusCodeError as error:
            await self._refused(int(error.code), asked)
            return []
        taker = self._takers.get(publish.subscription)
        if taker is not None:
            taker(publish)
        if not publish.is_data:
            return []
        return [ua.SubscriptionAcknowledgement(publish.subscription, publish.sequence)]

    async def _refused(self, status: int, asked: set[int]) -> None:
        codes = ua.StatusCodes
        if status == codes.BadNoSubscription:
            for number in asked & set(self._takers):
                self._takers.pop(number)(
                    Publish.end_of(f"{self.address} no longer knows the subscription.")
                )
        elif status in (codes.BadTooManyPublishRequests, codes.BadTimeout):
            await asyncio.sleep(_BUSY_S)
        else:
            raise Disconnected(f"{self.address} refused to publish: {explain(status)}.")


async def drop(client: Client, *, polite: bool) -> None:
    """End a client and its tasks whatever state it is in; never raises, never waits long."""
    if not polite:
        _abort(client)  # So that closing does not wait for a peer that may be gone.
    try:
        async with asyncio.timeout(_CLOSE_S):
            await client.disconnect()
    except (OSError, ua.UaError):
        _abort(client)


def _abort(client: Client) -> None:
    protocol = client.uaclient.protocol
    if protocol is not None and protocol.transport is not None:
        protocol.transport.abort()


def content(value: DataValue) -> Any:
    """What a DataValue holds, or None."""
    return value.Value.Value if value.Value is not None else None


def _browse_path(steps: tuple[tuple[int, str], ...]) -> BrowsePath:
    path = ua.BrowsePath()
    path.StartingNode = ua.NodeId(_IDS.RootFolder)
    for namespace, name in steps:
        element = ua.RelativePathElement()
        element.ReferenceTypeId = ua.NodeId(_IDS.HierarchicalReferences)
        element.IsInverse = False
        element.IncludeSubtypes = True
        element.TargetName = ua.QualifiedName(name, namespace)
        path.RelativePath.Elements.append(element)
    return path


def _target(result: BrowsePathResult) -> NodeId | str:
    if not result.StatusCode.is_good() or not result.Targets:
        return f"there is no such path: {name_of(int(result.StatusCode.value))}"
    node = result.Targets[0].TargetId
    return ua.NodeId(node.Identifier, node.NamespaceIndex, node.NodeIdType)


__all__ = ["Session", "Starter", "content", "drop"]
