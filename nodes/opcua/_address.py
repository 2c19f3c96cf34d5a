"""Addresses of nodes: a node id, or a browse path from the root. No protocol library here.

``ns=2;s=Press1.Oil``, ``i=2258``, ``nsu=http://maker.example/plc;s=Oil`` (the namespace by its
name, for servers that number theirs anew), ``/Objects/2:Plant/2:Press1/2:Oil`` (``&`` before a
``/`` that belongs to a name).

Source: OPC 10000-6 v1.05, 5.3.1.10 NodeId; OPC 10000-4 v1.05, Annex A.2 RelativePath.
"""

from __future__ import annotations

import base64
import binascii
import re
import uuid
from dataclasses import dataclass
from typing import Annotated, Final

from pydantic import AfterValidator, Field

_NODE = re.compile(r"(?:ns=(\d{1,5});|nsu=([^;]+);)?([isgb])=(.+)\Z", re.DOTALL)
_STEP = re.compile(r"(?:(\d{1,5}):)?(.+)\Z", re.DOTALL)
_SPLIT = re.compile(r"(?<!&)/")
_NAMESPACE_MAX: Final = 65_535


@dataclass(frozen=True, slots=True)
class NodeAddress:
    """A node id: its namespace by number or by name, its kind (i, s, g, b) and identifier."""

    namespace: int
    uri: str
    kind: str
    identifier: str


Path = tuple[tuple[int, str], ...]
"""A browse path: (namespace, name) a step, beginning below the root."""


def parse(text: str) -> NodeAddress | Path:
    """Take an address apart.

    Raises:
        ValueError: It is none; the message shows how one is written.

    >>> parse("ns=2;s=Oil.Temp")
    NodeAddress(namespace=2, uri='', kind='s', identifier='Oil.Temp')
    >>> parse("/Objects/2:Oil&/Water")
    ((0, 'Objects'), (2, 'Oil/Water'))
    """
    text = text.strip()
    if text.startswith("/"):
        return tuple(_step(part, text) for part in _SPLIT.split(text[1:]))
    found = _NODE.match(text)
    if found is None:
        raise ValueError(
            f"{text!r} is no node. Write ns=2;s=Press1.Oil or /Objects/2:Press1/2:Oil."
        )
    number, uri, kind, identifier = found.groups()
    _check_identifier(kind, identifier, text)
    if number is not None and int(number) > _NAMESPACE_MAX:
        raise ValueError(f"The namespace in {text!r} is above {_NAMESPACE_MAX}.")
    return NodeAddress(int(number or 0), uri or "", kind, identifier)


def _step(part: str, text: str) -> tuple[int, str]:
    found = _STEP.match(part)
    if found is None:
        raise ValueError(f"{text!r} has an empty step. Write /Objects/2:Press1/2:Oil.")
    return int(found[1] or 0), re.sub(r"&(.)", r"\1", found[2])


def _check_identifier(kind: str, identifier: str, text: str) -> None:
    try:
        if kind == "i" and not 0 <= int(identifier) < 2**32:
            raise ValueError
        if kind == "g":
            uuid.UUID(identifier)
        if kind == "b":
            base64.b64decode(identifier, validate=True)
    except (ValueError, binascii.Error) as error:
        raise ValueError(
            f"{text!r} is no node: after {kind}= comes "
            f"{ {'i': 'a number', 'g': 'a GUID', 'b': 'base64'}[kind] }."
        ) from error


def _checked(text: str) -> str:
    parse(text)
    return text.strip()


Address = Annotated[
    str,
    AfterValidator(_checked),
    Field(min_length=1, max_length=4096, json_schema_extra={"widget": "opcua-node"}),
]
"""A config field that holds an address."""

__all__ = ["Address", "NodeAddress", "Path", "parse"]
