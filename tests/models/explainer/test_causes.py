"""The knowledge base is whole and well formed, and known cases rank their true cause first."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from models.explainer import causes, knowledge
from models.explainer.knowledge import SOURCES, entries
from models.explainer.sheet import Case, Change, FactSheet, Hole, Move, Signal
from models.explainer.vocabulary import ASSETS, QUANTITIES, SHAPES

S = 10**9
NOW = 1_795_660_000 * S
NOUNS = re.compile(r"(確認|点検|測定|比較|照合|計量)$")
NUMBERS = re.compile(r"\d|[０-９]|\b(one|two|half|twice|double|ten|dozen)\b")


def sheet(
    asset, quantity, shape, way="none", others=(), steady=(), condition="HI", **more
) -> FactSheet:
    main = Move(Signal("t", "", asset, quantity), shape, way, NOW - 60 * S)
    found = tuple(
        Move(Signal(f"o{at}", "", one[0], one[1]), one[2], one[3], NOW - 70 * S, lead_s=one[4])
        for at, one in enumerate(others)
    )
    still = tuple(Signal(f"s{at}", "", *one) for at, one in enumerate(steady))
    return FactSheet("a", 1, NOW, condition, "high", 1, 1, main, others=found, steady=still, **more)


def first(one: FactSheet) -> str:
    return causes.rank(one)[0].id


def test_every_entry_is_well_formed():
    found = entries()
    assert len(found) >= 120
    assert {name for one in found.values() for name in one.sources} == set(SOURCES)
    for one in found.values():
        assert one.sources, one.id
        assert NOUNS.search(one.checks["ja"]), one.id
        texts = [*one.names.values(), *one.checks.values()]
        assert not any(NUMBERS.search(text) for text in texts), one.id
        assert not any(re.search(r"[{}<>*`.。]", text) for text in texts), one.id
        for what, way in one.along:
            assert what in (*ASSETS, *QUANTITIES)
            assert way in ("up", "down", "none", "")


def test_names_are_one_cause_each():
    for language in ("en", "ja"):
        names = [one.names[language] for one in entries().values()]
        twice = {name for name in names if names.count(name) > 1}
        assert len(twice) <= 1, twice


@pytest.mark.parametrize("asset", ASSETS)
def test_every_asset_and_shape_has_a_sensible_cause(asset):
    for quantity in ("temperature", "pressure", "vibration", "current", "level", "state", "other"):
        for shape in SHAPES:
            for way in ("up", "down") if shape in ("step", "drift", "spike") else ("none",):
                ranked = causes.rank(sheet(asset, quantity, shape, way))
                assert 1 <= len(ranked) <= causes.CAUSES_MAX
                assert sum(one.weight for one in ranked) == pytest.approx(1)
                best = entries()[ranked[0].id]
                assert not best.assets or asset in best.assets or asset == "other", (
                    asset,
                    quantity,
                    shape,
                    best.id,
                )


def test_a_device_that_is_lost():
    for asset in ("network", "sensor", "motor", "other"):
        for condition in ("COMM", "STALE"):
            kinds = {
                entries()[one.id].kind
                for one in causes.rank(sheet(asset, "other", "dropout", condition=condition))[:2]
            }
            assert kinds & {"network", "sensor"}


# What the demonstration plant breaks, and what a fitter would say of it.
KNOWN = (
    (sheet("bearing", "vibration", "drift", "up"), "bearing.wear"),
    (
        sheet(
            "bearing",
            "vibration",
            "drift",
            "up",
            others=[("bearing", "temperature", "drift", "up", 20.0)],
        ),
        "bearing.wear",
    ),
    (
        sheet(
            "hydraulics",
            "pressure",
            "drift",
            "down",
            others=[("hydraulics", "flow", "step", "up", -2.0)],
        ),
        "hydraulics.leak",
    ),
    (sheet("hydraulics", "flow", "step", "up"), "hydraulics.internal_leak"),
    (
        sheet(
            "pneumatics",
            "pressure",
            "step",
            "down",
            others=[("pneumatics", "flow", "step", "up", -1.5)],
        ),
        "compressor.leak",
    ),
    (sheet("lubrication", "pressure", "step", "down"), "lubrication.supply"),
    (
        sheet("lubrication", "pressure", "stuck", steady=[("lubrication", "temperature")]),
        "sensor.stuck",
    ),
    (sheet("motor", "speed", "stuck", steady=[("motor", "current")]), "sensor.stuck"),
    (sheet("bearing", "temperature", "dropout"), "sensor.wire"),
    (sheet("ambient", "humidity", "dropout"), "sensor.wire"),
    (sheet("tool", "temperature", "spike", "up"), "sensor.contact"),
    (sheet("scale", "weight", "drift", "up"), "scale.zero"),
    (sheet("network", "other", "dropout", condition="COMM"), "network.power"),
    (sheet("valve", "position", "oscillation"), "valve.stiction"),
    (sheet("pump", "pressure", "noise"), "pump.cavitation"),
    (sheet("feed", "price", "step", "down"), "feed.news"),
    (sheet("feed", "rate", "step", "up"), "feed.burst"),
    (sheet("cooling", "flow", "drift", "down"), "cooling.flow"),
    (sheet("heater", "temperature", "drift", "down"), "heater.element"),
    (sheet("gearbox", "vibration", "drift", "up"), "gearbox.wear"),
)


@pytest.mark.parametrize(("one", "cause"), KNOWN, ids=[cause for _, cause in KNOWN])
def test_known_cases(one, cause):
    assert first(one) == cause


def test_what_moved_long_after_and_otherwise_is_no_company():
    """Seen on the demo: the scale drifts, and twenty seconds later air is used as it always is."""
    others = [("pneumatics", "flow", "spike", "up", 19.3)]
    still = [("pneumatics", "pressure"), ("ambient", "humidity")]
    late = sheet("scale", "weight", "drift", "up", others=others, steady=still)
    unlike, alike, unknown = (
        replace(late, others=(replace(late.others[0], correlation=how),))
        for how in (-0.15, 0.9, float("nan"))
    )
    alone = replace(late, others=())
    assert causes.rank(unlike) == causes.rank(alone)
    assert first(unlike) == "scale.zero"
    for one in (alike, unknown):
        assert causes.rank(one) != causes.rank(alone)
    heat = [("cooling", "temperature", "drift", "up", 25.0)]
    expected = sheet("cooling", "flow", "drift", "down", others=heat)
    expected = replace(expected, others=(replace(expected.others[0], correlation=-0.1),))
    bare = replace(expected, others=())
    assert weight(expected, "cooling.flow") > weight(bare, "cooling.flow")


def test_a_signal_that_moves_alone_speaks_for_its_sensor():
    company = [("cooling", "temperature", "drift", "up", -30.0)]
    still = [("cooling", "flow"), ("cooling", "temperature"), ("ambient", "temperature")]
    alone = sheet("gearbox", "temperature", "drift", "up", steady=still)
    moved = sheet("gearbox", "temperature", "drift", "up", others=company)
    assert weight(alone, "sensor.drift") > 3 * weight(moved, "sensor.drift")


def test_heat_without_a_source_is_a_sensor():
    still = [("hydraulics", "flow"), ("hydraulics", "pressure"), ("motor", "current")]
    assert first(sheet("hydraulics", "temperature", "drift", "up", steady=still)) == "sensor.drift"
    source = [("cooling", "flow", "drift", "down", -40.0)]
    hot = sheet("hydraulics", "temperature", "drift", "up", others=source, steady=still)
    assert first(hot) == "hydraulics.hot"


def test_a_temperature_that_jumps_is_a_contact():
    for asset in ("tool", "cooling", "gearbox"):
        one = sheet(asset, "temperature", "step", "up", steady=[("cooling", "flow")])
        assert entries()[first(one)].kind == "sensor"


def test_what_people_did_before_counts():
    change = (Change("setpoint", NOW - 120 * S),)
    base = sheet("other", "temperature", "step", "up")
    after = sheet("other", "temperature", "step", "up", changes=change)
    long_ago = (Change("setpoint", NOW - 90_000 * S),)
    later = sheet("other", "temperature", "step", "up", changes=long_ago)
    assert weight(after, "loop.setpoint") > weight(base, "loop.setpoint")
    assert weight(later, "loop.setpoint") == weight(base, "loop.setpoint")


def test_holes_in_the_data_speak_for_the_network():
    hole = (Hole("plc", "disconnected", NOW - 90 * S, NOW),)
    base = sheet("network", "rate", "dropout")
    assert weight(
        sheet("network", "rate", "dropout", holes=hole, bad_percent=50.0), "network.switch"
    ) >= weight(base, "network.switch")


def test_operators_teach():
    base = sheet("bearing", "vibration", "drift", "up")
    assert first(base) == "bearing.wear"
    said = (Case("x", NOW - 9000 * S, 0.9, "other", "bearing.lubrication"),)
    taught = sheet("bearing", "vibration", "drift", "up", cases=said)
    assert first(taught) == "bearing.lubrication"
    unlike = (Case("x", NOW - 9000 * S, 0.0, "other", "bearing.lubrication"),)
    assert first(sheet("bearing", "vibration", "drift", "up", cases=unlike)) == "bearing.wear"


def weight(one: FactSheet, cause: str) -> float:
    return next((found.weight for found in causes.rank(one) if found.id == cause), 0.0)


def test_a_broken_entry_is_named():
    good = "[a.b] sensor\nen: x | y\nja: x | y確認\n"
    assert knowledge.parse(good)[0].id == "a.b"
    for bad in (
        good.replace("sensor", "magic"),
        good.replace("en: x | y", "en: x"),
        good + "at: moon 3\n",
        good + "color: red\n",
        good + "just words\n",
    ):
        with pytest.raises(ValueError, match=r"a\.b"):
            knowledge.parse(bad)
