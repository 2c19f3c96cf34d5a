"""Every scripted fault of the plant, explained in English and Japanese with the network off.

The short form looks at the samples of the plant as its devices would send them, at the moment of
the alarm. With GENBA_TORTURE=1 the demo itself runs, with real devices on the loopback address,
and its gateway is asked over the API.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
from pathlib import Path
from typing import Any

import pytest

from gateway.api.client_explain import ExplainClient
from gateway.cli.demo import variables
from gateway.engine.explain_view import cause_row
from gateway.plant.faults import Fault, FaultKind
from gateway.plant.plant import Plant
from models.explainer import causes, facts, template
from models.explainer.text import LANGUAGES
from models.explainer.vocabulary import Shape
from tests.models.explainer.plant_truth import Played
from tests.plant.product import Product, shipped, until

pytestmark = [pytest.mark.plant]
TORTURE = bool(os.environ.get("GENBA_TORTURE"))
FIRST_S = 26.0

SHAPES: dict[FaultKind, tuple[Shape, ...]] = {
    "spike": ("spike", "step"),  # While its top lasts, nobody can know that it will not stay.
    "unplugged": ("dropout",),
    "stuck": ("stuck",),
    "leak": ("step", "drift"),
    "drift": ("drift",),
    "bearing_wear": ("drift",),
    "power_off": ("dropout",),
}
CAUSES: dict[str, tuple[str, ...]] = {
    # Written down from what the plant does to its parts; what is checked first follows from it.
    # A spike is added to what one sensor says, for three seconds, and nothing else in the plant
    # changes (`PlantView.read`). A current, a pressure or a weight can do that by itself, so that
    # the part that would is right. A temperature cannot: heat neither comes nor goes within one
    # sample, the water that carries it flows as before, and so only the sensor is right.
    "spike conveyor/current": ("conveyor.jam", "conveyor.belt", "motor.overload"),
    "spike die/temperature": ("sensor.contact",),
    "spike hydraulics/filter_dp": ("hydraulics.filter", "hydraulics.valve", "hydraulics.relief"),
    "spike water/outlet_temperature": ("sensor.contact",),
    "spike scale/weight": ("scale.disturbed", "scale.zero", "scale.product", "scale.overload"),
    "unplugged": ("sensor.wire", "sensor.contact", "sensor.supply"),
    "stuck": ("sensor.stuck", "sensor.impulse"),
    "leak hydraulics/pressure": ("hydraulics.leak", "hydraulics.internal_leak"),
    "leak air/pressure": ("compressor.leak", "pneumatics.consumption"),
    "leak lube/pressure": ("lubrication.supply",),
    "drift scale/weight": ("scale.zero", "sensor.drift"),
    "drift water/inlet_temperature": ("cooling.source", "cooling.fouling", "sensor.drift"),
    "drift ambient/temperature": ("ambient.ventilation", "ambient.weather", "sensor.drift"),
    "drift oil/temperature": ("hydraulics.hot", "sensor.drift"),
    "drift gearbox/temperature": ("gearbox.oil", "gearbox.wear", "sensor.drift"),
    "bearing_wear bearing/vibration": ("bearing.wear", "bearing.lubrication"),
    "bearing_wear gearbox/vibration": ("gearbox.wear", "gearbox.oil", "gearbox.tooth"),
    "bearing_wear guide/vibration": ("press.guide",),
    "power_off": ("network.power", "network.cable", "network.bus"),
}


def right_causes(fault: Fault) -> tuple[str, ...]:
    where = "/".join(fault.tag.split("/")[2:]) if fault.tag else ""
    return CAUSES.get(f"{fault.kind} {where}") or CAUSES[fault.kind]


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """No socket can be opened."""

    def refused(*values: object) -> None:
        raise AssertionError("something wants the network")

    for name in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, name, refused)


@pytest.mark.slow
def test_every_kind_of_fault_has_its_shape_and_its_first_check(offline: None) -> None:
    played = Played(1, 1400.0)
    wrong: list[str] = []
    kinds: set[str] = set()
    for alarm in played.alarms:
        fault = alarm.fault
        kinds.add(fault.kind)
        sheet = facts.sheet(played.evidence(alarm))
        ranked = causes.rank(sheet)
        is_right = sheet.move.shape in SHAPES[fault.kind] and ranked[0].id in right_causes(fault)
        if not is_right:
            wrong.append(f"{fault.text()}: {sheet.move.shape}, {ranked[0].id}")
        for language in LANGUAGES:
            text = template.explain(sheet, language, causes=ranked)
            assert text.is_checked
            check = next(one for one in text.sentences if "check" in (one.role, *_slots(one)))
            assert cause_row(ranked[0].id, language)["check"] in check.text
    assert kinds == set(SHAPES)
    assert not wrong, "\n".join(wrong)


def _slots(sentence: Any) -> list[str]:
    return [piece.slot for piece in sentence.pieces]


@pytest.mark.slow
@pytest.mark.skipif(not TORTURE, reason="two cycles of the plant: GENBA_TORTURE=1")
async def test_the_demo_explains_what_it_alarms(tmp_path: Path) -> None:
    """Real devices, a real gateway, its API; each fault within two seconds of its alarm."""
    seconds = 310.0
    async with Plant(tmp_path / "plant", seed=1, secure=False) as plant:
        manifest = plant.manifest()
        values = variables(manifest)
        async with Product(tmp_path, shipped(), values) as product:
            await until(lambda: plant.now() > seconds, "two cycles", seconds=seconds + 60)
            assert product._client is not None
            client = ExplainClient(product._client.url)
            raised = [
                row
                for row in await asyncio.to_thread(lambda: client.alarms(history=True))
                if row["change"] == "raised"
            ]
            told = await asyncio.to_thread(_explained, client, raised)
            (tmp_path / "told.json").write_text(json.dumps(told))
        # The first comes before the detectors have their first minute.
        faults = [one for one in plant.schedule(seconds - 30) if one.start_s > FIRST_S]
        t0 = float(manifest["t0"])
        lines = [_line(fault, told, t0) for fault in faults]
        print("\n".join(json.dumps(line, ensure_ascii=False) for line in lines))
        good = [line for line in lines if line["is_right"]]
        assert {fault.kind for fault in faults} == set(SHAPES)
        assert good == lines, "\n".join(str(line) for line in lines if line not in good)


def _explained(client: ExplainClient, raised: list[dict[str, Any]]) -> list[dict[str, Any]]:
    found = []
    for row in raised:
        one = client.explanation(row["alarm"], row["occurrence"])
        ja = client.explanation(row["alarm"], row["occurrence"], "ja")
        assert one["state"] == ja["state"] == "done" or row["condition"] == "HEALTH", one["note"]
        found.append({**row, "explanation": one, "japanese": ja})
    return found


def _line(fault: Fault, told: list[dict[str, Any]], t0: float) -> dict[str, Any]:
    """What was said of a fault by the first alarm that finds it."""
    for row in sorted(told, key=lambda one: one["ts"]):
        at_s = row["ts"] / 1e9 - t0
        base = row["tag"].partition("#")[0]
        is_tag = base in fault.expect_tags
        is_device = fault.kind == "power_off" and row["condition"] == "COMM"
        if not (is_tag or is_device):
            continue
        if not fault.start_s - 1 <= at_s <= fault.start_s + fault.detect_within_s + 1:
            continue
        found = row["explanation"]
        moves = [found["sheet"]["move"], *found["sheet"]["others"]]
        shapes = [move["shape"] for move in moves if move["signal"]["tag"].startswith(base)]
        shape = (shapes or [found["sheet"]["move"]["shape"]])[0]
        cause = found["causes"][0]["id"]
        is_right = shape in SHAPES[fault.kind] and cause in right_causes(fault)
        return {
            "fault": fault.text(),
            "alarm": f"{row['alarm']} {at_s - fault.start_s:+.1f} s",
            "shape": shape,
            "cause": cause,
            "is_right": is_right and bool(found["text"] and row["japanese"]["text"]),
            "took_s": found["took_s"],
        }
    return {"fault": fault.text(), "is_right": False, "why": "no alarm"}
