"""The explainer as a unit: systemd starts a process for each connection, as is done here."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gateway import Disconnected, Rejected
from gateway.engine.models_spawn import ENVIRONMENT, SOCKET, worker_words
from tests.engine.models_gear import ask, gear, needs_llama
from tests.engine.test_models_local import add, runner
from tests.models.llm import tiny

pytestmark = needs_llama


@contextmanager
def activating(path: Path) -> Iterator[list[subprocess.Popen[bytes]]]:
    """What genba-explainer.socket does: Accept=yes, the connection is all three of the process."""
    made: list[subprocess.Popen[bytes]] = []
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(path))
    server.listen()

    def serve() -> None:
        while True:
            try:
                one, _ = server.accept()
            except OSError:
                return
            with one:
                words, env = worker_words(), ENVIRONMENT
                made.append(subprocess.Popen(words, stdin=one, stdout=one, stderr=one, env=env))

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield made
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join()
        for process in made:
            process.kill()
            process.wait()


async def test_it_answers_over_the_socket_and_ends_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "s"
    monkeypatch.setenv(SOCKET, str(path))
    with activating(path) as made:
        async with gear(tmp_path) as g:
            await add(g)
            found = await g.pool.generate(ask("hello", tokens_max=5))
            assert found.tokens_out == 5
            assert "seccomp" in runner(g).jail
            assert len(made) == 1
            with pytest.raises(Rejected, match="256 fit"):
                await g.pool.generate(ask("x" * 500))
            made[0].kill()
            again = await g.pool.generate(ask("hello again", tokens_max=5))
            assert again.tokens_out == 5, "another was started"
            assert len(made) == 2
        await asyncio.to_thread(made[1].wait, 10)
        assert made[1].returncode == 0, "it ends when nobody is connected"


async def test_last_words_come_over_the_socket_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "s"
    monkeypatch.setenv(SOCKET, str(path))
    with activating(path):
        async with gear(tmp_path) as g:
            kinds = [2, *([3] * (len(tiny.MARKS) - 1)), *([6] * 256)]
            kinds[len(tiny.MARKS) + ord("{")] = 3  # It cannot be written any more.
            folder = tmp_path / "models"
            folder.mkdir(exist_ok=True)
            changes = {"tokenizer.ggml.token_type": ("i32", kinds)}
            await add(g, path=tiny.write(folder / "tiny.gguf", changes=changes))
            with pytest.raises(Rejected, match="no words for the form"):
                await g.pool.generate(ask(grammar='root ::= "{" [a-z]+'))


async def test_a_socket_that_is_not_there_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(SOCKET, str(tmp_path / "absent"))
    async with gear(tmp_path) as g:
        await add(g)
        with pytest.raises(Disconnected, match=r"restart genba-explainer\.socket"):
            await g.pool.generate(ask("hello", tokens_max=5))
