"""The text of a dashboard: what is read, what is refused, and that saving it changes nothing."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.errors import ConfigError
from gateway.flow.dashboard import Dashboard
from gateway.flow.picture import name_of

WIDGET: dict[str, Any] = {"id": "a", "type": "number", "at": [0, 0, 4, 4], "tag": "plant/x"}


def board(*widgets: dict[str, Any], **more: Any) -> Dashboard:
    return Dashboard.of({"dashboard": "test", "widgets": list(widgets), **more}, "test")


def test_one_of_each_kind_is_the_same_after_writing_and_reading() -> None:
    at = [0, 0, 4, 4]
    limits = {"lo": 1, "hi": 2.5}
    made = board(
        {"id": "a", "type": "trend", "at": at, "tags": ["x", "y"], "window_s": 60, "low": 0},
        {"id": "b", "type": "gauge", "at": at, "tag": "x", "low": 0, "high": 3, "limits": limits},
        {"id": "c", "type": "number", "at": at, "tag": "x", "digits": 2, "spark_s": 0},
        {"id": "d", "type": "bar", "at": at, "tags": ["x"], "limits": limits},
        {"id": "e", "type": "timeline", "at": at, "tags": ["x"], "states": {"0": "off", "1": "on"}},
        {"id": "f", "type": "table", "at": at, "tags": ["x"]},
        {
            "id": "g",
            "type": "image",
            "at": at,
            "picture": "0" * 32 + ".png",
            "spots": [{"tag": "x", "x": 0.5, "y": 1, "label": "here", "link": "other"}],
        },
        {"id": "h", "type": "spectrum", "at": at, "tag": "x", "waterfall": False},
        {"id": "i", "type": "alarms", "at": at, "prefix": "plant/"},
        {"id": "j", "type": "text", "at": at, "text": "# Yes\n\non: *two* lines\n"},
        {"id": "k", "type": "setpoint", "at": at, "flow": "f", "node": "n", "tag": "x"},
        title="2026-11-26",
        role="operator",
    )
    text = made.text()
    again = Dashboard.parse(text, "test")
    assert again == made
    assert again.text() == text


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"at": [21, 0, 4, 4]}, "not on the grid"),
        ({"at": [0, 0, 0, 4]}, "not on the grid"),
        ({"at": [0, 0, 4]}, "at"),
        ({"limits": {"lo": 3, "hi": 2}}, "limits must rise"),
        ({"limits": {"hi": float("nan")}}, "finite"),
        ({"type": "iframe"}, "iframe"),
        ({"url": "https://example.com"}, "url"),
        ({"id": "A b"}, "id"),
        ({"digits": 99}, "digits"),
        ({"tag": "x" * 600}, "tag"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(change: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        board({**WIDGET, **change})
    assert says in str(caught.value)
    assert "widgets.0" in str(caught.value)


def test_names_and_numbers_of_widgets() -> None:
    with pytest.raises(ConfigError, match="two widgets are called 'a'"):
        board(WIDGET, WIDGET)
    with pytest.raises(ConfigError, match="at most 60"):
        board(*({**WIDGET, "id": f"w{i}"} for i in range(61)))
    with pytest.raises(ConfigError):
        board(title="x", version=2)


def test_a_jpeg_is_read_to_its_size_and_a_broken_one_refused() -> None:
    head = b"\xff\xd8\xff\xe0\x00\x04ab\xff\xc0\x00\x0b\x08"
    assert name_of(head + b"\x00\x10\x00\x20" + b"\0" * 10).endswith(".jpg")
    for data in (
        head + b"\x00\x00\x00\x20" + b"\0" * 10,
        b"\xff\xd8\xff",
        b"\xff\xd8\xff\xe0\xff\xff",
    ):
        with pytest.raises(ConfigError):
            name_of(data)
