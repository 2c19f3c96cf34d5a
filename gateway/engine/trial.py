"""Trials: a connection opened on its own to see whether it works, and what is behind one.

A trial takes no place at the device that the running flow needs, and is bounded: in time, in
what it finds, and in how many there are at once. Secrets come by reference, as in a flow.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import asdict, dataclass
from typing import Any, Final

from gateway.data.tag import TagTable
from gateway.data.tasks import Tasks
from gateway.engine.assembly import Shop
from gateway.engine.connections import ConnectionDriver, close_quietly
from gateway.engine.context import NodeContext
from gateway.engine.doors import Doors
from gateway.engine.metrics import Lines, NodeStatus
from gateway.errors import ConfigError, Disconnected, GatewayError, Rejected
from gateway.flow import registry
from gateway.flow.browsing import Found, Step
from gateway.flow.document import Document
from gateway.flow.entries import Entry
from gateway.flow.findings import valid_config
from gateway.flow.lint import lint
from gateway.flow.node import Connection
from gateway.flow.spec_data import plain
from gateway.flow.variables import resolve

TRIAL_S: Final = 30.0
BROWSE_S: Final = 30.0
TCP_S: Final = 4.0
FOUND_MAX: Final = 2_000
TRIALS_MAX: Final = 4
_TAGS_MAX: Final = 1


@dataclass(frozen=True, slots=True)
class Seen:
    """What was found below a path.

    Args:
        found: Rows as plain values.
        is_whole: False when there is more.
        text: Why it ended early, in a sentence; empty when it did not.
    """

    found: list[dict[str, Any]]
    is_whole: bool
    text: str = ""


class Trials:
    """Tries connections out, at most some at once.

    Args:
        shop: What all flows share; only its clock, secrets and folder are used.
    """

    def __init__(self, shop: Shop) -> None:
        self._shop = shop
        self._running = 0

    async def test(
        self, type_name: str, config: Mapping[str, Any], variables: Mapping[str, str]
    ) -> list[dict[str, Any]]:
        """Try a connection out; the last step says how far it came.

        Args:
            type_name: Such as ``mqtt.connection``.
            config: As in a flow file.
            variables: Values for ``${name}``.

        Returns: steps as plain values, each with the seconds it took.

        Raises:
            ConfigError: The config is wrong; nothing was opened.
            Rejected: Too many trials are under way.
        """
        monotonic = self._shop.clock.monotonic
        steps: list[dict[str, Any]] = []
        async with self._made(type_name, config, variables) as (connection, lines):
            began = monotonic()
            async with aclosing(_steps(connection)) as tried:
                async for step in tried:
                    steps.append({**asdict(step), "seconds": round(monotonic() - began, 3)})
                    began = monotonic()
                    if step.state == "failed":
                        break
        said = [line[3] for line in lines.kept if line[1] == "warning"]
        return steps + [{**asdict(Step("said", text, "warning")), "seconds": 0.0} for text in said]

    async def browse(
        self,
        type_name: str,
        config: Mapping[str, Any],
        variables: Mapping[str, str],
        path: str,
    ) -> Seen:
        """What is below a path of a connection that is opened for this.

        Raises:
            ConfigError: The config is wrong, or it refuses us for good.
            Disconnected: It cannot be opened.
            Rejected: Too many trials are under way.
        """
        async with self._made(type_name, config, variables) as (connection, _):
            try:
                async with asyncio.timeout(TRIAL_S):
                    await connection.open()
            except TimeoutError:
                raise Disconnected(f"No answer within {TRIAL_S:.0f} s.") from None
            return await look(connection, path)

    @asynccontextmanager
    async def _made(
        self, type_name: str, config: Mapping[str, Any], variables: Mapping[str, str]
    ) -> AsyncIterator[tuple[Connection[Any], Lines]]:
        """A connection of its own, with nothing of the running flows but clock and secrets."""
        if self._running >= TRIALS_MAX:
            raise Rejected(f"{TRIALS_MAX} connections are being tried out. Wait for one of them.")
        document = _document(type_name, config, variables)
        tasks, lines = Tasks("trial"), Lines()
        ctx = NodeContext(
            NodeStatus("trial", "trial", type_name, "connection"),
            tags=TagTable(_TAGS_MAX),
            clock=self._shop.clock,
            data_dir=self._shop.state_dir,
            tasks=tasks,
            secrets=self._shop.secrets,
            lines=lines,
            connections={},
            destinations=self._shop.destinations,
            doors=Doors(),
        )
        cls = registry.node_class(type_name)
        entry = document.connections["trial"]
        valid = valid_config(cls.Config, entry.config, lambda *place: ".".join(map(str, place)))
        connection = cls(valid, ctx)
        assert isinstance(connection, Connection)
        connection.is_trial = True
        self._running += 1
        try:
            yield connection, lines
        finally:
            self._running -= 1
            await close_quietly(connection.close())
            await tasks.stop()


async def browse_running(driver: ConnectionDriver, path: str) -> Seen:
    """What is below a path of a connection that runs; one asks at a time.

    Raises:
        Disconnected: It is away.
        Rejected: Somebody else looks at it, or it refuses.
    """
    if driver.browsing.locked():
        raise Rejected("Somebody else is browsing this connection. Try again in a moment.")
    async with driver.browsing:
        if not driver.ready.is_set():
            raise Disconnected(driver.ctx.status.text or "It is not open yet.")
        return await look(driver.connection, path)


async def look(connection: Connection[Any], path: str) -> Seen:
    """Browse an open connection within the limits.

    Raises:
        ConfigError, Disconnected, Rejected: Before anything was found; later they end it.
    """
    found: list[dict[str, Any]] = []
    try:
        async with asyncio.timeout(BROWSE_S), aclosing(_generator(connection, path)) as items:
            async for item in items:
                if len(found) >= FOUND_MAX:
                    text = f"These are the first {FOUND_MAX:,} (found_max). Look further below."
                    return Seen(found, False, text)
                found.append(plain(asdict(item)))
    except TimeoutError:
        return Seen(found, False, f"It was ended after {BROWSE_S:.0f} s; there may be more.")
    except GatewayError as error:
        if not found:
            raise
        return Seen(found, False, str(error))
    return Seen(found, True)


async def _generator(connection: Connection[Any], path: str) -> AsyncGenerator[Found, None]:
    """The items of `browse`, which is closed in any case: it may hold something at the device."""
    items = connection.browse(path)
    try:
        async for item in items:
            yield item
    finally:
        if isinstance(items, AsyncGenerator):
            await items.aclose()


async def _steps(connection: Connection[Any]) -> AsyncGenerator[Step, None]:
    """The name, the port, and then what the connection itself tries."""
    place = connection.place()
    if place is not None:
        async for step in _knock(*place):
            yield step
            if step.state == "failed":
                return
    try:
        async with asyncio.timeout(TRIAL_S):
            async for step in connection.check():
                yield step
    except TimeoutError:
        yield Step("session", f"No answer within {TRIAL_S:.0f} s.", "failed")
    except GatewayError as error:
        yield Step("session", str(error), "failed")
    except Exception as error:  # noqa: BLE001 - a connection of a stranger may raise anything
        text = f"The connection failed by an error of its own: {type(error).__name__}: {error}."
        yield Step("session", text, "failed")


async def _knock(host: str, port: int) -> AsyncGenerator[Step, None]:
    """Whether the name is known, and whether somebody takes a TCP connection there."""
    try:
        async with asyncio.timeout(TCP_S):
            loop = asyncio.get_running_loop()
            rows = await loop.getaddrinfo(host, port or None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError, TimeoutError) as error:
        why = getattr(error, "strerror", None) or str(error) or "the name server does not answer"
        text = f"The name {host!r} is not known: {why}. Is it spelled right? Does DNS work here?"
        yield Step("name", text, "failed")
        return
    address = str(rows[0][4][0])
    if not _is_address(host):
        yield Step("name", f"{host} is {address}.")
    if not port:
        return
    try:
        async with asyncio.timeout(TCP_S):
            _, writer = await asyncio.open_connection(host, port)
        writer.close()
    except TimeoutError:
        text = (
            f"No answer from {host}:{port} within {TCP_S:.0f} s. Is it switched on, is the "
            "address right, is a firewall between?"
        )
        yield Step("tcp", text, "failed")
        return
    except OSError as error:
        refuses = isinstance(error, ConnectionRefusedError)
        why = "refuses the connection" if refuses else f"cannot be reached ({error.strerror})"
        text = f"{host}:{port} {why}. Is its server on, and the port right?"
        yield Step("tcp", text, "failed")
        return
    yield Step("tcp", f"{host}:{port} takes the connection.")


def _is_address(host: str) -> bool:
    try:
        return bool(ipaddress.ip_address(host))
    except ValueError:
        return False


def _document(type_name: str, config: Mapping[str, Any], variables: Mapping[str, str]) -> Document:
    """The connection as the only one of a flow, linted as in a flow.

    Raises:
        ConfigError: It is no connection, or an option is wrong, or a secret stands in clear.
    """
    entry = Entry(type_name, dict(config))
    document = Document("trial", connections={"trial": entry})
    errors = [
        f"{f.field}: {f.text} {f.hint}".strip(": ")
        for f in lint(document, variables)
        if f.severity == "error" and f.node == "trial"
    ]
    if errors:
        raise ConfigError(" ".join(errors[:5]))
    return document.with_values(lambda value: resolve(value, variables))


__all__ = ["FOUND_MAX", "Seen", "Trials", "browse_running", "look"]
