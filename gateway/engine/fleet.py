"""Fleet: other gateways as this one sees them, and flows that go from one to another.

There is no centre and no cloud: any gateway can be given a list of others, and each decides for
itself who may look at it and whose flows it takes. What is asked of others is asked beside the
engine's work, bounded in number, time and size; see decision 0042.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from gateway.engine import signing
from gateway.engine.fleet_book import SIGNING_SECRET, Peer, Peers, Trust
from gateway.engine.fleet_look import Lookout
from gateway.engine.fleet_parcel import Sealed, read, seal, wrapped
from gateway.engine.fleet_push import Push, Pushes, Rules, begun
from gateway.engine.fleet_pusher import Pusher
from gateway.engine.fleet_self import Differ, Mirror
from gateway.engine.fleet_take import Taker
from gateway.engine.fleet_wire import Shown
from gateway.errors import ConfigError
from gateway.flow.config import Secret
from gateway.flow.document import Document

if TYPE_CHECKING:
    from gateway.engine.runtime import Runtime

_log = logging.getLogger("genba.fleet")
FOLDER: Final = "fleet"
PUSHES: Final = "pushes"
"""Outside of what a backup holds: a device that is restored must not push an old flow."""
Certificate = Callable[[], tuple[Path, Path]]
"""The certificate and key that this gateway shows others; made when there are none."""


class Fleet:
    """All of it.

    Args:
        runtime: This gateway.
        certificate: What this gateway shows others.
        differ: How this gateway differs from what it should be; None when nobody can say.
        screens: Scheme and port of its screens.
        needs_door: Other gateways must come by the door of the fleet, which asks for their
            certificate.
    """

    def __init__(
        self,
        runtime: Runtime,
        certificate: Certificate,
        differ: Differ | None = None,
        screens: tuple[str, int] = ("", 0),
        *,
        needs_door: bool = False,
    ) -> None:
        folder = runtime.state_dir / FOLDER
        self._runtime = runtime
        self._certificate = certificate
        self.needs_door = needs_door
        self.mirror = Mirror(runtime, differ, screens)
        self.peers = Peers(folder / "peers.json")
        self.trust = Trust(folder)
        self.taker = Taker(runtime, self.trust, folder / "taken.json")
        self.lookout = Lookout(self.peers, self.shown, runtime.clock)
        self.pusher = Pusher(
            Pushes(runtime.state_dir / PUSHES), self.peers, self.shown, runtime.clock, self._say
        )

    async def run(self) -> None:
        """Look at the others and go on with pushes, until cancelled."""
        try:
            self.pusher.resume()
            await self.lookout.run()
        finally:
            await self.pusher.stop()
            await self.mirror.stop()

    def shown(self, peer: Peer) -> Shown:
        """What another gateway is shown; for a thread.

        Raises:
            ConfigError: Its token is not set, or our certificate cannot be used.
        """
        try:
            token = self._runtime.secrets(Secret(secret=peer.secret))
        except ConfigError as error:
            raise ConfigError(
                f"The token for {peer.name} is not set.",
                hint=f"Make one there, and set it here: genba secrets set {peer.secret}",
            ) from error
        certificate, key = self._certificate()
        return Shown(certificate, key, token)

    def identity(self) -> dict[str, str]:
        """What an administrator of another gateway needs to trust this one; for a thread."""
        certificate, _ = self._certificate()
        with suppress(ConfigError):
            key = signing.public_pem(self._key().public_key()).decode()
            return {"certificate": certificate.read_text(), "key": key}
        return {"certificate": certificate.read_text(), "key": ""}

    def new_key(self) -> str:
        """Make the key that this gateway signs flows with; returns its public part, PEM.

        Raises:
            ConfigError: It cannot be stored.
        """
        private, public = signing.made()
        self._runtime.secrets.put(SIGNING_SECRET, private.decode())
        return public.decode()

    def _key(self) -> Any:
        pem = self._runtime.secrets(Secret(secret=SIGNING_SECRET))
        return signing.private_key(pem.encode(), f"the secret {SIGNING_SECRET}")

    # ------------------------------------------------------------------ what people see

    def rows(self) -> list[dict[str, Any]]:
        """Every other gateway with how it was last."""
        return [self._row(self.peers.all[name]) for name in sorted(self.peers.all)]

    def _row(self, peer: Peer) -> dict[str, Any]:
        seen = self.lookout.seen(peer.name)
        says = seen.says.model_dump() if seen.says is not None else None
        link = peer.screens
        if seen.says is not None and not link and seen.says.screens.port:
            host = peer.address[0]
            host = f"[{host}]" if ":" in host else host
            link = f"{seen.says.screens.scheme}://{host}:{seen.says.screens.port}"
        own = {**asdict(peer), "groups": list(peer.groups), "authority": bool(peer.authority)}
        return {
            **own,
            "link": link,
            "state": seen.state,
            "text": seen.text,
            "since": seen.since,
            "heard": seen.heard,
            "says": says,
            "pushed": self._pushed(peer),
        }

    def _pushed(self, peer: Peer) -> list[dict[str, str]]:
        """How it differs from what was pushed to it from here; empty when nothing is known."""
        says = self.lookout.seen(peer.name).says
        if says is None:
            return []
        runs = {one.flow: one.sha256 for one in says.flows}
        found = []
        for flow, push in sorted(self.pusher.pushes.newest(peer.name).items()):
            if runs.get(flow) != push.sha256:
                other = "another text" if flow in runs else "none"
                wanted = f"as pushed ({push.id})"
                found.append({"what": f"flow {flow}", "wanted": wanted, "found": other})
        return found

    # ------------------------------------------------------------------ pushes

    async def push(
        self,
        what: Document | Sealed,
        group: str,
        by: str,
        note: str,
        rules: Rules,
    ) -> Push:
        """Send a flow to a group, ring by ring.

        Args:
            what: The flow, which is signed with the key of this gateway, or one that was signed
                elsewhere.
            group: The group; ``*`` is every gateway.
            by: Who does it.
            note: Why, in words.
            rules: When a ring goes back.

        Raises:
            ConfigError: There is no key, nobody is in the group, or it cannot run.
            Rejected: It is no parcel.
        """
        now = self._runtime.clock.now()
        if isinstance(what, Document):
            try:
                key = await asyncio.to_thread(self._key)
            except ConfigError as error:
                raise ConfigError(
                    "This gateway has no key to sign flows with.",
                    hint="`genba fleet key` makes one; the others must trust it.",
                ) from error
            what = seal(wrapped(what, socket.gethostname(), by, note, now), key)
        parcel = read(what)
        document = Document.parse(parcel.text, f"{parcel.flow}.flow.yaml")
        if document.name != parcel.flow or document.text() != parcel.text:
            raise ConfigError("The parcel is not as this gateway would write the flow.")
        push = begun(what, group, by, rules, self.peers.members(group), now)
        await self.pusher.start(push)
        return push

    def _say(self, level: str, where: str, text: str) -> None:
        _log.log(getattr(logging, level.upper()), "%s: %s", where, text)
        self._runtime.lines.add(self._runtime.clock.now(), level, where, text)


__all__ = ["FOLDER", "Fleet"]
