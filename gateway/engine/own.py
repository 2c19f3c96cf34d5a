"""Own: the flow of the gateway's own alarms, opened before all others."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from gateway.engine.assembly import Shop
from gateway.engine.deploy import first_revision
from gateway.engine.health import Health, own_flow
from gateway.engine.host import FlowHost
from gateway.engine.runner import FlowRunner


async def opened_own(
    shop: Shop, runners: Callable[[], Mapping[str, FlowRunner]]
) -> tuple[FlowHost, Health, list[str]]:
    """The flow, what watches over the gateway, and sentences about what could not be taken back.

    Args:
        shop: What all flows share.
        runners: The flows that run, by name.

    Raises:
        Disconnected: The state file cannot be read.
    """
    document = own_flow()
    revision, _ = await first_revision(shop.store, document, {}, shop.clock.now())
    own = FlowHost(shop, document, revision)
    said = await own.open()
    return own, Health(own.runner, runners, shop.store, shop.book, shop.clock), said


__all__ = ["opened_own"]
