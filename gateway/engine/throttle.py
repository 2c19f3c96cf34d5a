"""Throttle: how long somebody waits after failures to log in, by address and by account.

The wait doubles and is short at its longest, and a try that comes too early is not looked at and
does not make it longer. So a guesser gets some thousand tries a day, and nobody can lock the only
administrator out for longer than a minute.

Source: OWASP ASVS 5.0, 6.3.1; IEC 62443-4-2:2019, CR 1.11 (unsuccessful login attempts).
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

FREE: Final = 5
"""So many failures cost nothing."""
ACCOUNT_S_MAX: Final = 30.0
ADDRESS_S_MAX: Final = 60.0
ADDRESSES_MAX: Final = 4_096
FORGOTTEN_S: Final = 3_600.0


def delay_s(failures: int, most_s: float) -> float:
    """How long to wait after so many failures [s].

    >>> [delay_s(n, 30.0) for n in (0, 4, 5, 6, 9, 10, 10_000)]
    [0.0, 0.0, 1.0, 2.0, 16.0, 30.0, 30.0]
    """
    return min(2.0 ** min(failures - FREE, 30), most_s) if failures >= FREE else 0.0


def network(address: str) -> str:
    """What one person has of addresses: one of IPv4, a /64 of IPv6.

    >>> network("10.0.0.5"), network("2001:db8::1:2"), network("::ffff:10.0.0.5"), network("x")
    ('10.0.0.5', '2001:db8::/64', '10.0.0.5', 'x')
    """
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.ip_network((found, 64), strict=False))


class Throttle:
    """Failures by key, in memory and bounded: the oldest are forgotten first.

    Args:
        monotonic: Seconds since some start.
        most_s: The longest wait [s].
    """

    def __init__(self, monotonic: Callable[[], float], most_s: float) -> None:
        self._monotonic = monotonic
        self._most_s = most_s
        self._failures: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def wait_s(self, key: str) -> float:
        """How long this one has to wait still [s]."""
        failures, at = self._failures.get(key, (0, 0.0))
        return max(at + delay_s(failures, self._most_s) - self._monotonic(), 0.0)

    def failed(self, key: str) -> int:
        """One more failure; returns how many there are by now."""
        now = self._monotonic()
        failures, at = self._failures.pop(key, (0, now))
        failures = 1 if now - at > FORGOTTEN_S else failures + 1
        self._failures[key] = (failures, now)
        while len(self._failures) > ADDRESSES_MAX:
            self._failures.popitem(last=False)
        return failures

    def succeeded(self, key: str) -> None:
        """Forget the failures."""
        self._failures.pop(key, None)
