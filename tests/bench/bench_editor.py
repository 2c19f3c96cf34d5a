"""The flow editor in a browser: what live state of 300 nodes and 405 wires costs its main thread.

A tick is a frame of live data in which every row is another one, at 5 Hz; an idle page is
measured first and subtracted. Times are of the renderer's main thread (CDP Performance, thread
ticks), so that a busy machine disturbs them less than a clock on the wall.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

from playwright.sync_api import CDPSession, Page, sync_playwright

NODES, ROWS, ROW = 300, 15, 20
TICKS, HZ = 40, 5
CHROMIUM = "/usr/bin/chromium"
FEED = """
({ticks, hz, share}) => new Promise((done) => {
  const { store } = window.genbaEditor;
  const ids = Object.keys(store.view.nodes), wires = Object.keys(store.view.wires);
  let k = 0;
  const timer = setInterval(() => {
    k += 1;
    const pick = (all) => all.filter((_, i) => (i + k) % Math.round(1 / share) === 0);
    const nodes = {}, edges = {};
    for (const id of pick(ids)) nodes[id] = { state: 'running', text: '', rows_s: 50 + k, errors: 0,
      last: ['bench/a/' + id, 0, Math.sin(k + id.length) * 100, 'Good'] };
    for (const id of pick(wires)) edges[id] = { rows_s: 50 + k, queued: 0, dropped: 0 };
    store.live.take({ nodes, wires: edges });
    if (k === ticks) { clearInterval(timer); done(store.live.writes); }
  }, 1000 / hz);
})
"""


def flow() -> str:
    """300 nodes in 15 rows, and wires across them, so that there are 405."""
    nodes, wires = [], []
    for row in range(ROWS):
        nodes.append(f"  s{row}: {{type: simulate.source, tag: bench/{row}, every_s: 60}}")
        nodes += [f"  n{row}x{i}: {{type: filter.deadband, band: 1}}" for i in range(ROW - 1)]
        wires.append(f"  - s{row} -> " + " -> ".join(f"n{row}x{i}" for i in range(ROW - 1)))
    across = [(row, i) for row in range(ROWS - 1) for i in range(ROW - 2)][:120]
    wires += [f"  - n{row}x{i} -> n{row + 1}x{i + 1}" for row, i in across]
    return "\n".join(["flow: bench", "version: 1", "nodes:", *nodes, "wires:", *wires, ""])


def start(folder: Path) -> tuple[subprocess.Popen[bytes], str]:
    """The program with its screens, once they answer."""
    (folder / "bench.flow.yaml").write_text(flow())
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        listen = f"127.0.0.1:{probe.getsockname()[1]}"
    words = ["run", str(folder / "bench.flow.yaml"), "--state", str(folder / "state")]
    process = subprocess.Popen(
        [sys.executable, "-m", "gateway", *words, "--port", "0", "--listen", listen],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "GENBA_LISTEN": listen},
    )
    for _ in range(120):
        try:
            with urllib.request.urlopen(f"http://{listen}/healthz", timeout=2):
                return process, f"http://{listen}/flows/bench"
        except OSError:
            assert process.poll() is None, "the gateway has ended"
            time.sleep(0.5)
    raise AssertionError("the screens do not answer")


def busy_ms(cdp: CDPSession) -> float:
    """How long the main thread has worked [ms]."""
    rows: list[dict[str, Any]] = cdp.send("Performance.getMetrics")["metrics"]
    return 1000 * float(next(row["value"] for row in rows if row["name"] == "TaskDuration"))


def tick_ms(page: Page, cdp: CDPSession, share: float) -> float:
    """Main thread for one tick, the idle page included [ms]."""
    before = busy_ms(cdp)
    page.evaluate(FEED, {"ticks": TICKS, "hz": HZ, "share": share})
    return (busy_ms(cdp) - before) / TICKS


def drag_ms(page: Page, cdp: CDPSession, steps: int = 40) -> float:
    """Main thread for one movement of the mouse while a node is dragged [ms]."""
    box = page.locator('.vue-flow__node[data-id="n7x9"]').bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 4
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 4, y)
    before = busy_ms(cdp)
    for step in range(steps):
        page.mouse.move(x + 4 + step, y + step)
    spent = (busy_ms(cdp) - before) / steps
    page.mouse.up()
    page.keyboard.press("Control+z")
    return spent


def measure(page: Page, url: str) -> dict[str, float]:
    """All figures of a page that has just been opened."""
    cdp = page.context.new_cdp_session(page)
    cdp.send("Performance.enable", {"timeDomain": "threadTicks"})
    page.goto(url)
    page.wait_for_function("window.genbaEditor")
    page.wait_for_function(f"document.querySelectorAll('.nd').length === {NODES}")
    page.wait_for_timeout(1500)
    found = {"open_ms": busy_ms(cdp)}
    before = busy_ms(cdp)
    page.wait_for_timeout(1000 * TICKS // HZ)
    idle = (busy_ms(cdp) - before) / TICKS
    found["idle_per_tick"] = idle
    found["all_fit"] = tick_ms(page, cdp, 1.0) - idle
    found["drag_fit"] = drag_ms(page, cdp)
    page.wait_for_timeout(500)
    page.evaluate("window.genbaEditor.canvas.flow.setCenter(2600, 700, { zoom: 1 })")
    page.wait_for_timeout(1000)
    found["all_zoom_1"] = tick_ms(page, cdp, 1.0) - idle
    found["fifth_zoom_1"] = tick_ms(page, cdp, 0.2) - idle
    found["drag_zoom_1"] = drag_ms(page, cdp)
    return found


def main() -> None:
    """Print the figures."""
    with tempfile.TemporaryDirectory(prefix="genba-bench-") as folder, sync_playwright() as p:
        process, url = start(Path(folder))
        try:
            browser = p.chromium.launch(
                executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
            )
            page = browser.new_page(viewport={"width": 1440, "height": 900})
            found = measure(page, url)
            browser.close()
        finally:
            process.terminate()
            process.wait(20)
    words = {
        "open_ms": "to open the flow [ms]",
        "idle_per_tick": "idle page, in the time of a tick [ms]",
        "all_fit": "a tick, all rows, the whole flow in view [ms, net]",
        "all_zoom_1": "a tick, all rows, at zoom 1 [ms, net]",
        "fifth_zoom_1": "a tick, a fifth of the rows, at zoom 1 [ms, net]",
        "drag_fit": "dragging a node, a step, the whole flow in view [ms]",
        "drag_zoom_1": "dragging a node, a step, at zoom 1 [ms]",
    }
    for name, text in words.items():
        print(f"{found[name]:8.1f}  {text}")
    print(json.dumps({k: round(v, 2) for k, v in found.items()}))


if __name__ == "__main__":
    main()
