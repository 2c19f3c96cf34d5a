"""Route of the backup: one sealed file, sent as it is made."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from importlib.metadata import version
from itertools import chain

from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from gateway.api.gate import actor_of, needs
from gateway.engine import backup
from gateway.engine.runtime import Runtime
from gateway.engine.store_records import audit


class Wanted(BaseModel):
    """Under which passphrase."""

    model_config = ConfigDict(extra="forbid")
    passphrase: SecretStr = Field(
        min_length=12, max_length=1024, description="Without it the file says nothing."
    )


def add(app: FastAPI, runtime: Runtime) -> None:
    """Declare the route over a running gateway."""
    making = asyncio.Lock()

    @app.post("/api/backup", response_class=StreamingResponse)
    @needs("backup.make")
    async def make(body: Wanted, request: Request) -> StreamingResponse:
        async with making:  # One copy of the state file at a time.
            await asyncio.to_thread(backup.must_fit, runtime.state_dir)
            now = runtime.clock.now()
            await audit(runtime.store, now, actor_of(request), "backup/make", {})
            parts = backup.make(
                runtime.state_dir, body.passphrase.get_secret_value(), now, version("genba")
            )
            # What can fail at the beginning is told as an error, not as a file that is cut.
            first = await asyncio.to_thread(next, parts)
        return StreamingResponse(
            _all(first, parts),
            media_type="application/octet-stream",
            headers={"Content-Disposition": f'attachment; filename="genba-{now // 10**9}.backup"'},
        )


def _all(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    return iter(chain([first], rest))
