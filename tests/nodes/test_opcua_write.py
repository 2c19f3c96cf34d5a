"""opcua.sink, opcua.method and opcua.browse against a real server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from gateway import Batch, ConfigError, Disconnected, Event, Rejected
from nodes.opcua.browse import OpcuaBrowse
from nodes.opcua.method import OpcuaMethod
from nodes.opcua.sink import OpcuaSink
from tests.nodes.opcua_plc import SECOND, Gateway, Plc, running

pytestmark = pytest.mark.plant


def batch(gw: Gateway, *rows: tuple[str, float, float, int]) -> Batch:
    """Rows of (tag, age in seconds, value, quality)."""
    now = gw.ctx.clock.now()
    return Batch.of(
        [(gw.ctx.tags.code(t), now - round(age * SECOND), v, q) for t, age, v, q in rows]
    )


async def held(plc: Plc, name: str) -> Any:
    return await plc.nodes[name].read_value()


TYPES = {
    "SetDouble": (1.5, 1.5),
    "SetFloat": (0.1, pytest.approx(0.1, rel=1e-6)),
    "SetInt16": (-32768.0, -32768),
    "SetByte": (254.6, 255),
    "SetUInt64": (2.0**53, 2**53),
    "SetBool": (1.0, True),
    "SetString": (12.5, "12.5"),
}


async def test_each_type_is_written_and_read_back(tmp_path: Path) -> None:
    async with running() as plc, Gateway(tmp_path, url=plc.url) as gw:
        tags = {name: plc.id(name) for name in TYPES}
        sink = gw.node(OpcuaSink, tags=tags, read_back=True)
        await sink.connect()
        rows = [(name, 0.0, value, 0) for name, (value, _) in TYPES.items()]
        await sink.write(batch(gw, *rows), "in")
        for name, (_, wanted) in TYPES.items():
            assert await held(plc, name) == wanted
        assert gw.ctx.counts["written"] == len(TYPES)
        for name, value in (
            ("SetInt16", 32768.0),
            ("SetByte", -1.0),
            ("SetUInt64", -1.0),
            ("SetBool", 2.0),
            ("SetFloat", 1e39),
        ):
            before = await held(plc, name)
            with pytest.raises(Rejected, match=f"{name} was not written"):
                await sink.write(batch(gw, (name, 0.0, value, 0)), "in")
            assert await held(plc, name) == before
        await sink.close()


async def test_limits_age_quality_and_the_newest(tmp_path: Path) -> None:
    async with running() as plc, Gateway(tmp_path, url=plc.url) as gw:
        sink = gw.node(
            OpcuaSink,
            tags={"speed": plc.id("SetDouble"), "other": plc.id("SetFloat")},
            limits={"speed": {"min": 0, "max": 60}},
            max_age_s=5,
        )
        await sink.connect()
        good = (("other", 0.0, 3.0, 0), ("unnamed", 0.0, 1.0, 0))
        with pytest.raises(Rejected, match="61 is outside 0 to 60"):
            await sink.write(batch(gw, ("speed", 0.0, 61.0, 0), *good), "in")
        assert await held(plc, "SetDouble") == 0.0
        assert await held(plc, "SetFloat") == 3.0, "the good one is written all the same"
        await sink.write(batch(gw, ("speed", 6.0, 10.0, 0)), "in")
        await sink.write(batch(gw, ("speed", 0.0, 11.0, 0x80000000)), "in")
        assert await held(plc, "SetDouble") == 0.0
        assert (gw.ctx.counts["dropped_stale"], gw.ctx.counts["dropped_bad"]) == (1, 1)
        assert "is 6.0 s old" in gw.ctx.told()
        await sink.write(batch(gw, ("speed", 0.5, 20.0, 0), ("speed", 1.0, 30.0, 0)), "in")
        assert await held(plc, "SetDouble") == 20.0
        assert OpcuaSink.delivery == "fresh"
        assert OpcuaSink.writes


async def test_what_cannot_be_written(tmp_path: Path) -> None:
    async with running() as plc, Gateway(tmp_path, url=plc.url) as gw:
        tags = {
            "fixed": plc.id("Temp"),
            "gone": plc.id("Nowhere"),
            "speed": plc.id("SetDouble"),
        }
        sink = gw.node(OpcuaSink, tags=tags)
        await sink.connect()
        assert "ns=2;s=Temp is read-only" in gw.ctx.told()
        assert "BadNodeIdUnknown" in gw.ctx.told()
        rows = (("fixed", 0.0, 1.0, 0), ("speed", 0.0, 2.0, 0))
        with pytest.raises(Rejected, match="fixed has no node that can be written"):
            await sink.write(batch(gw, *rows), "in")
        assert await held(plc, "SetDouble") == 2.0
        with pytest.raises(ConfigError, match="None of the nodes"):
            await gw.node(OpcuaSink, tags={"fixed": plc.id("Temp")}).connect()
        await gw.connection.close()
        with pytest.raises(Disconnected):
            await sink.write(batch(gw, ("speed", 0.0, 5.0, 0)), "in")
    with pytest.raises(ValidationError, match="which is not in tags"):
        gw.node(OpcuaSink, tags={"a": "i=1"}, limits={"b": {"min": 0, "max": 1}})


async def test_a_method_is_called_once_for_each_event(tmp_path: Path) -> None:
    async with running() as plc, Gateway(tmp_path, url=plc.url) as gw:
        worker = gw.node(
            OpcuaMethod,
            object=plc.id("Press1"),
            method="/Objects/2:Plant/2:Press1/2:Add",
            arguments=["a", "b"],
        )
        await worker.connect()
        now = gw.ctx.clock.now()
        events = (
            Event(now, "do", {"a": 1.5, "b": 2}, id="one"),
            Event(now, "do", {"a": 1.5}, id="two"),
            Event(now, "do", {"a": 1.5, "b": 2**15}, id="three"),
            Event(now - 60 * SECOND, "do", {"a": 1, "b": 1}, id="four"),
        )
        answers = (await worker.handle(events, "in"))["out"]
        assert [(a.id, a.data["ok"], a.data["result"]) for a in answers] == [
            ("one", True, [3.5]),
            ("two", False, []),
            ("three", False, []),
            ("four", False, []),
        ]
        texts = [a.data["text"] for a in answers]
        assert "has no b" in texts[1]
        assert "does not fit Int16" in texts[2]
        assert "60.0 s old" in texts[3]
        listed = gw.node(OpcuaMethod, object=plc.id("Press1"), method=plc.id("Add"))
        await listed.connect()
        out = await listed.handle((Event(now, "do", {"arguments": [2, 3]}),), "in")
        assert out["out"][0].data["result"] == [5.0]
        with pytest.raises(ConfigError, match="is no method"):
            await gw.node(OpcuaMethod, object=plc.id("Press1"), method=plc.id("Temp")).connect()


async def test_browse_answers_one_level(tmp_path: Path) -> None:
    async with running(extra=5) as plc, Gateway(tmp_path, url=plc.url) as gw:
        worker = gw.node(OpcuaBrowse)
        await worker.connect()
        asked = (Event(0, "show", {}, id="top"), Event(0, "show", {"node": plc.id("Press1")}))
        top, press = (await worker.handle(asked, "in"))["out"]
        assert "Plant" in [child["name"] for child in top.data["children"]]
        assert top.id == "top"
        children = {child["name"]: child for child in press.data["children"]}
        assert children["Temp"] == {
            "name": "Temp",
            "browse_name": "2:Temp",
            "node": "ns=2;s=Temp",
            "class": "variable",
            "datatype": "Double",
            "value": 20.0,
            "quality": "Good",
            "unit": "degC",
        }
        assert children["Add"]["class"] == "method"
        assert children["Array"]["value"] == [1.0, 2.0, 3.0]
        json.dumps(top.data, allow_nan=False)
        none = await worker.children("ns=2;s=Nowhere")
        assert none["children"] == []
        assert "cannot be browsed: BadNodeId" in none["text"]
        assert "is no node" in (await worker.children("what"))["text"]
        few = await gw.node(OpcuaBrowse, children_max=3).children(plc.id("Many"))
        assert len(few["children"]) == 3
        assert few["text"] == "Only the first 3."
