"""Routes of the fleet, for people: the other gateways, whom this one trusts, and pushes."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.responses import PlainTextResponse

from gateway.api import certificate
from gateway.api.gate import actor_of, needs
from gateway.api.messages import Done
from gateway.api.messages_fleet import Identity, KeyShown, PeerBody, PushBody, TrustBody
from gateway.engine.fleet import Fleet
from gateway.engine.fleet_book import checked
from gateway.engine.fleet_parcel import Sealed
from gateway.engine.fleet_self import Differ
from gateway.engine.runtime import Runtime
from gateway.engine.store_records import audit
from gateway.errors import ConfigError, Rejected
from gateway.flow.document import Document

Kind = Literal["centres", "keys"]


def _json(value: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(value), status, media_type="application/json")


def _none(text: str) -> Response:
    return PlainTextResponse(text, 404)


def add(app: FastAPI, runtime: Runtime, fleet: Fleet) -> None:
    """Declare the routes over a running gateway."""

    @app.get("/api/fleet")
    @needs("fleet.read")
    async def seen() -> Response:
        return _json({"self": fleet.mirror.summary(), "peers": fleet.rows()})

    @app.get("/api/fleet/identity")
    @needs("fleet.read")
    async def identity() -> Identity:
        return Identity(**await asyncio.to_thread(fleet.identity))

    @app.put("/api/fleet/peers/{name}", response_model=Done)
    @needs("fleet.edit")
    async def put(name: str, body: PeerBody, request: Request) -> Done | Response:
        try:
            peer = checked({"name": name, **body.model_dump(exclude={"token"})})
        except ConfigError as error:
            return PlainTextResponse(str(error), 422)
        detail = {"name": name, "url": peer.url, "ring": peer.ring, "groups": list(peer.groups)}
        await audit(runtime.store, runtime.clock.now(), actor_of(request), "fleet/peer", detail)
        if body.token is not None:
            value = body.token.get_secret_value()
            await asyncio.to_thread(runtime.secrets.put, peer.secret, value)
        await asyncio.to_thread(fleet.peers.put, peer)
        fleet.lookout.follow()
        fleet.lookout.hurry(name)
        return Done(text=f"{name} is looked at.")

    @app.delete("/api/fleet/peers/{name}", response_model=Done)
    @needs("fleet.edit")
    async def remove(name: str, request: Request) -> Done | Response:
        now, who = runtime.clock.now(), actor_of(request)
        await audit(runtime.store, now, who, "fleet/forget", {"name": name})
        peer = fleet.peers.all.get(name)
        if peer is None or not await asyncio.to_thread(fleet.peers.remove, name):
            return _none(f"No gateway is called {name!r} here.")
        await asyncio.to_thread(runtime.secrets.remove, peer.secret)
        return Done(text=f"{name} is not looked at any more; its token here is gone.")

    _add_trust(app, runtime, fleet)
    _add_pushes(app, runtime, fleet)


def fleet_of(
    runtime: Runtime, screens: str, differ: Differ | None = None, *, needs_door: bool = False
) -> Fleet:
    """The other gateways, as this one sees them.

    Raises:
        ConfigError: A list of them is damaged.
    """
    parts = urlsplit(screens)
    where = (parts.scheme, parts.port or 0)
    shown = partial(_certificate, runtime)
    return Fleet(runtime, shown, differ, where, needs_door=needs_door)


def _certificate(runtime: Runtime) -> tuple[Path, Path]:
    return certificate.as_client(runtime.state_dir, runtime.clock.now())


def _add_trust(app: FastAPI, runtime: Runtime, fleet: Fleet) -> None:
    """Whom this gateway trusts, and its own key."""

    @app.get("/api/fleet/trust")
    @needs("fleet.read")
    async def trust() -> Response:
        shown = await asyncio.to_thread(fleet.trust.shown)
        return _json({**shown, "needs_door": fleet.needs_door})

    @app.put("/api/fleet/trust/{kind}/{name}")
    @needs("fleet.edit")
    async def believe(kind: Kind, name: str, body: TrustBody, request: Request) -> Done:
        now, who = runtime.clock.now(), actor_of(request)
        detail = {"kind": kind, "name": name, "pem": body.pem[:2_000]}
        await audit(runtime.store, now, who, "fleet/trust", detail)
        await asyncio.to_thread(fleet.trust.change, kind, name, body.pem)
        what = "may look at this gateway" if kind == "centres" else "signs flows for this gateway"
        return Done(text=f"{name} {what}.")

    @app.delete("/api/fleet/trust/{kind}/{name}", response_model=Done)
    @needs("fleet.edit")
    async def doubt(kind: Kind, name: str, request: Request) -> Done | Response:
        now, who = runtime.clock.now(), actor_of(request)
        await audit(runtime.store, now, who, "fleet/distrust", {"kind": kind, "name": name})
        if not await asyncio.to_thread(fleet.trust.change, kind, name, None):
            return _none(f"{name!r} was not trusted.")
        return Done(text=f"{name} is not trusted any more.")

    @app.post("/api/fleet/key")
    @needs("fleet.edit")
    async def key(request: Request) -> KeyShown:
        await audit(runtime.store, runtime.clock.now(), actor_of(request), "fleet/key", {})
        return KeyShown(key=await asyncio.to_thread(fleet.new_key))


def _add_pushes(app: FastAPI, runtime: Runtime, fleet: Fleet) -> None:
    """Flows on their way to other gateways."""
    pushes = fleet.pusher.pushes

    @app.get("/api/fleet/pushes")
    @needs("fleet.read")
    async def listed() -> Response:
        return _json([push.row() for push in pushes.all.values()])

    @app.get("/api/fleet/pushes/{id}")
    @needs("fleet.read")
    async def one(id: str) -> Response:
        push = pushes.all.get(id)
        return _json(push.row()) if push is not None else _none(f"There is no push {id!r}.")

    @app.post("/api/fleet/pushes", response_model=None)
    @needs("fleet.push")
    async def start(body: PushBody, request: Request) -> Response:
        who = actor_of(request, body.actor)
        what: Document | Sealed
        if body.sealed is not None:
            what = body.sealed
        else:
            known = await runtime.flows.known(body.flow)
            number = body.revision or (known[-1].number if known else 0)
            found = next((one for one in known if one.number == number), None)
            if found is None:
                return _none(f"There is no flow {body.flow!r} with such a revision.")
            what = Document.parse(found.text, f"revision {number}")
        detail = {"flow": body.flow, "group": body.group, "note": body.note}
        await audit(runtime.store, runtime.clock.now(), who, "fleet/push", detail)
        try:
            push = await fleet.push(what, body.group, who, body.note, body.rules)
        except Rejected as error:
            return PlainTextResponse(str(error), 422)
        return _json(push.row(), 201)

    @app.delete("/api/fleet/pushes/{id}", response_model=Done)
    @needs("fleet.push")
    async def stop(id: str, request: Request) -> Done | Response:
        push = pushes.all.get(id)
        if push is None:
            return _none(f"There is no push {id!r}.")
        detail = {"flow": push.flow, "push": id}
        now = runtime.clock.now()
        await audit(runtime.store, now, actor_of(request), "fleet/push_stop", detail)
        await fleet.pusher.stop_push(push)
        return Done(text="The push ends; the ring it was in goes back.")


__all__ = ["add", "fleet_of"]
