"""Late replies on links without transaction numbers, and how they are kept apart. Pure."""

from __future__ import annotations

from nodes.modbus import _pdu
from nodes.modbus._pdu import Request


class Owed:
    """Replies that units still owe, by the look that they would have.

    A unit answers in order. So once it has answered a request whose reply looks unlike all
    that it owes, those can no longer come, and nothing can be mistaken.
    """

    def __init__(self) -> None:
        self._owed: dict[int, set[bytes]] = {}

    def owes(self, unit: int, request: Request) -> None:
        """A request had no reply in time."""
        self._owed.setdefault(unit, set()).add(request.shape)

    def answered(self, unit: int, request: Request) -> None:
        """A reply came; it proves something only if it could not be an old one."""
        if self._owed and request.shape not in self._owed.get(unit, ()):
            self._owed.pop(unit, None)

    def probe(self, unit: int, request: Request, nonce: int) -> Request | None:
        """What to ask before this request, or None where its reply cannot be mistaken."""
        owed = self._owed.get(unit)
        if owed is None or request.shape not in owed:
            return None
        return _pdu.distinct(request, owed, nonce)

    def clear(self) -> None:
        """Nothing old can come any more: the session is new."""
        self._owed.clear()
