"""Ends a task as two deadlines do that end soon after each other."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest


async def cancelled_twice(task: asyncio.Future[Any], turns: int) -> None:
    """Cancel a task, let the loop turn so often, cancel it again and wait for its end."""
    task.cancel()
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
