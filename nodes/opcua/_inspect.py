"""What a connection says when it is tried out or browsed, and the certificates it knows."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator
from pathlib import Path
from typing import Final

from cryptography import x509

from gateway import Certificate, Found, Rejected, Step
from nodes._certificate import shown
from nodes.opcua._browse import describe
from nodes.opcua._session import Session, content
from nodes.opcua._trust import TrustList
from nodes.opcua._ua import ua

CHILDREN_MAX: Final = 2_001
"""One more than a screen is given, so that it is seen that there are more."""
TOP: Final = "/Objects"
_KINDS: Final = {"variable": "variable", "method": "method"}


async def first_read(session: Session) -> Step:
    """Read the time and the state of the server: what any client may."""
    ids = [
        ua.NodeId(ua.ObjectIds.Server_ServerStatus_CurrentTime),
        ua.NodeId(ua.ObjectIds.Server_ServerStatus_BuildInfo_ProductName),
    ]
    now, product = await session.read(ids)
    stamp = content(now)
    if stamp is None:
        return Step(
            "read", "The server does not say its time; its values may be unreadable too.", "warning"
        )
    name = content(product) or "the server"
    return Step("read", f"Read from {name}: its clock shows {stamp:%Y-%m-%d %H:%M:%S} UTC.")


async def children(session: Session, path: str) -> AsyncIterator[Found]:
    """The children of a node.

    Raises:
        Rejected: There is no such node, or it cannot be browsed.
    """
    try:
        node = (await session.resolve([path or TOP]))[0]
    except ValueError as error:
        raise Rejected(str(error)) from error
    if isinstance(node, str):
        raise Rejected(f"{path or TOP}: {node}.")
    for row in await describe(session, node, CHILDREN_MAX):
        cls = str(row["class"])
        is_value = cls == "variable"
        is_deep = cls in ("object", "variable", "view")
        yield Found(
            name=str(row["name"]),
            kind=_KINDS.get(cls, "folder"),
            path=str(row["node"]) if is_deep else "",
            address=str(row["node"]) if is_value else "",
            type=str(row.get("datatype", "")),
            value=row.get("value"),
            unit=str(row.get("unit", "")),
            quality=str(row.get("quality", "")),
            facts={"class": cls, "browse_name": row["browse_name"], "node": row["node"]},
        )


def certificates(folder: Path, own: Iterable[Path], address: str) -> Iterator[Certificate]:
    """Ours, and what the server at an address has shown; a file that is none is passed over."""
    for path in own:
        if path.exists() and (found := _certificate(path)) is not None:
            yield shown(found, "own", "own", str(path))
    for state, path in TrustList(folder).listed(address):
        if (found := _certificate(path)) is not None:
            yield shown(found, "server", state, str(path))


def _certificate(path: Path) -> x509.Certificate | None:
    try:
        return x509.load_der_x509_certificate(path.read_bytes())
    except (OSError, ValueError):
        return None


def is_about_certificates(text: str) -> bool:
    """Whether a refusal is about a certificate, so that a trial names the right step."""
    return "certificate" in text.lower()


__all__ = ["certificates", "children", "first_read", "is_about_certificates"]
