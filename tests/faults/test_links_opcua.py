"""OPC UA over bad links and from bad servers, through the real runtime and a real server."""

from __future__ import annotations

import asyncio
import itertools
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from asyncua import ua

from gateway.engine import ingress
from tests.faults.proxy import Proxy
from tests.faults.scene import TORTURE, Scene, Watch, attempts, record, scene
from tests.nodes import opcua_plc as plc_help

pytestmark = [pytest.mark.plant, pytest.mark.slow]
KEEPALIVE_S, TIMEOUT_S = (5, 8) if TORTURE else (1, 2)

FLOW = f"""
flow: links
version: 1
connections:
  plc: {{type: opcua.connection, url: "opc.tcp://127.0.0.1:$port/plc", security: $security,
        trust: $trust, keepalive_s: {KEEPALIVE_S}, timeout_s: {TIMEOUT_S}}}
nodes:
  src: {{type: opcua.source, connection: plc, tags: {{temp: "ns=2;s=Temp"}}, sampling_s: 0.05,
        publishing_s: 0.1, queue_size: 100}}
  win: {{type: window.tumbling, size_s: 1, lateness_s: 0.5, tags: temp}}
  stat: {{type: feature.statistics, features: [mean, percent_good]}}
  out: {{type: script.sink}}
  wave: {{type: simulate.source, tag: wave, every_s: 0.1}}
wires: [src -> out, src.status -> out.events, wave -> out, src -> win -> stat, stat -> out]
"""


def values(port: int, security: str = "None", trust: str = "none") -> dict[str, object]:
    return {"port": port, "security": security, "trust": trust}


async def whole_gap(found: Scene) -> None:
    """The one hole is told and marked, and the windows over it are uncertain."""
    await found.until(lambda: found.gaps("subscription_recreated"), "the gap is told")
    await found.flowing("temp", 30)
    (gap,) = found.gaps("subscription_recreated")
    assert (gap["source"], gap["device"]) == ("src", "plc")
    good = sorted(ts for _, ts, _, q in found.rows("temp") if q == 0)
    inside = [ts for ts in good if gap["from"] < ts < gap["to"] - 10**9 // 2]
    assert not inside, "no sample of the time that is told as missing"
    holes = [b - a for a, b in itertools.pairwise(good)]
    assert gap["to"] - gap["from"] >= max(holes) - 10**9 // 2, "all of it is told"
    bad = [ts for _, ts, _, q in found.rows("temp") if q >> 30 == 2]
    assert 1 <= len(bad) <= 3, "where the line was lost, and at both ends of the hole"
    begin = gap["from"] // 10**9 * 10**9 + 10**9
    last = gap["to"] // 10**9 * 10**9 + 10**9
    await found.until(
        lambda: any(ts >= last for _, ts, _, _ in found.rows("temp#percent_good")), "windows"
    )
    share = {ts: v for _, ts, v, _ in found.rows("temp#percent_good")}
    mean = {ts: q >> 30 for _, ts, _, q in found.rows("temp#mean")}
    whole = [ts for ts in share if ts < begin - 2 * 10**9]
    assert all(share[ts] == 100 and mean[ts] == 0 for ts in whole)
    partly = [ts for ts in share if share[ts] < 100]
    assert partly, "the windows over it know"
    assert all(mean[ts] > 0 for ts in partly)
    found.faultless()


async def test_a_half_open_link_is_found_and_healed(tmp_path: Path) -> None:
    port = plc_help.free_port()
    process = await plc_help.start_process(port)
    try:
        async with Proxy(port) as proxy, scene(FLOW, tmp_path, values(proxy.port)) as found:
            await found.flowing("temp", 60)
            proxy.half_open()
            began, watch = time.monotonic(), Watch()
            await found.lost()
            found_s = watch.s
            await asyncio.sleep(30 if TORTURE else 3)
            tried = attempts(proxy.attempts, began)
            proxy.heal()
            watch = Watch()
            await found.flowing("temp", 1)
            back_s = watch.s
            record("opcua half open", found_s=found_s, back_s=back_s, **tried)
            assert found_s < 60
            assert tried["per_s"] < 1
            await whole_gap(found)
    finally:
        await plc_help.stop_process(process)


async def test_a_server_is_killed_and_restarted(tmp_path: Path) -> None:
    port = plc_help.free_port()
    process = await plc_help.start_process(port)
    try:
        async with scene(FLOW, tmp_path, values(port)) as found:
            await found.flowing("temp", 60)
            process.kill()
            watch = Watch()
            await found.lost()
            found_s = watch.s
            await plc_help.stop_process(process)
            process = await plc_help.start_process(port, "--first", "1000000")
            watch = Watch()
            await found.until(lambda: max(found.good("temp")) > 1_000_000, "new values")
            record("opcua server killed", found_s=found_s, back_s=watch.s)
            await whole_gap(found)
    finally:
        await plc_help.stop_process(process)


async def test_a_link_that_resets_all_the_time(tmp_path: Path) -> None:
    """Each session is a new one; each hole is told; nothing is left behind, nothing spins."""
    port = plc_help.free_port()
    process = await plc_help.start_process(port)
    try:
        async with Proxy(port) as proxy, scene(FLOW, tmp_path, values(proxy.port)) as found:
            await found.flowing("temp", 5)
            began = time.monotonic()
            proxy.up.delay_s = proxy.down.delay_s = 0.02
            for _ in range(20 if TORTURE else 5):
                proxy.reset()
                await asyncio.sleep(1.5)
            tried = attempts(proxy.attempts, began)
            proxy.heal()
            watch = Watch()
            await found.flowing("temp", 20)
            record("opcua resets", back_s=watch.s, **tried)
            assert tried["per_s"] < 2
            good = [v for _, _, v, q in found.rows("temp") if q == 0]
            assert all(v == int(v) for v in good)
            assert found.gaps("subscription_recreated")
            assert "asyncua" not in found.said()
            found.faultless()
    finally:
        await plc_help.stop_process(process)


async def test_corrupt_bytes_crash_nothing(tmp_path: Path) -> None:
    """Without a security policy nothing signs a message: what cannot be is refused, no more."""
    port = plc_help.free_port()
    process = await plc_help.start_process(port)
    try:
        async with Proxy(port) as proxy, scene(FLOW, tmp_path, values(proxy.port)) as found:
            await found.flowing("temp", 5)
            before = len(found.good("wave"))
            proxy.down.corrupt = 0.05
            await asyncio.sleep(20 if TORTURE else 6)
            record("opcua corrupt", bytes_spoilt=proxy.down.spoilt, sessions=len(proxy.attempts))
            assert proxy.down.spoilt > 0
            assert len(found.good("wave")) > before + 10
            proxy.heal()
            proxy.reset()
            await found.until(lambda: found.node("src").state == "running", "it reads again")
            await found.flowing("temp", 5)
            found.faultless()
    finally:
        await plc_help.stop_process(process)


async def test_signed_messages_are_never_wrong(tmp_path: Path) -> None:
    """With a policy every changed byte is found: no value is ever wrong, and all goes on."""
    port = plc_help.free_port()
    async with plc_help.running(port, pki=tmp_path / "pki") as plc, Proxy(port) as proxy:
        secure = values(proxy.port, "Basic256Sha256_Sign", "pin-first-use")
        async with scene(FLOW, tmp_path / "state", secure) as found:
            n = 0

            async def write(seconds: float) -> None:
                nonlocal n
                end = time.monotonic() + seconds
                while time.monotonic() < end:
                    n += 1
                    await plc.write("Temp", 7.0 * n, ua.VariantType.Double, datetime.now(UTC))
                    await asyncio.sleep(0.02)

            await found.until(lambda: found.good("temp"), "the first value")
            await write(1)
            proxy.down.corrupt = 0.001
            await write(15 if TORTURE else 5)
            spoilt, sessions = proxy.down.spoilt, len(proxy.attempts)
            proxy.heal()
            proxy.reset()
            await found.until(lambda: found.node("src").state == "running", "it reads again")
            await write(1)
            await found.until(lambda: 7.0 * n in found.good("temp"), "the last value")
            wrong = [v for v in found.good("temp") if v % 7 and v != 20.0]
            record(
                "opcua corrupt, signed", bytes_spoilt=spoilt, sessions=sessions, wrong=len(wrong)
            )
            assert wrong == []
            found.faultless()


async def test_a_new_certificate_is_refused_and_asks_for_trust(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that shows another certificate than before is not trusted until a person says so."""
    if not TORTURE:
        monkeypatch.setattr(ingress, "CONFIG_RETRY_S", 1.0)
        monkeypatch.setattr("gateway.engine.connections.CONFIG_RETRY_S", 1.0)
    port = plc_help.free_port()
    secure = values(port, "Basic256Sha256_SignAndEncrypt", "pin-first-use")
    async with scene(FLOW, tmp_path / "state", secure) as found:
        async with plc_help.running(port, pki=tmp_path / "pki1"):
            await found.until(lambda: found.good("temp"), "the first value")
        await found.until(lambda: found.events("source/lost"), "the loss is found")
        seen = len(found.good("temp"))
        async with plc_help.running(port, pki=tmp_path / "pki2"):
            await found.until(
                lambda: found.node("plc").state == "misconfigured", "the new one is refused"
            )
            text = found.node("plc").text
            assert f"The certificate of the server at 127.0.0.1:{port} has changed" in text
            assert "SHA-256" in text
            assert "move" in text
            assert "trusted" in text
            await found.until(lambda: found.runtime.book.open(), "an alarm is raised")
            alarm = found.runtime.book.open()[0]
            assert alarm.alarm.endswith("plc:COMM")
            await asyncio.sleep(3)
            assert len(found.good("temp")) == seen, "nothing is taken from it"
            (kept,) = (tmp_path / "state" / "pki" / "rejected").iterdir()
            kept.rename(tmp_path / "state" / "pki" / "trusted" / kept.name)
            watch = Watch()
            await found.until(lambda: len(found.good("temp")) > seen, "it is trusted now")
            record("opcua new certificate trusted", back_s=watch.s)
            assert found.gaps("subscription_recreated")
            found.faultless()
