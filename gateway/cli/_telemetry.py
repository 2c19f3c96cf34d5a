"""Telemetry as the settings have it; what it needs is imported only where it is on."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Coroutine
from typing import Any

from gateway.cli.settings import Settings
from gateway.engine.clock import SystemClock
from gateway.engine.runtime import Runtime
from gateway.engine.spans import Spans

_log = logging.getLogger("genba.telemetry")


def spans(settings: Settings, clock: SystemClock) -> Spans | None:
    """Where traced batches leave what they took; None where none is traced."""
    if not settings["telemetry_endpoint"] or not settings["telemetry_ratio"]:
        return None
    salt = f"{socket.gethostname()}/{clock.now()}"
    return Spans(settings["telemetry_ratio"], clock, salt)


def telemetry(runtime: Runtime, settings: Settings) -> Callable[[], Coroutine[Any, Any, None]]:
    """What tells the collector, to be run beside the gateway."""
    from gateway.api.telemetry import Telemetry, TelemetryOptions

    endpoint, headers = settings["telemetry_endpoint"], settings["telemetry_headers"]
    if headers and endpoint.startswith("http:"):
        _log.warning(
            "The headers of telemetry go to %s unencrypted: everybody on the way can read them. "
            "Write https:// in telemetry.endpoint.",
            endpoint,
        )
    options = TelemetryOptions(
        endpoint,
        headers,
        settings["telemetry_ca"],
        settings["telemetry_ratio"],
        settings["telemetry_interval_s"],
    )
    return Telemetry(runtime, options).run
