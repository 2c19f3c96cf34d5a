"""A device says by its last will that it has gone: one event, and Bad for its tags."""

from __future__ import annotations

from gateway import quality
from gateway.flow.harness import BenchContext
from nodes.mqtt._availability import Availability, AvailabilityConfig
from nodes.mqtt._intake import Part


def part(*messages: tuple[str, str], arrival: int = 5) -> Part:
    topics = [topic.encode() for topic, _ in messages]
    payloads = [payload.encode() for _, payload in messages]
    return Part(arrival, topics, payloads, sum(map(len, payloads)))


def availability() -> tuple[Availability, BenchContext]:
    ctx = BenchContext(node_id="sensors")
    return Availability(AvailabilityConfig(topic="a/status", device="hall"), ctx), ctx


def test_other_topics_pass_untouched() -> None:
    found, _ = availability()
    given = part(("a/x", "1"), ("a/y", "2"))
    assert found.split(given) == (given, [], None)


def test_gone_and_back() -> None:
    found, ctx = availability()
    from gateway import Batch

    found.saw(Batch.columns([ctx.tags.code("x"), ctx.tags.code("y")], [1, 1], [1.0, 2.0]))
    rest, events, bad = found.split(part(("a/x", "1"), ("a/status", "offline"), ("a/y", "2")))
    assert rest.topics == [b"a/x", b"a/y"]
    assert [(e.topic, e.data["device"], e.data["source"]) for e in events] == [
        ("device/lost", "hall", "sensors")
    ]
    assert bad is not None
    assert bad.tag.tolist() == [0, 1]
    assert set(bad.quality.tolist()) == {quality.BAD_NO_COMMUNICATION}
    _, again, no_more = found.split(part(("a/status", "offline")))
    assert [e.topic for e in again] == ["device/lost"]
    assert no_more is None
    _, back, _ = found.split(part(("a/status", "online\n")))
    assert [e.topic for e in back] == ["device/back"]


def test_another_word_is_counted() -> None:
    found, ctx = availability()
    _, events, bad = found.split(part(("a/status", "perhaps")))
    assert (events, bad) == ([], None)
    assert ctx.counts == {"availability_unknown": 1}
