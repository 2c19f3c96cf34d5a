"""Program: how a process of ours starts another one, from sources and from the single binary."""

from __future__ import annotations

import sys
from typing import Final

OPTION: Final = "--module"
"""The binary is no Python that takes ``-m``; it takes this instead."""


def module_words(module: str) -> list[str]:
    """The words that start a module of ours as a program.

    >>> module_words("ui")[-1]
    'ui'
    """
    if getattr(sys, "frozen", False):
        return [sys.executable, OPTION, module]
    return [sys.executable, "-m", module]
