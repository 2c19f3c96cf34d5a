"""What the gateway says in Japanese: every reason and every finding, and never another number."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import AlarmEvent, Transform
from gateway.flow import registry
from gateway.flow.document import Document
from gateway.flow.effects import effects
from gateway.flow.harness import Bench, arrivals, context_of, make
from gateway.flow.lint import lint_text
from gateway.flow.notation import table
from gateway.flow.said import Sayings, in_language, sayings
from ui.i18n import texts
from ui.locale import collected_said
from ui.locale.sentences import said_in

NUMBER = re.compile(r"\d+(?:\.\d+)?")
ENGLISH = re.compile(r"\b[a-z]{3,} [a-z]{2,} [a-z]{2,}\b")
JA = sayings("ja")
ALARMS = [name for name in registry.names() if name.startswith("alarm.")]
MORE: list[dict[str, Any]] = [{}, {"on_delay_s": 0.5}, {"off_delay_s": 0.5}, {"deadband": 0.25}]


def reasons(name: str) -> Iterator[str]:
    """What a kind of alarm says in its examples, as they are and with delays and a deadband."""
    cls = registry.node_class(name)
    assert issubclass(cls, Transform)
    for example in cls.examples:
        for more in MORE:
            if not more.keys() <= cls.Config.model_fields.keys():
                continue
            ctx = context_of(example)
            bench = Bench(make(cls, {**example.config, **more}, ctx))
            assert example.given is not None
            for arrival in arrivals(cls, example.given, ctx.tags):
                bench.send(arrival.message, arrival.port, arrival.now)
            bench.run_until(table.parse_time("1d"))
            for message in bench.out["alarms"]:
                assert isinstance(message, tuple)
                yield from (e.text for e in message if isinstance(e, AlarmEvent))


@pytest.mark.parametrize("name", [name for name in ALARMS if name != "alarm.health"])
def test_every_reason_of_an_alarm_has_japanese(name: str) -> None:
    found = set(reasons(name))
    assert found
    for text in found:
        told = JA.of(text)
        assert told != text and not ENGLISH.search(told.partition(": ")[0]), (text, told)
        assert Counter(NUMBER.findall(told)) == Counter(NUMBER.findall(text)), (text, told)


BROKEN = {
    "none": "flow: a\nversion: 1\n",
    "empty": "",
    "tab": "flow: a\n\tnodes:\n",
    "names": "flow: a\nversion: 1\nnodez: {}\n",
    "cycle": "flow: a\nversion: 1\nnodes:\n  b: {type: filter.deadband, band: -1}\n"
    "  c: {type: filter.rate, every: 1}\nwires: [b -> c -> b, c -> d, b]\n",
    "types": "flow: a\nversion: 1\nnodes:\n  b: {type: filter.dedband}\n"
    "  s: {type: simulate.source, tag: x y, every_s: soon, low: 3, high: 2}\n"
    "  w: {type: modbus.sink, connection: plc, tags: {a: 'holding:x'}}\n"
    "  l: {type: alarm.limit, hi: 3, lo: 5}\n  m: {type: alarm.limit}\n"
    "  j: {type: email.sink, host: mail, user: me, to: [me@here], outbox: {rows_max: 0}}\n"
    "connections:\n  plc: {type: modbus.connection, address: 'http://x'}\n"
    "wires: [s -> w, s -> l.none, s -> m]\n",
    "tests": "flow: a\nversion: 1\nnodes:\n  s: {type: simulate.source, tag: x}\n"
    "  l: {type: log.sink}\nwires: [s -> l]\n"
    "tests:\n  - {title: t, given: {l: x 0s 1, q: x 0s 1}, expect: {s.no: x 0s 1}}\n",
}


@pytest.mark.parametrize("broken", BROKEN)
def test_what_lint_says_has_japanese(broken: str) -> None:
    """A hint may be what an option says of itself: that is in the catalogue of the screens."""
    _, findings = lint_text(BROKEN[broken], "a.flow.yaml", {})
    assert findings
    for finding in findings:
        for text in filter(None, (finding.text, finding.hint)):
            told = JA.of(text)
            assert told != text or text in texts("ja"), text
            assert not ENGLISH.search(re.sub("`[^`]*`", "", told)) or text in texts("ja"), told


def test_what_a_deploy_reaches_has_japanese(root: Path) -> None:
    for path in sorted((root / "flows").rglob("*.flow.yaml")):
        document = Document.parse(path.read_text("utf-8"), path.name)
        for text in (document.about, *effects(document)):
            assert JA.of(text) != text


def test_a_new_sentence_without_japanese_is_missed() -> None:
    """What the test of all texts compares: a sentence that was written today is in none."""
    source = 'def f(x):\n    raise ConfigError(f"The frob {x.name!r} is bent.", hint="Unbend it.")'
    known = {str(message.id) for message in collected_said() if message.id}
    assert {*said_in(source)} - known == {"The frob {name} is bent.", "Unbend it."}
    rule = "def f(x):\n    raise ValueError('`low` is lower than `lowest`')"
    assert [*said_in(rule)] == ["`low` is lower than `lowest`."]


@given(
    tag=st.text(st.characters(codec="utf-8", exclude_characters=" +\n\r"), min_size=1).filter(
        lambda text: not re.search(r"\s", text)
    ),
    value=st.floats(-1e12, 1e12),
    limit=st.floats(-1e12, 1e12),
)
def test_values_stand_as_they_are(tag: str, value: float, limit: float) -> None:
    a, b = table.amount(value, "Cel"), table.amount(limit, "Cel")
    text = f"{tag} {a} is above the HI limit {b}"
    assert JA.of(text) in (f"{tag} の値 {a} が HI しきい値 {b} を上回っています", text)


def test_what_can_be_read_in_two_ways_stays_as_it_is() -> None:
    known = Sayings({"{a} of {b}": "{b} の {a}", "{whole}: {why}": "{whole} ({why})"})
    assert known.of("x of y") == "y の x"
    assert known.of("x of y of z") == "x of y of z"
    assert known.of("nobody knows: this") == "nobody knows: this"


def test_sentences_one_after_the_other() -> None:
    text = "press has been away for 30 s: No answer from 10.0.0.5:502 within 3 s."
    assert JA.of(f"{text} Is it switched on? Next try in 5 s.") == (
        "press と 30 s 通信できません: 10.0.0.5:502 から 3 秒以内に応答がありません。"
        "電源は入っていますか。5 秒後に再試行します。"
    )
    assert JA.of("What is that. Next try in 5 s.") == "What is that. 5 秒後に再試行します。"
    assert JA.of("a.flow.yaml:3 nodes.x: There is no node 'y'.") == (
        "a.flow.yaml:3 nodes.x: ノード 'y' がありません。"
    )
    long = "It is over. " * 1_000
    assert JA.of(long) == long


def test_answers_of_the_api_keep_all_but_sentences() -> None:
    over, told = "It is over.", "解消しました。"
    row = {"tag": over, "reason": over, "value": 3, "hid": {"text": over}}
    assert in_language([row], "ja") == [{**row, "reason": told, "hid": {"text": told}}]
    assert in_language(row, "en") is row
