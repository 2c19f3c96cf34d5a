"""What a tag is, from its name, its unit and what is said of it."""

from __future__ import annotations

import pytest

from gateway.plant.signals import SIGNALS
from models.explainer import kinds


@pytest.mark.parametrize(
    ("tag", "unit", "about", "asset", "quantity"),
    [
        ("plant/press1/bearing/vibration", "mm/s", "", "bearing", "vibration"),
        ("plant/press1/bearing/vibration#mean", "mm/s", "", "bearing", "vibration"),
        ("plant/press1/gearbox/oil_pressure", "bar", "Gearbox oil", "gearbox", "pressure"),
        ("plant/press1/ram/speed", "mm/s", "Speed of the ram", "press", "speed"),
        ("plant/press1/motor/speed", "/min", "", "motor", "speed"),
        ("plant/press1/oil/level", "%", "Oil level of the tank", "hydraulics", "level"),
        ("plant/press1/ambient/humidity", "%", "", "ambient", "humidity"),
        ("plant/press1/scale/weight", "kg", "Piece on the scale", "scale", "weight"),
        ("plant/press1/die/temperature", "Cel", "Lower die", "tool", "temperature"),
        ("plant/press1/hydraulic_pressure", "bar", "", "hydraulics", "pressure"),
        ("Line4.MainPump.OutletPressure", "", "", "pump", "pressure"),
        ("TT4012", "Cel", "", "other", "temperature"),
        ("TT4012", "Cel", "Winding of the pump motor", "motor", "temperature"),
        ("tank/level/1", "%", "", "tank", "level"),
        ("mixer/weight", "kg", "", "tank", "weight"),
        ("market/acme/price", "", "", "feed", "price"),
        ("web/errors", "{line}/min", "", "feed", "rate"),
        ("hall/meter/power_factor", "1", "", "electrical", "power"),
        ("工場/プレス1/軸受/振動", "mm/s", "", "bearing", "vibration"),
        ("工場/プレス1/油圧/圧力", "MPa", "", "hydraulics", "pressure"),
        ("第2工程/送風機/電流", "A", "", "fan", "current"),
        ("D100", "", "冷却水の流量", "cooling", "flow"),
        ("", "", "", "other", "other"),
        ("/#/..", "zz", "??", "other", "other"),
        ("valve/closed", "", "", "valve", "state"),
        ("line1/pieces", "{pieces}", "", "other", "count"),
    ],
)
def test_a_tag_is_what_its_name_unit_and_sentence_say(
    tag: str, unit: str, about: str, asset: str, quantity: str
) -> None:
    found = kinds.signal(tag, unit, about)
    assert (found.asset, found.quantity) == (asset, quantity)


def test_nearly_every_sensor_of_the_plant_is_known() -> None:
    found = [kinds.signal(one.name, one.unit, one.about) for one in SIGNALS.values()]
    unknown = [one.tag for one in found if one.quantity == "other" or one.asset == "other"]
    assert len(unknown) <= 0.1 * len(found), unknown
