"""Variables in a flow: ``${plc_url:-opc.tcp://10.0.0.5:4840}`` in any text value.

One flow file then serves a bench, a line and fifty gateways: what differs is set outside.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from gateway.errors import ConfigError

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")


def resolve(value: Any, variables: Mapping[str, str]) -> Any:
    """The value with every variable replaced, also inside lists and mappings.

    Raises:
        ConfigError: A variable has neither a value nor a default.

    >>> resolve({"url": "mqtt://${host:-127.0.0.1}:${port}"}, {"port": "1883"})
    {'url': 'mqtt://127.0.0.1:1883'}
    """
    if isinstance(value, str):
        return (
            _VARIABLE.sub(lambda found: _value(found, variables), value) if "${" in value else value
        )
    if isinstance(value, Mapping):
        return {key: resolve(item, variables) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [resolve(item, variables) for item in value]
    return value


def _value(found: re.Match[str], variables: Mapping[str, str]) -> str:
    name, default = found[1], found[2]
    if name in variables:
        return variables[name]
    if default is not None:
        return default
    raise ConfigError(
        f"The variable {name!r} has no value.",
        hint=f"Set it with --set {name}=…, or give it a default: ${{{name}:-…}}.",
    )
