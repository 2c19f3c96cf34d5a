"""What all tests share. Warnings are errors, see pyproject.toml."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from hypothesis import settings

# The screens take seconds to start; the tests that are about them ask for them.
os.environ["GENBA_LISTEN"] = "off"
settings.register_profile("genba", deadline=None)  # A slow machine is no failure.
settings.load_profile("genba")


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Async tests run on the loop of the product: see `run_loop` in gateway/cli/run.py."""
    if sys.platform == "linux":
        import uvloop

        return {"uvloop": uvloop.new_event_loop}
    return {"asyncio": asyncio.new_event_loop}


@pytest.fixture
def root() -> Path:
    """The folder of the repository."""
    return Path(__file__).resolve().parent.parent
