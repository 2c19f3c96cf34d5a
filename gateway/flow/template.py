"""Templates: text with ``{names}`` in it, filled from the fields of a row, an alarm or an event.

Only names and JSON paths: nothing is computed, called or repeated, so a template can neither
hang nor grow beyond the values that go into it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import orjson

from gateway.flow.jsonpath import MISSING, JsonPath

_NAME: Final = re.compile(r"\{([A-Za-z_][\w]*(?:\.[\w-]+)*)\}")


class Template:
    """A text with names in braces; other braces stay as they are, so that JSON can be written.

    Args:
        text: Such as ``{tag} is {value} {unit}`` or ``{data.user.name}``.

    >>> Template('{"v": {value}}').fill({"value": 3.5})
    '{"v": 3.5}'
    >>> Template("{tag}: {data.user}{gone}").fill({"tag": "a", "data": {"user": "Mo"}})
    'a: Mo'
    >>> Template('{"t": "{x}"}').fill({"x": 'say "hi"'}, json=True)
    '{"t": "say \\\\"hi\\\\""}'
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self._paths: Final = {found: JsonPath(found) for found in _NAME.findall(text)}

    @property
    def names(self) -> frozenset[str]:
        """The first part of every name it asks for."""
        return frozenset(path.parts[0] for path in self._paths.values())

    def check(self, known: frozenset[str]) -> None:
        """See that it asks only for fields there can be.

        Raises:
            ValueError: It asks for another.
        """
        if unknown := self.names - known:
            raise ValueError(f"there is no {{{min(unknown)}}}; there is {', '.join(sorted(known))}")

    def fill(self, fields: Mapping[str, Any], *, json: bool = False) -> str:
        """The text with its fields; one that is not there is empty.

        Args:
            fields: The values.
            json: The text is JSON: what goes into it cannot end a text it stands in, and what is
                not there is null.
        """
        show = _inside if json else shown
        return _NAME.sub(lambda found: show(self._paths[found[1]].find(fields)), self.text)


def _inside(value: Any) -> str:
    """A value as it stands in JSON: a text without its quotes, which the template has."""
    if value is MISSING or value is None or value != value:
        return "null"
    return orjson.dumps(value).decode()[1:-1] if isinstance(value, str) else shown(value)


def shown(value: Any) -> str:
    """A value as text: a number short, a text as it is, the rest as JSON.

    >>> shown(0.1 + 0.2), shown(True), shown({"a": 1}), shown(None)
    ('0.3', 'true', '{"a":1}', '')
    """
    if value is MISSING or value is None or value != value:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, float):
        return f"{value:.10g}"
    try:
        return orjson.dumps(value, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
    except orjson.JSONEncodeError:
        return str(value)


__all__ = ["Template", "shown"]
