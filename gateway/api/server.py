"""The local API: status, tags, alarms and operators' actions over HTTP.

It listens on this machine only. A request that names another host is refused, so that a page
from elsewhere cannot reach it through a rebound name; who may do what is for `gate` to say.
"""

from __future__ import annotations

import contextlib
import logging
import socket
from collections.abc import Iterator, Mapping
from typing import Any

import uvicorn
from fastapi import FastAPI

from gateway.api import (
    refusals,
    routes_about,
    routes_accounts,
    routes_alarms,
    routes_audit,
    routes_backup,
    routes_certificate,
    routes_connections,
    routes_dashboards,
    routes_destinations,
    routes_drafts,
    routes_editor,
    routes_explain,
    routes_fleet,
    routes_history,
    routes_hooks,
    routes_letters,
    routes_live,
    routes_models,
    routes_openid,
    routes_own,
    routes_peer,
    routes_prompts,
    routes_report,
    routes_restore,
    routes_secrets,
    routes_setpoints,
    routes_texts,
    routes_trace,
    routes_update,
)
from gateway.api.front import Front
from gateway.api.gate import Access, Gate, declared
from gateway.api.guard import Guard
from gateway.api.live import MESSAGE_BYTES_MAX, Hub
from gateway.api.routes_flows import flow_routes
from gateway.api.routes_shadows import shadow_routes
from gateway.data.tasks import Tasks
from gateway.engine.accounts import Accounts
from gateway.engine.fleet import Fleet
from gateway.engine.fleet_self import Differ
from gateway.engine.handover import Handover
from gateway.engine.jobs import Jobs
from gateway.engine.openid import OpenId
from gateway.engine.passwords import Cost
from gateway.engine.restores import Restores
from gateway.engine.runtime import Runtime
from gateway.engine.store_records import audit
from gateway.errors import ConfigError, Disconnected


def application(
    runtime: Runtime,
    access: Access,
    openid: OpenId,
    hub: Hub,
    jobs: Jobs,
    restores: Restores,
    handover: Handover,
    fleet: Fleet,
    screens: str = "",
) -> FastAPI:
    """The routes over a running gateway.

    Args:
        runtime: The gateway.
        access: Who there is.
        openid: The way in by a provider.
        hub: Live data for those who watch.
        jobs: Long work on behalf of people.
        restores: The backup that takes the place of the state.
        handover: The release that takes the place of this one.
        fleet: The other gateways.
        screens: Where the screens are; empty when there are none.

    Raises:
        AssertionError: A route does not say which action it is.
    """
    app = FastAPI(title="Genba", docs_url=None, redoc_url=None, openapi_url=None)
    refusals.add(app)
    for router in (flow_routes(runtime), shadow_routes(runtime)):
        app.router.routes.extend(router.routes)  # Not included as a whole: each is looked at.
    routes_own.add(app, runtime, screens)
    routes_alarms.add(app, runtime)
    routes_about.add(app, runtime)
    routes_report.add(app, runtime)
    routes_history.add(app, runtime)
    routes_explain.add(app, runtime)
    routes_letters.add(app, runtime)
    routes_dashboards.add(app, runtime)
    routes_accounts.add(app, runtime, access)
    routes_audit.add(app, runtime)
    routes_openid.add(app, access, openid)
    routes_setpoints.add(app, runtime, access)
    routes_secrets.add(app, runtime)
    routes_backup.add(app, runtime)
    routes_restore.add(app, restores)
    routes_update.add(app, runtime, handover)
    routes_certificate.add(app, runtime)
    routes_live.add(app, runtime, access, hub)
    routes_editor.add(app, runtime, jobs)
    routes_drafts.add(app, runtime)
    routes_connections.add(app, runtime)
    routes_texts.add(app, runtime)
    routes_trace.add(app, runtime, jobs)
    routes_hooks.add(app, runtime)
    routes_destinations.add(app, runtime)
    routes_models.add(app, runtime)
    routes_fleet.add(app, runtime, fleet)
    routes_peer.add(app, runtime, fleet)
    routes_prompts.add(app, runtime)
    app.add_middleware(Gate, access=access, routes=declared(app))
    app.add_middleware(Guard)
    app.add_middleware(Front, access=access)
    return app


def _is_news(record: logging.LogRecord) -> bool:
    """False for what uvicorn 0.54 takes for an error: a handshake that was refused in words."""
    return "without completing handshake" not in str(record.msg)


class _Quiet(uvicorn.Server):
    """A server that leaves the signals to the command that started it."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class Server:
    """The API on a socket of its own; ends with the runtime.

    Args:
        runtime: The gateway.
        port: TCP port on 127.0.0.1; 0 takes a free one.
        always: Ask for a login also while there is no account.
        cost: Of a password's hash.
        screens: Where the screens are; empty when there are none.
        can_restart: Whether what runs this starts it anew when `restores.again` is set.
        differ: How the gateway differs from what it should be.
        needs_door: Other gateways must come by the door of the fleet.

    Raises:
        ConfigError: The port is taken, or a list of gateways is damaged.
    """

    def __init__(
        self,
        runtime: Runtime,
        port: int,
        *,
        always: bool = False,
        cost: Cost | None = None,
        screens: str = "",
        can_restart: bool = False,
        differ: Differ | None = None,
        needs_door: bool = False,
    ) -> None:
        try:
            self._socket = socket.create_server(("127.0.0.1", port))
        except OSError as error:
            raise ConfigError(
                f"Port {port} on this machine is taken ({error}).",
                hint="Is another gateway running? Choose another with --port.",
            ) from error
        self.port = int(self._socket.getsockname()[1])
        self.accounts = Accounts(runtime.store, runtime.clock, cost)
        self.access = Access(self.accounts, runtime.clock, always=always)
        clock = runtime.clock
        self.openid = OpenId(runtime.state_dir, runtime.secrets, self.accounts, clock)
        self.hub = Hub(runtime)
        self.jobs = Jobs(runtime.clock)
        self.handover = Handover(runtime.state_dir)
        self.restores = Restores(runtime.state_dir, clock, self._say, can_restart=can_restart)
        self.fleet = routes_fleet.fleet_of(runtime, screens, differ, needs_door=needs_door)
        self._runtime = runtime
        self._tasks = Tasks("api")
        config = uvicorn.Config(
            application(
                runtime,
                self.access,
                self.openid,
                self.hub,
                self.jobs,
                self.restores,
                self.handover,
                self.fleet,
                screens,
            ),
            log_level="error",
            access_log=False,
            lifespan="off",
            timeout_keep_alive=30,  # Longer than the screens keep one: see `ui.engine`.
            proxy_headers=False,  # `Front` asks for a token before it believes them.
            ws="websockets-sansio",
            ws_max_size=MESSAGE_BYTES_MAX,
            ws_per_message_deflate=False,  # The same bytes for all, and no CPU for the loopback.
        )
        logging.getLogger("uvicorn.error").addFilter(_is_news)
        self._server = _Quiet(config)

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"

    async def run(self) -> None:
        """Answer until `stop`."""
        with contextlib.suppress(Disconnected):  # The first request tries again.
            await self.accounts.ready()
            await self.restores.tell()
            await routes_update.tell(self._runtime, self.handover)
        self._tasks.start("fleet", self.fleet.run())
        try:
            await self._server.serve([self._socket])
        finally:
            await self._tasks.stop()
            await self.hub.stop()
            await self.jobs.stop()
            await self.restores.stop()
            self.accounts.close()

    async def _say(self, actor: str, action: str, detail: Mapping[str, Any]) -> None:
        await audit(self._runtime.store, self._runtime.clock.now(), actor, action, detail)

    def stop(self) -> None:
        """Answer what was asked and end."""
        self._server.should_exit = True
