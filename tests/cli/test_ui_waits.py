"""The screens of `genba ui`: what is waited for, and what ends them."""

from __future__ import annotations

import argparse
import asyncio
import shutil
from pathlib import Path

import pytest

from gateway.cli import ui
from gateway.cli.settings import Settings, read, take_settings
from gateway.errors import ConfigError


def _settings(state: Path, listen: str) -> Settings:
    words = ["--state", str(state), "--listen", listen, "--fleet-listen", "off"]
    parser = argparse.ArgumentParser()
    take_settings(parser)
    return read(parser.parse_args(words), {})


async def test_a_disk_that_refuses_the_certificate_is_waited_for(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "tls").write_text("in the way")
    stop = asyncio.Event()
    found = asyncio.ensure_future(ui._found(_settings(tmp_path, "https://127.0.0.1:0"), stop))
    while "Next try in" not in caplog.text:
        await asyncio.sleep(0.01)
    (tmp_path / "tls").unlink()
    pair = await found
    assert pair is not None
    assert pair[0] is not None
    pair[0].close()
    assert (tmp_path / "tls/gateway.pem").exists()
    shutil.rmtree(tmp_path / "tls")
    (tmp_path / "tls").write_text("in the way")
    found = asyncio.ensure_future(ui._found(_settings(tmp_path, "https://127.0.0.1:0"), stop))
    await asyncio.sleep(0)
    stop.set()
    assert await found is None


async def test_what_no_wait_mends_ends_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="switched off"):
        await ui._found(_settings(tmp_path, "off"), asyncio.Event())
    (tmp_path / "tls").mkdir()
    for name in ("gateway.pem", "gateway.key"):
        (tmp_path / "tls" / name).write_text("no certificate")
    with pytest.raises(ConfigError, match="cannot be used"):
        await ui._found(_settings(tmp_path, "https://127.0.0.1:0"), asyncio.Event())
