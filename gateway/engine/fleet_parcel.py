"""Fleet parcel: a revision of a flow, signed, as one gateway hands it to another.

The signature is over the very bytes that are handed over, so nothing depends on how JSON is
written. It begins with words of its own: a signed release is no parcel, and the other way round.
"""

from __future__ import annotations

import base64
import binascii
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gateway.engine.signing import key_id, public_key
from gateway.errors import ConfigError, Rejected
from gateway.flow.document import Document
from gateway.flow.yaml_read import FLOW_BYTES_MAX

_DOMAIN: Final = b"genba flow 1\n"


class Parcel(BaseModel):
    """What is handed over."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    id: str = Field(pattern=r"^[0-9a-f]{16}$", description="Of the push; nobody can guess it.")
    flow: str = Field(max_length=200, description="The flow's name.")
    text: str = Field(max_length=FLOW_BYTES_MAX, description="The flow file.")
    sender: str = Field(max_length=100, description="The gateway it was made on.")
    author: str = Field(max_length=128, description="Who pushes it.")
    note: str = Field("", max_length=500, description="Why, in words.")
    made: int = Field(ge=0, description="When [ns].")


class Sealed(BaseModel):
    """A parcel with its signature."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    parcel: str = Field(max_length=2 * FLOW_BYTES_MAX, description="The parcel, as JSON.")
    key: str = Field(max_length=16, description="Which key signed it.")
    signature: str = Field(max_length=100, description="Ed25519, base64.")


@dataclass(frozen=True, slots=True)
class Opened:
    """A parcel whose signature is right, and the name of the key that made it."""

    parcel: Parcel
    key: str


def wrapped(document: Document, sender: str, author: str, note: str, made: int) -> Parcel:
    """A new parcel of a flow."""
    return Parcel(
        id=secrets.token_hex(8),
        flow=document.name,
        text=document.text(),
        sender=sender[:100],
        author=author,
        note=note,
        made=made,
    )


def seal(parcel: Parcel, key: Ed25519PrivateKey) -> Sealed:
    """Sign a parcel."""
    text = json.dumps(parcel.model_dump(), ensure_ascii=False, sort_keys=True)
    signature = base64.b64encode(key.sign(_DOMAIN + text.encode())).decode()
    return Sealed(parcel=text, key=key_id(key.public_key()), signature=signature)


def read(sealed: Sealed) -> Parcel:
    """What a parcel says, whoever signed it.

    Raises:
        Rejected: It is none.
    """
    try:
        return Parcel.model_validate_json(sealed.parcel)
    except ValidationError as error:
        first: Any = error.errors()[0]
        raise Rejected(f"This is no flow from a fleet: {first['msg']}.") from error


def opened(sealed: Sealed, keys: Mapping[str, str]) -> Opened:
    """A parcel that one of these keys has signed.

    Args:
        sealed: The parcel.
        keys: Public keys that are trusted, as PEM, by name.

    Raises:
        Rejected: Nobody who is trusted has signed it, or it was altered.
    """
    for name, pem in sorted(keys.items()):
        try:
            key = public_key(pem.encode())
        except ConfigError:
            continue
        if key_id(key) != sealed.key:
            continue
        try:
            key.verify(base64.b64decode(sealed.signature), _DOMAIN + sealed.parcel.encode())
        except (InvalidSignature, binascii.Error, ValueError):
            raise Rejected("This flow was altered after it was signed. It was not taken.") from None
        return Opened(read(sealed), name)
    raise Rejected(
        f"This flow is signed with the key {sealed.key}, which this gateway does not trust. An "
        "administrator trusts it with `genba fleet trust`."
    )


__all__ = ["Opened", "Parcel", "Sealed", "opened", "read", "seal", "wrapped"]
