"""Random numbers by counter: the same (seed, stream, k) gives the same number everywhere.

A generator with a hidden state would have to be run from the start to reach step k; these
jump there, so a server that is restarted in mid-run rejoins the plant at once.
"""

from __future__ import annotations

import zlib

_MASK = (1 << 64) - 1
# Four uniform numbers in [0, 1) have the variance 4/12; this makes it 1.
_IRWIN_HALL_SCALE = 3.0**0.5


def stream(name: str) -> int:
    """A number for a name, the same in every process (Python's own hash is salted)."""
    return zlib.crc32(name.encode())


def _mix(value: int) -> int:
    """Scramble 64 bits so that neighbours have nothing in common.

    Source: the finaliser of SplitMix64; Steele, Lea and Flood, "Fast splittable pseudorandom
    number generators", OOPSLA 2014, with the constants of Vigna's splitmix64.c.
    """
    value = (value + 0x9E3779B97F4A7C15) & _MASK
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _MASK
    return value ^ (value >> 31)


def bits(seed: int, name: int, k: int) -> int:
    """64 random bits for (seed, stream, k)."""
    return _mix(_mix(_mix(seed & _MASK) ^ name) ^ (k & _MASK))


def uniform(seed: int, name: int, k: int) -> float:
    """A number in [0, 1)."""
    return (bits(seed, name, k) >> 11) * 2.0**-53


def bell(seed: int, name: int, k: int) -> float:
    """A bell-shaped number: mean 0, standard deviation 1, never beyond ±3.47.

    Its bound is wanted: a healthy sensor must never trip a limit by chance.
    Source: the Irwin-Hall distribution of the sum of n = 4 uniform numbers.
    """
    word = bits(seed, name, k)
    total = (word & 0xFFFF) + (word >> 16 & 0xFFFF) + (word >> 32 & 0xFFFF) + (word >> 48)
    return (total / 65536.0 - 2.0) * _IRWIN_HALL_SCALE


def pick(seed: int, name: int, k: int, count: int) -> int:
    """An index in 0..count-1."""
    return bits(seed, name, k) % count
