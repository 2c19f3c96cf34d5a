"""The settings there are: each is declared once, here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from gateway.api.local import default_state
from gateway.cli._explain import deadline
from gateway.cli._history import days, size
from gateway.cli._values import (
    WANTED,
    address,
    count,
    endpoint,
    file,
    interval,
    level,
    port,
    ratio,
    secret_name,
    switch,
    text_or_json,
)
from gateway.cli.screens import LISTEN
from gateway.engine.explain import ExplainOptions
from gateway.engine.history_days import HistoryLimits


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting.

    Args:
        name: In the file; its option and its variable are made of it.
        parse: Makes the value of its text; raises argparse.ArgumentTypeError with the bounds.
        usual: Gives the value when nobody says anything.
        unit: What the value is; shown beside it.
        about: One sentence.
        many: Whether it is a list.
        table: The table of the file that it stands in, without the word before the first _.
    """

    name: str
    parse: Callable[[str], Any]
    usual: Callable[[], Any]
    unit: str
    about: str
    many: bool = False
    table: str = ""

    @property
    def key(self) -> str:
        """Its name in the file, inside of its table."""
        return self.name.removeprefix(f"{self.table}_") if self.table else self.name

    @property
    def option(self) -> str:
        """On the command line."""
        return f"--{self.name.replace('_', '-')}"

    @property
    def variable(self) -> str:
        """In the environment."""
        return f"GENBA_{self.name.upper()}"


def _always(value: Any) -> Callable[[], Any]:
    return lambda: value


SETTINGS: Final = (
    Setting("state", Path, default_state, "folder", "Where everything is kept."),
    Setting(
        "flows",
        Path,
        _always(()),
        "files or folders",
        "Flows that are there from the start; those deployed in the editor are kept in the state.",
        many=True,
    ),
    Setting(
        "listen",
        address,
        _always(LISTEN),
        "address:port or off",
        "Where the screens answer; another address than 127.0.0.1 speaks TLS and asks for a login.",
    ),
    Setting(
        "host_names",
        str,
        _always(()),
        "names",
        "Further names that browsers reach this gateway by; they go into its certificate.",
        many=True,
    ),
    Setting(
        "fleet_listen",
        address,
        _always("off"),
        "address:port or off",
        "Where other gateways come in, with a certificate that this one trusts; then only there.",
    ),
    Setting(
        "wanted",
        Path,
        _always(WANTED),
        "folder",
        "What this gateway should be; the fleet is told how it differs.",
    ),
    Setting(
        "port",
        port,
        _always(8780),
        "TCP port, 0 to 65535",
        "Where the API answers, on 127.0.0.1; 0 takes a free one.",
    ),
    Setting(
        "accounts",
        switch,
        _always(False),
        "true or false",
        "Ask for a login from the start, also before there is an account.",
    ),
    Setting(
        "tags_max",
        count,
        _always(20_000),
        "tags, 1 to 65535",
        "How many tags there may be.",
    ),
    Setting(
        "history_days_max",
        days,
        _always(HistoryLimits().history_days_max),
        "days, 0 to 3660",
        "How long samples are kept for trends; 0 keeps none.",
    ),
    Setting(
        "history_bytes_max",
        size,
        _always(HistoryLimits().history_bytes_max),
        "like 500MB or 8GB",
        "How much room the trends may take.",
    ),
    Setting(
        "explanations",
        switch,
        _always(True),
        "true or false",
        "Explain each alarm by itself; when false, only when somebody asks.",
    ),
    Setting(
        "explain_deadline_s",
        deadline,
        _always(ExplainOptions().deadline_s),
        "seconds, 0 to 600",
        "How long a model may write at an explanation; 0 uses the template's text only.",
    ),
    Setting(
        "log_format",
        text_or_json,
        _always("text"),
        "text or json",
        "How each line of the log is written.",
    ),
    Setting(
        "log_level",
        level,
        _always("INFO"),
        "DEBUG, INFO, WARNING or ERROR",
        "What is logged.",
    ),
    Setting(
        "telemetry_endpoint",
        endpoint,
        _always(""),
        "http(s)://host:port, empty for none",
        "The collector of OpenTelemetry that is told counters and traces, by OTLP over HTTP.",
        table="telemetry",
    ),
    Setting(
        "telemetry_headers",
        secret_name,
        _always(""),
        "name of a secret",
        "The secret with headers for it, as NAME=VALUE,NAME=VALUE; see genba secrets.",
        table="telemetry",
    ),
    Setting(
        "telemetry_ca",
        file,
        _always(None),
        "file, PEM",
        "The certificate of the authority that signed the collector's; else those of the system.",
        table="telemetry",
    ),
    Setting(
        "telemetry_ratio",
        ratio,
        _always(0.01),
        "share, 0 to 1",
        "Which share of the batches is traced, node by node; 0 traces none.",
        table="telemetry",
    ),
    Setting(
        "telemetry_interval_s",
        interval,
        _always(30.0),
        "seconds, 5 to 3600",
        "How often the collector is told.",
        table="telemetry",
    ),
)
TABLES: Final = tuple(sorted({one.table for one in SETTINGS if one.table}))
BY_NAME: Final = {one.name: one for one in SETTINGS}
