"""The ready pipelines with a model in them: against real servers, and with a feed of their own."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from gateway.cli.docs import guides
from gateway.engine.bookkeeping import flow_books
from gateway.engine.runtime import Runtime
from gateway.flow.document import Document
from gateway.flow.variables import resolve
from tests.engine.gear import started, until
from tests.nodes.llm_server import ModelServer, model_server
from tests.nodes.web_server import Site, serving

ROOT = Path(__file__).resolve().parents[2]
FLOWS = ROOT / "flows" / "examples"
PACE_S = 1 / 200


def flow_of(name: str, **values: str) -> Document:
    document = Document.load(FLOWS / f"{name}.flow.yaml")
    return document.with_values(lambda value: resolve(value, values))


def says(messages: list[dict[str, str]]) -> str:
    """What the model of these tests says to a question."""
    task, text = messages[0]["content"], messages[-1]["content"]
    is_urgent = "smokes" in text
    if task.startswith("Sort"):
        return json.dumps({"class": "urgent" if is_urgent else "thanks"})
    if task.startswith("How does"):
        return json.dumps({"mood": "bad" if is_urgent else "good"})
    if "errors of" in text:
        return "The bank does not answer. Look at its link first."
    if " jumped: " in text:
        return "A large order."
    if "alarms in" in text:
        return "The bearing runs rough."
    return f"So it is: {text[:12]}"


@pytest.fixture
async def model(tmp_path: Path) -> AsyncIterator[ModelServer]:
    async with model_server(says) as server:
        server.lend(tmp_path)
        yield server


def shown(runtime: Runtime, flow: str, node: str = "screen") -> list[str]:
    """Lines of a console of a flow."""
    place = f"{flow}/{node}"
    return [text for _, _, where, text in runtime.lines.kept if where == place]


class Feed:
    """A WebSocket server that says 200 messages a second, as long as they are taken.

    Args:
        pad: Characters of each message.
    """

    def __init__(self, pad: int) -> None:
        self.pad = "x" * pad
        self.sent = 0
        self.most_behind_s = 0.0
        self.is_over = False

    async def act(self, socket: ServerConnection) -> None:
        clock = asyncio.get_running_loop().time
        start = clock() - self.sent * PACE_S
        try:
            while not self.is_over:
                data = {
                    "id": self.sent,
                    "user": self.sent % 5,
                    "text": f"{self.sent} hi",
                    "pad": self.pad,
                }
                await socket.send(json.dumps(data))
                self.sent += 1
                due = start + self.sent * PACE_S
                self.most_behind_s = max(self.most_behind_s, clock() - due)
                await asyncio.sleep(max(due - clock(), 0))
            await socket.wait_closed()
        except ConnectionClosed:
            pass


@pytest.mark.plant
@pytest.mark.slow
async def test_200_messages_a_second_and_a_slow_model(model: ModelServer, tmp_path: Path) -> None:
    """The pressure reaches the socket, what waits is bounded, and nothing is lost."""
    model.word_s = 0.02
    feed = Feed(50_000)
    name = "websocket-model-console"
    async with serve(feed.act, "127.0.0.1", 0, compression=None) as server:
        url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        runtime = await started(flow_of(name, feed_url=url), tmp_path)
        runner = runtime.runners[name]
        waits: list[int] = []

        def counts() -> Any:
            return runner.statuses["model"].counts

        await until(lambda: runner.workers["model"].holds_up, 30)
        await until(lambda: feed.most_behind_s > 1.0, 60)  # The server could not send.
        # On a busy machine the sender may be late before all on the way is full.
        while len(waits) < 15 or (waits[-1] > waits[-15] + 20 and len(waits) < 300):
            await asyncio.sleep(0.2)
            waits.append(feed.sent - counts()["answered"])
            # 1 MB of messages and one reading, which is the larger the faster the machine is.
            assert runner.workers["model"].outbox.rows <= 1_500
            assert flow_books(runner)["unbalanced"] == 0
        assert max(waits) < 2_000, "what waits on the way is bounded"
        assert waits[-1] <= waits[-15] + 20, "and does not grow"
        feed.is_over = True
        model.word_s = 0.0
        await until(lambda: counts()["answered"] == feed.sent, 120)
        assert len(model.asked) == feed.sent, "each once"
        assert counts()["dropped_full"] == counts()["rejected"] == 0
        await until(lambda: not runner.workers["model"].outbox.rows)
        books = flow_books(runner)
        assert books["unbalanced"] == 0
        (outlet,) = [one for one in books["outlets"] if one["node"] == "model"]
        assert (outlet["delivered"], outlet["dead"], outlet["dropped"]) == (feed.sent, 0, {})
        await until(lambda: all(line.endswith(" hi") for line in shown(runtime, name)))
        await runtime.stop()


# ---------------------------------------------------------------------- with a feed of their own


def offline(name: str) -> Document:
    """A shipped flow, with what `ui/help/pipelines.md` puts in the place of its feed."""
    page = guides()["pipelines.md"]
    blocks = [part.partition("```")[0] for part in page.split("```yaml\n")[1:]]
    (own,) = [block for block in blocks if block.startswith(f"# {name}\n")]
    instead = Document.parse(f"flow: own\nversion: 1\n{own}")
    document = flow_of(name)
    ((node, entry),) = instead.nodes.items()
    assert node in document.nodes
    return replace(document, nodes={**document.nodes, node: entry}, connections={}, tests=())


def quicker(document: Document, more: dict[str, dict[str, Any]]) -> Document:
    """The same with shorter times."""
    nodes = {
        name: replace(entry, config={**entry.config, **more.get(name, {})})
        for name, entry in document.nodes.items()
    }
    return replace(document, nodes=nodes)


async def test_the_founding_pipeline_streams_into_its_console(
    model: ModelServer, tmp_path: Path
) -> None:
    model.word_s = 0.15
    runtime = await started(offline("websocket-model-console"), tmp_path)
    await until(lambda: shown(runtime, "websocket-model-console"))
    first = shown(runtime, "websocket-model-console")[0]
    assert "So it is:".startswith(first.split(" ")[0])
    whole = "So it is: Why does a p"
    await until(lambda: shown(runtime, "websocket-model-console")[0] == whole)
    await runtime.stop()


async def test_a_burst_of_errors_is_summed_up_and_told(
    model: ModelServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = Site()
    async with serving(site) as url:
        monkeypatch.setenv("GENBA_SECRET_SLACK_OPS", url)
        document = quicker(offline("service-errors"), {"burst": {"for_s": 2.0}})
        runtime = await started(document, tmp_path)
        await until(lambda: site.heard, 30)
        text = json.loads(site.heard[0].body)["text"]
        assert text.startswith("pay: ")
        assert text.endswith("errors. The bank does not answer. Look at its link first.")
        question = model.questions()[0]
        assert "errors of pay" in question
        assert "- timeout after 300" in question
        await runtime.stop()


async def test_an_urgent_message_reaches_slack_with_a_draft(
    model: ModelServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = Site()
    async with serving(site) as url:
        monkeypatch.setenv("GENBA_SECRET_SLACK_SUPPORT", url)
        runtime = await started(offline("support-urgent"), tmp_path)
        await until(lambda: site.heard and len(shown(runtime, "support-urgent")) >= 2, 30)
        texts = [json.loads(heard.body)["text"] for heard in site.heard]
        assert texts[0].startswith("*mo* (bad): The machine smokes")
        assert texts[0].endswith("Draft: So it is: The machine ")
        assert all("Thanks" not in text for text in texts)
        assert any("thanks (good) li: Thanks" in line for line in shown(runtime, "support-urgent"))
        assert flow_books(runtime.runners["support-urgent"])["unbalanced"] == 0
        await runtime.stop()


async def test_alarms_of_a_machine_are_summed_up(model: ModelServer, tmp_path: Path) -> None:
    more = {"quarter": {"for_s": 1.0}, "worn": {"deadband": 0.0}}
    document = quicker(offline("factory-shift"), more)
    runtime = await started(document, tmp_path)
    await until(lambda: shown(runtime, "factory-shift"), 30)
    assert shown(runtime, "factory-shift")[0].endswith("alarms: The bearing runs rough.")
    assert "bearing/vibration HI at" in model.questions()[0]
    await runtime.stop()


async def test_a_jump_of_the_market_is_a_line(model: ModelServer, tmp_path: Path) -> None:
    """Three moving standard deviations on a WebSocket feed."""

    async def act(socket: ServerConnection) -> None:
        await socket.recv()
        for i, price in enumerate([100, 100.1, 99.9, 100.2, 99.8, 112]):
            await socket.send(json.dumps({"time": 1_700_000_000 + i, "price": price, "size": 1}))
        await socket.wait_closed()

    async with serve(act, "127.0.0.1", 0) as server:
        url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        runtime = await started(flow_of("market-feed", feed_url=url), tmp_path)
        await until(lambda: shown(runtime, "market-feed"))
        assert "market/acme/price raised" in shown(runtime, "market-feed")[0]
        await until(lambda: shown(runtime, "market-feed", "said"))
        assert shown(runtime, "market-feed", "said")[0].endswith("acme/price: A large order.")
        assert "market/acme/price jumped: its score is" in model.questions()[0]
        await runtime.stop()


async def test_the_market_can_be_tried_without_a_feed(model: ModelServer, tmp_path: Path) -> None:
    document = quicker(offline("market-feed"), {"feed": {"every_s": 0.1, "period_s": 4.0}})
    runtime = await started(document, tmp_path)
    await until(lambda: shown(runtime, "market-feed", "said"), 30)
    await runtime.stop()
