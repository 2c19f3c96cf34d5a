"""`genba demo`, as a new user starts it: in a pipe with a verdict, and in a terminal."""

from __future__ import annotations

import asyncio
import fcntl
import os
import pty
import signal
import struct
import sys
import termios
from pathlib import Path

import psutil
import pytest

from tests.plant.product import until

pytestmark = [pytest.mark.plant, pytest.mark.slow]


async def test_the_demo_finds_every_fault_and_nothing_else(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway", "demo", "--for", "90", "--plain", "--port", "0"),
        *("--dir", str(tmp_path / "demo")),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, error = (text.decode() for text in await process.communicate())
    assert "Traceback" not in error
    assert "FALSE" not in out, out
    assert "MISSED" not in out, out
    assert process.returncode == 0, out
    assert out.rstrip().endswith("GOOD")
    assert "NOT GOOD" not in out
    found = [line for line in out.splitlines() if line.startswith("found ")]
    kinds = {line.split()[3] for line in found}
    assert kinds >= {"spike", "unplugged", "stuck", "leak", "drift"}, out
    assert " 0 dropped" in out
    assert " ERROR " not in error, error


async def test_the_demo_in_a_terminal(tmp_path: Path) -> None:
    """It draws, ends by Ctrl-C with a summary on the screen of before, and leaves nobody."""
    main, side = pty.openpty()
    fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway", "demo", "--port", "0", "--dir", str(tmp_path / "demo")),
        stdin=side,
        stdout=side,
        stderr=side,
        env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "", "LINES": ""},
        start_new_session=True,
    )
    os.close(side)
    seen = bytearray()
    loop = asyncio.get_running_loop()

    def read() -> None:
        try:
            seen.extend(os.read(main, 65_536))
        except OSError:  # The other side was closed.
            loop.remove_reader(main)

    loop.add_reader(main, read)
    try:
        await until(lambda: b"Open alarms" in seen, "a picture")
        await until(lambda: b"plant/press1/" in seen and b"Good" in seen, "tags")
        family = psutil.Process(process.pid).children(recursive=True)
        assert len(family) >= 8
        process.send_signal(signal.SIGINT)
        async with asyncio.timeout(60):
            assert await process.wait() == 0
        await until(lambda: b"The plant ran" in seen, "a summary")
        drawn, _, after = bytes(seen).rpartition(b"\x1b[?1049l")
        assert b"\x1b[?1049h" in drawn
        assert b"The plant ran" in after
        assert b"Traceback" not in seen
        await until(lambda: not psutil.wait_procs(family, timeout=0.1)[1], "no process is left")
    finally:
        loop.remove_reader(main)
        os.close(main)
        if process.returncode is None:
            process.kill()
            await process.wait()
