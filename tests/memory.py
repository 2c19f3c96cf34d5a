"""Memory of this process in figures that a leak moves and a busy hour does not.

The resident size alone says little: glibc keeps what was freed, so that after a hundred guests at
once it stays where the hundred had it. So all is collected, what is free is given back, and the
objects of Python are counted, of which a leak of one small object a visit is seen.
"""

from __future__ import annotations

import ctypes
import gc
import sys

import psutil


def memory() -> dict[str, float]:
    """What is in use now.

    Returns:
        ``blocks``: pieces of memory that objects of Python have; ``mb``: resident size after what
        is free was given back [MB]; ``untrimmed_mb``: the same before [MB].
    """
    gc.collect()
    process = psutil.Process()
    before = process.memory_info().rss
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # Of glibc only.
    if trim is not None:
        trim(0)
    after = process.memory_info().rss
    blocks = sys.getallocatedblocks()
    return {"blocks": blocks, "mb": after / 1e6, "untrimmed_mb": before / 1e6}
