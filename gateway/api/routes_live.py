"""Routes of what is watched while it happens, and of what a person hands in to see what it does."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable
from typing import Annotated, Any, Final, Literal

import orjson
from fastapi import FastAPI, Request, Response, WebSocket
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from starlette.responses import PlainTextResponse
from starlette.websockets import WebSocketDisconnect

from gateway.api.gate import Access, Forbidden, actor_of, allow, needs, who_of
from gateway.api.live import TAGS_MAX, Client, Hub, Pace
from gateway.api.live_explain import ExplainTopic
from gateway.api.live_flows import FlowTopic
from gateway.api.live_lines import LinesTopic
from gateway.api.live_system import SystemTopic
from gateway.api.live_topics import HZ_MAX, HZ_MIN, AlarmTopic, TagTopic, Topic, WireTopic
from gateway.api.messages import Done
from gateway.engine.inject import inject, may_write
from gateway.engine.principal import NOBODY, Principal
from gateway.engine.runtime import Runtime
from gateway.engine.taps import TAP_ROWS_MAX
from gateway.errors import ConfigError, Disconnected, LimitError
from gateway.flow.node import Carries

CHECK_S: Final = 10.0
"""A login that has ended is noticed so soon."""
ENDED: Final = 4401
FAILED: Final = 1011
NONSENSE: Final = 4400
TOO_MUCH: Final = 4429
_RESERVED: Final = ("now", "error")
_Name = Annotated[str, Field(min_length=1, max_length=512)]


class Subscription(BaseModel):
    """One thing that a client wants to watch."""

    model_config = ConfigDict(extra="forbid")
    sub: str = Field(min_length=1, max_length=64, description="The client's word for it.")
    tags: list[_Name] | None = Field(None, max_length=TAGS_MAX, description="Newest samples.")
    flow: _Name | None = Field(None, description="Nodes and wires of a flow, * for all.")
    alarms: Literal[True] | None = Field(None, description="Open and hidden alarms.")
    wire: tuple[_Name, _Name, _Name] | None = Field(None, description="Flow, node and port.")
    rows: int = Field(20, ge=1, le=TAP_ROWS_MAX, description="Of a wire, the newest.")
    explain: tuple[_Name, int] | None = Field(None, description="An alarm and its occurrence.")
    language: Literal["en", "ja"] = Field("en", description="Of the explanation.")
    system: Literal[True] | None = Field(None, description="The machine and this process.")
    lines: Literal[True] | None = Field(None, description="The newest sentences and lines.")
    hz: float = Field(2.0, ge=HZ_MIN, le=HZ_MAX, description="At most so often [1/s].")

    @model_validator(mode="after")
    def _one_thing(self) -> Subscription:
        words = ("tags", "flow", "alarms", "wire", "explain", "system", "lines")
        if sum(getattr(self, word) is not None for word in words) != 1:
            raise ValueError(f"a subscription has one of {', '.join(words)}")
        if self.sub in _RESERVED:
            raise ValueError(f"{self.sub!r} is a word of ours; choose another")
        return self

    @property
    def action(self) -> str:
        """What one must be allowed to."""
        if self.tags is not None:
            return "tag.read"
        if self.alarms is not None or self.explain is not None:
            return "alarm.read"
        if self.wire is not None:
            return "flow.tap"
        is_own = self.system is not None or self.lines is not None
        return "status.read" if is_own else "flow.read"

    @property
    def identity(self) -> Hashable:
        """What is watched, whoever asks."""
        names = tuple(self.tags) if self.tags is not None else None
        shown = (self.explain, self.language, self.lines)
        return names, self.flow, self.alarms, self.wire, self.rows, shown, self.system, self.hz

    def topic(self, runtime: Runtime, hub: Hub) -> Topic:
        """What reads it."""
        if self.tags is not None:
            return TagTopic(runtime, tuple(self.tags), self.hz)
        if self.flow is not None:
            return FlowTopic(runtime, self.flow, self.hz)
        if self.wire is not None:
            return WireTopic(runtime, self.wire, self.rows)
        if self.explain is not None:
            return ExplainTopic(runtime, self.explain, self.language)
        if self.lines is not None:
            return LinesTopic(runtime, self.hz)
        return SystemTopic(runtime, hub.tasks, self.hz) if self.system else AlarmTopic(runtime)


class Injection(BaseModel):
    """What a person hands to a node."""

    model_config = ConfigDict(extra="forbid")
    actor: str = Field("user:local", max_length=128, description="Who acts.")
    node: _Name = Field(description="A transform, a source or a worker.")
    port: str = Field("", max_length=128, description="Its port; empty is the first.")
    samples: str = Field("", max_length=20_000, description="As in flow tests: TT101 0s 20.5")
    event: str = Field("", max_length=20_000, description='As in flow tests: 0s topic {"key": 1}')
    new_tags: bool = Field(False, description="Tags that do not exist are made.")


def add(app: FastAPI, runtime: Runtime, access: Access, hub: Hub) -> None:
    """Declare the routes over a running gateway."""

    @app.post("/api/flows/{name}/inject", response_model=Done)
    @needs("flow.inject")
    async def hand_in(name: str, body: Injection, request: Request) -> Done | Response:
        if name not in runtime.runners:
            return PlainTextResponse(f"There is no flow {name!r} that runs.", 404)
        if bool(body.samples) == bool(body.event):
            return PlainTextResponse("Give either samples or an event.", 422)
        if writes := may_write(runtime, name):
            try:
                await allow(request, "setpoint.write")
            except Forbidden as error:
                more = f"{writes} may change the plant, and what is handed in could move a machine."
                raise Forbidden(f"{error} {more}") from error
        carries: Carries = "samples" if body.samples else "events"
        actor = actor_of(request, body.actor)
        try:
            text = await inject(
                runtime,
                name,
                body.node,
                body.port,
                (carries, body.samples or body.event),
                actor,
                makes_tags=body.new_tags,
            )
        except (ConfigError, LimitError, ValueError) as error:
            return PlainTextResponse(str(error), 422)
        return Done(text=text)

    @app.websocket("/live")
    @needs("tag.read")
    async def live(socket: WebSocket) -> None:
        try:
            client = hub.join(socket.send_text)
        except LimitError as error:
            refused = PlainTextResponse(str(error), 503, {"Retry-After": "10"})
            await socket.send_denial_response(refused)
            return
        feeding = hub.tasks.start("client", client.feed())
        try:
            await socket.accept()
            code, reason = await _Visit(socket, client, hub, runtime, access).last()
            feeding.cancel()
            await socket.close(code, reason)
        except (WebSocketDisconnect, RuntimeError):
            pass  # It is gone; there is nobody to tell.
        finally:
            feeding.cancel()
            hub.leave(client)


class _Visit:
    """One client while it is there: what it says, and whether it may still stay."""

    def __init__(
        self, socket: WebSocket, client: Client, hub: Hub, runtime: Runtime, access: Access
    ) -> None:
        self._socket = socket
        self._client = client
        self._hub = hub
        self._runtime = runtime
        self._access = access
        self._who = who_of(socket)
        self._pace = Pace()

    async def last(self) -> tuple[int, str]:
        """Serve it; returns the code and the sentence with which it is closed.

        Raises:
            WebSocketDisconnect: It has gone by itself.
        """
        clock = self._runtime.clock
        check_s = clock.monotonic() + CHECK_S
        while True:
            message = None
            try:
                async with asyncio.timeout(check_s - clock.monotonic()):
                    message = await self._socket.receive()
            except TimeoutError:
                pass
            if clock.monotonic() >= check_s:
                if not await self._may_stay():
                    return ENDED, "The login has ended. Log in again."
                if not self._hub.is_running:
                    return FAILED, "Live data failed by an error of ours; the log says which."
                check_s = clock.monotonic() + CHECK_S
            if message is None:
                continue
            if message["type"] == "websocket.disconnect":
                raise WebSocketDisconnect(message.get("code", 1005))
            if self._pace.is_too_much(clock.monotonic()):
                return TOO_MUCH, "Too many messages. Ask for several tags at once."
            if (refused := await self._hear(message.get("text"))) is not None:
                return NONSENSE, refused

    async def _may_stay(self) -> bool:
        """Whether the login of the handshake is still one, and may what it watches."""
        try:
            who = await self._access.who(self._socket.scope)
        except Disconnected:
            return True  # Nobody can be asked; what was known holds.
        if who is None or who is NOBODY or who.actor != self._who.actor:
            return False
        self._who = who
        return all(who.may(action) for action in self._actions())

    def _actions(self) -> set[str]:
        return {"tag.read", *(sub.action for sub in self._client.subs.values())}

    async def _hear(self, text: str | None) -> str | None:
        """Do what a message asks; returns a sentence when it makes no sense at all."""
        try:
            asked: Any = orjson.loads(text or "")
        except ValueError:
            return "Messages are JSON objects."
        if not isinstance(asked, dict):
            return "Messages are JSON objects."
        key = asked.get("unsub")
        if isinstance(key, str):
            self._hub.end(self._client, key)
            return None
        key = asked.get("sub")
        if not isinstance(key, str) or not 0 < len(key) <= 64 or key in _RESERVED:
            return "A message has sub or unsub with a name of up to 64 characters."
        await self._subscribe(key, asked)
        return None

    async def _subscribe(self, key: str, asked: dict[str, Any]) -> None:
        hub, client = self._hub, self._client
        try:
            wanted = Subscription.model_validate(asked)
        except ValidationError as error:
            hub.refuse(client, key, _sentence(error))
            return
        if refused := await self._refused(self._who, wanted.action):
            hub.refuse(client, key, refused)
            return
        try:
            hub.watch(
                client,
                key,
                wanted.identity,
                lambda: wanted.topic(self._runtime, hub),
                wanted.action,
                len(wanted.tags or ()),
            )
        except LimitError as error:
            hub.refuse(client, key, str(error))

    async def _refused(self, who: Principal, action: str) -> str:
        try:
            return await self._access.refused(who, action, self._socket.scope)
        except Disconnected as error:  # The refusal cannot be noted, and stays one.
            return str(error)


def _sentence(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    return f"{where}: {first['msg']}." if where else f"{first['msg']}."
