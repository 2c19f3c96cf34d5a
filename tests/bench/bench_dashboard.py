"""Dashboards: 20 tags at 5 Hz on five screens, and a trend of 100,000 points in the browser.

Run it: ``.venv/bin/python -m tests.bench.bench_dashboard``. The shares are of one core, over the
same seconds without and with the five screens, which all are in one Chromium on this machine.
"""

from __future__ import annotations

import asyncio
import json
import re
import tempfile
from pathlib import Path
from typing import Any, Final

import psutil
from playwright.async_api import Browser, Page

from tests.browser.chrome import launched as browser
from tests.plant.product import Product, until

SCREENS: Final = 5
SECONDS: Final = 15.0
POINTS: Final = 100_000
FLOW: Final = """\
flow: bench
version: 1
nodes:
  plant: {type: simulate.source, tag: bench/tag, count: 20, every_s: 0.2, high: 100, noise: 3}
  high: {type: alarm.limit, hi: 1000000}
wires:
  - plant -> high
"""
FILL: Final = """async ([points]) => {
  const chart = window.genbaTrends.value[0];
  const tag = new URLSearchParams(location.search).get('tags');
  const now = Date.now();
  const t = Float64Array.from({ length: points }, (_, i) => now - 5000 - (points - i) * 30);
  const last = t.map((ms, i) => 50 + 40 * Math.sin(i / 900) + (i * 7919 % 97) / 10);
  chart.fill(tag, { t, min: last, max: last, last, q: new Uint8Array(points) });
  const found = [];
  for (let i = 0; i < 12; i += 1) {
    await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
    chart.fill(tag, { t, min: last, max: last, last, q: new Uint8Array(points) });
    const { points: n, ms } = chart.figures();
    if (n > points / 2) found.push(ms);
  }
  return { n: chart.figures().points, ms: found.sort((a, b) => a - b) };
}"""


COUNT: Final = """() => new Promise((done) => {
  let n = 0;
  const take = genbaValues.take.bind(genbaValues);
  genbaValues.take = (tags, said) => { n += (said.rows || []).length; take(tags, said); };
  setTimeout(() => { genbaValues.take = take; done(n / 5); }, 5000);
})"""


def board(tags: list[str]) -> dict[str, Any]:
    """Four trends of five tags each."""
    widgets = [
        {
            "id": f"trend{i}",
            "type": "trend",
            "at": [12 * (i % 2), 8 * (i // 2), 12, 8],
            "tags": tags[5 * i : 5 * i + 5],
            "window_s": 60,
        }
        for i in range(4)
    ]
    return {"title": "Bench", "widgets": widgets}


async def shares(processes: dict[str, psutil.Process]) -> dict[str, float]:
    """CPU of each process over some seconds, as a share of one core."""
    before = {name: sum(one.cpu_times()[:2]) for name, one in processes.items()}
    await asyncio.sleep(SECONDS)
    return {
        name: (sum(one.cpu_times()[:2]) - before[name]) / SECONDS for name, one in processes.items()
    }


async def drawing(page: Page, url: str, tag: str) -> tuple[int, list[float]]:
    """How many points are drawn, and how long each drawing takes [ms]."""
    await page.goto(f"{url}/trends?tags={tag}&window=3600")
    await page.locator(".u-over").wait_for()
    await asyncio.sleep(3)
    found = await page.evaluate(FILL, [POINTS])
    return found["n"], found["ms"]


async def watched(one: Browser, url: str) -> list[Page]:
    """Five screens, each with a session of its own."""
    pages = []
    for _ in range(SCREENS):
        page = await one.new_page(viewport={"width": 1280, "height": 800})
        await page.goto(f"{url}/dashboards/bench")
        await page.locator(".tr-legend b").first.wait_for()
        pages.append(page)
    await asyncio.sleep(3)
    return pages


async def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        flow = folder / "bench.flow.yaml"
        flow.write_text(FLOW)
        async with Product(folder, [flow], options=["--listen", "127.0.0.1:0"]) as product:
            urls = await until(
                lambda: re.findall(r"screens are at (\S+)", product.said()), "screens"
            )
            url = urls[0]
            engine = psutil.Process(product.pid)
            ui = next(one for one in engine.children() if "ui" in one.cmdline())
            processes = {"engine": engine, "ui": ui}
            async with browser() as one:
                page = await one.new_page()
                await page.goto(f"{url}/dashboards")
                rows = await page.evaluate("fetch('/api/tags').then(r => r.json())")
                tags = sorted(row["tag"] for row in rows)
                saved = await page.evaluate(
                    "(body) => fetch('/api/dashboards/bench', {method: 'PUT', body, "
                    "headers: {'Content-Type': 'application/json'}}).then(r => r.text())",
                    json.dumps({"dashboard": board(tags[:20])}),
                )
                assert "Bench" in saved, saved
                count, times = await drawing(page, url, tags[0])
                await page.close()
                await asyncio.sleep(2)
                idle = await shares(processes)
                pages = await watched(one, url)
                busy = await shares(processes)
                rates = await asyncio.gather(*(page.evaluate(COUNT) for page in pages))
    print(f"20 tags at 5 Hz on {SCREENS} screens, {SECONDS:.0f} s, share of one core:")
    for name, before in idle.items():
        print(f"  {name:<7} {before:6.1%} without, {busy[name]:6.1%} with")
    print(f"  {min(rates):.0f} to {max(rates):.0f} values a second arrive on each screen")
    middle = times[len(times) // 2]
    print(f"{count} points in view are drawn in {middle:.1f} ms (most {times[-1]:.1f} ms)")


if __name__ == "__main__":
    asyncio.run(main())
