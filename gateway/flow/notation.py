"""Messages as text: what examples and flow tests write for each kind of wire.

samples   ``TT101 0s 20.0 | 1s 20.5 bad``                       a line a tag
windows   ``TT101 0s-60s: 0s 20, 30s 20.5 | 60s-120s: 61s 22``  a line a tag, rows after the colon
alarms    ``15s TT101 HI raised UNACK 76 75``                   a line an event, in order; an
          overlay follows the state: ``UNACK/SHLVD``; value and limit come last
events    ``3s alarm/ack {"alarm": "…"}``                       a line an event: time, topic, JSON
"""

from __future__ import annotations

import json
import re
from dataclasses import replace

import numpy as np

from gateway.data import table
from gateway.data.alarm import AlarmEvent, AlarmState, Overlay
from gateway.data.batch import Batch
from gateway.data.event import Event
from gateway.data.tag import TagTable
from gateway.data.windows import NO_WINDOWS, Windows
from gateway.flow.node import Carries, Message


def parse(text: str, carries: Carries, tags: TagTable) -> Message:
    """The message a text describes.

    Raises:
        ValueError: The text is not in the notation; the message quotes the place.
    """
    match carries:
        case "samples":
            return table.parse(text, tags)
        case "windows":
            return _parse_windows(text, tags)
        case "alarms":
            return tuple(_parse_alarm(line) for line in _lines(text))
        case "events":
            return tuple(_parse_event(line) for line in _lines(text))


def show(message: Message, tags: TagTable) -> str:
    """The text of a message; `parse` reads it back."""
    if isinstance(message, Batch):
        return table.show(message, tags)
    if isinstance(message, Windows):
        return _show_windows(message, tags)
    return "\n".join(
        _show_alarm(item) if isinstance(item, AlarmEvent) else _show_event(item) for item in message
    )


def moved(message: Message, ns: int) -> Message:
    """The same message at another time: every time in it later by `ns`."""
    if isinstance(message, Batch):
        return Batch(message.tag, message.ts + ns, message.value, message.quality)
    if isinstance(message, Windows):
        rows = message.rows
        later = Batch(rows.tag, rows.ts + ns, rows.value, rows.quality)
        times = message.start + ns, message.end + ns
        return Windows(message.tag, *times, message.offset, later)
    return tuple(replace(item, ts=item.ts + ns) for item in message)  # type: ignore[return-value]  # one kind a port


def concat(messages: list[Message]) -> Message | None:
    """All messages of one port as one; None when there are none."""
    if not messages:
        return None
    first = messages[0]
    if isinstance(first, Batch):
        return Batch.concat([m for m in messages if isinstance(m, Batch)])
    if isinstance(first, Windows):
        return Windows.concat([m for m in messages if isinstance(m, Windows)])
    joined: list[AlarmEvent | Event] = []
    for message in messages:
        assert isinstance(message, tuple)
        joined.extend(message)
    return tuple(joined)  # type: ignore[return-value]  # all of one kind, as the port says


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]


def _parse_windows(text: str, tags: TagTable) -> Windows:
    parts = []
    for line in _lines(text):
        name, _, cells = line.partition(" ")
        code = tags.code(name)
        for cell in cells.split("|"):
            span, colon, rows = cell.partition(":")
            found = re.fullmatch(r"(-?[\d.]+\w+)-(-?[\d.]+\w+)", span.strip())
            if not colon or found is None:
                raise ValueError(
                    f"{cell.strip()!r} is no window. Write 0s-60s: 0s 20, 30s 20.5 bad"
                )
            inside = rows.replace(",", "|").strip()
            batch = table.parse(f"{name} {inside}", tags) if inside else NO_WINDOWS.rows
            start, end = table.parse_time(found[1]), table.parse_time(found[2])
            parts.append(
                Windows(
                    np.array([code], np.uint16),
                    np.array([start], np.int64),
                    np.array([end], np.int64),
                    np.array([0, len(batch)], np.intp),
                    batch,
                )
            )
    return Windows.concat(parts)


def _show_windows(windows: Windows, tags: TagTable) -> str:
    lines: dict[int, list[str]] = {}
    for i in range(len(windows)):
        code = int(windows.tag[i])
        rows = windows.rows.where(slice(int(windows.offset[i]), int(windows.offset[i + 1])))
        inside = table.show(rows, tags).partition(" ")[2].replace(" |", ",")
        span = (
            f"{table.format_time(int(windows.start[i]))}-{table.format_time(int(windows.end[i]))}"
        )
        lines.setdefault(code, []).append(f"{span}: {inside}".rstrip())
    return "\n".join(f"{tags.name(code)} {' | '.join(cells)}" for code, cells in lines.items())


def _parse_alarm(line: str) -> AlarmEvent:
    parts = line.split()
    if len(parts) < 7:
        raise ValueError(f"{line!r} is no alarm. Write: 15s TT101 HI raised UNACK 76 75")
    state, _, overlay = parts[4].partition("/")
    if state not in {s.value for s in AlarmState}:
        known = ", ".join(s.value for s in AlarmState)
        raise ValueError(f"{state!r} is no state of an alarm. There is {known}.")
    return AlarmEvent(
        alarm=f"test:{parts[1]}:{parts[2]}",
        tag=parts[1],
        ts=table.parse_time(parts[0]),
        change=parts[3],
        state=AlarmState(state),
        overlay=Overlay(overlay or "NONE"),
        condition=parts[2],
        value=float(parts[5]),
        limit=float(parts[6]),
    )


def _show_alarm(event: AlarmEvent) -> str:
    overlay = "" if event.overlay is Overlay.NONE else f"/{event.overlay.value}"
    return (
        f"{table.format_time(event.ts)} {event.tag} {event.condition} {event.change} "
        f"{event.state.value}{overlay} {table.number(event.value)} {table.number(event.limit)}"
    )


def _parse_event(line: str) -> Event:
    parts = line.split(maxsplit=2)
    if len(parts) < 2:
        raise ValueError(f'{line!r} is no event. Write: 3s topic {{"key": 1}}')
    data = json.loads(parts[2]) if len(parts) == 3 else {}
    return Event(table.parse_time(parts[0]), parts[1], data)


def _show_event(event: Event) -> str:
    data = json.dumps(event.data, sort_keys=True, ensure_ascii=False)
    return f"{table.format_time(event.ts)} {event.topic} {data}"


def normal(text: str, carries: Carries) -> str:
    """A text in its shortest form, so that an expectation may be written with 20.0 or 20."""
    tags = TagTable()
    return show(parse(text, carries, tags), tags) if text.strip() else ""


__all__ = ["concat", "moved", "normal", "parse", "show"]
