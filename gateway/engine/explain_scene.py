"""Scene: what the event loop knows about an alarm, copied so that a thread can go on with it.

Copying is all that is done here: it takes a few hundred microseconds at 10,000 tags, and an
alarm waits for none of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from gateway.data.alarm import AlarmEvent
from gateway.data.tag import Tag, pattern_of
from gateway.engine.explain_incident import base_of, line_of
from gateway.engine.health import OWN
from models.explainer.evidence import Limit

if TYPE_CHECKING:
    from gateway.engine.runtime import Runtime

TAGS_MAX: Final = 40
"""Tags whose samples are looked at for one alarm."""
BEFORE_NS: Final = 600 * 10**9
"""An alarm so long before another is no part of its story."""
_LEVELS: Final = ("hihi", "hi", "lo", "lolo")


@dataclass(frozen=True, slots=True)
class Scene:
    """What is known at one moment.

    Args:
        event: The alarm's annunciation.
        now: The moment [ns].
        tags: The alarmed tag first, then those that may have to do with it.
        sources: The device behind each of them that comes from one, by name.
        before: Annunciations before it.
        together: Alarms of the same line that are open, itself among them.
        limits: Where alarms on the alarmed tag lie.
        devices: Device by source, of the alarm's flow.
        started: When the gateway was started [ns].
        is_new: Nothing was recorded before that start.
        clock_set: When the clock was set last [ns]; 0 when it was not.
    """

    event: AlarmEvent
    now: int
    tags: tuple[Tag, ...]
    sources: dict[str, str]
    before: tuple[AlarmEvent, ...]
    together: tuple[str, ...]
    limits: tuple[Limit, ...]
    devices: dict[str, str]
    started: int
    is_new: bool
    clock_set: int = 0

    @property
    def flow(self) -> str:
        """The alarm's flow."""
        return self.event.alarm.partition("/")[0]


def scene_of(runtime: Runtime, event: AlarmEvent) -> Scene:
    """What is known of an alarm now."""
    flow, _, rest = event.alarm.partition("/")
    node = rest.partition(":")[0]
    devices = _devices(runtime, flow)
    tags = _nearest(runtime, event, devices)
    sources = {}
    for tag in tags:
        origin = runtime.live.origin(runtime.tags.code(tag.name))
        if origin is not None and origin[0] == flow and origin[1] in devices:
            device = devices[origin[1]]
            is_away = event.condition == "COMM" and device == event.tag.partition(":")[0]
            sources[tag.name] = event.tag if is_away else device
    history = runtime.book.history()
    raised = [e for e in history if e.change in ("raised", "realarmed")]
    line = line_of(event.tag)
    before = [e for e in raised if _is_before(e, event) and e.alarm != event.alarm]
    together = [e.alarm for e in runtime.book.open() if line_of(e.tag) == line]
    clock = [e.ts for e in raised if e.alarm.startswith(f"{OWN}/") and e.tag == "gateway/clock"]
    return Scene(
        event,
        runtime.clock.now(),
        tags,
        sources,
        tuple(before[-100:]),
        tuple(sorted({*together, event.alarm})),
        tuple(_limits(runtime, flow, node, event.tag)),
        devices,
        runtime.since,
        is_new=not history or history[0].ts >= runtime.since,
        clock_set=max(clock, default=0),
    )


def _is_before(one: AlarmEvent, event: AlarmEvent) -> bool:
    """Whether an alarm may be part of the story of another: of its line, or of its devices."""
    if not 0 <= event.ts - one.ts <= BEFORE_NS:
        return False
    is_of_flow = one.alarm.partition("/")[0] == event.alarm.partition("/")[0]
    is_device = "COMM" in (one.condition, event.condition)
    return line_of(one.tag) == line_of(event.tag) or (is_of_flow and is_device)


def _devices(runtime: Runtime, flow: str) -> dict[str, str]:
    """The device behind each source of a flow: its connection, else itself."""
    host = runtime.hosts.get(flow)
    if host is None:
        return {}
    nodes = host.document.nodes
    return {
        name: str(nodes[name].config.get("connection") or name)
        for name in host.ingresses
        if name in nodes
    }


def _nearest(runtime: Runtime, event: AlarmEvent, devices: dict[str, str]) -> tuple[Tag, ...]:
    """The alarmed tag, the one it is computed of, and those nearest by name or of its device."""
    names = [event.tag, base_of(event.tag)]
    if event.condition == "COMM":
        names = _of_device(runtime, event, devices)
    if event.condition != "HEALTH":
        wanted = names[0] if names else event.tag
        others = [t.name for t in runtime.tags if "#" not in t.name and t.kind != "counter"]
        others.sort(key=lambda name: -_shared(wanted, name))
        near = _shared(wanted, others[0]) if others else 0
        names += [name for name in others[: 2 * TAGS_MAX] if near < 2 or _shared(wanted, name)]
    unique = [name for name in dict.fromkeys(names) if name in runtime.tags]
    return tuple(runtime.tags[runtime.tags.code(name)] for name in unique[:TAGS_MAX])


def _of_device(runtime: Runtime, event: AlarmEvent, devices: dict[str, str]) -> list[str]:
    """Tags that come from a device that is away, at most half of what is looked at."""
    flow = event.alarm.partition("/")[0]
    device = event.tag.partition(":")[0]
    sources = [name for name, known in devices.items() if device in (name, known)]
    codes = runtime.live.codes_from(flow, sources or list(devices))
    return [runtime.tags.name(code) for code in codes[: TAGS_MAX // 2]]


def _shared(a: str, b: str) -> int:
    """How many levels two names have in common from the front."""
    count = 0
    for x, y in zip(base_of(a).split("/"), b.split("/"), strict=False):
        if x != y:
            break
        count += 1
    return count


def _limits(runtime: Runtime, flow: str, own: str, tag: str) -> Iterator[Limit]:
    """Where limit alarms of the flow on this tag lie."""
    host = runtime.hosts.get(flow)
    if host is None:
        return
    for name, node in host.runner.graph.transforms().items():
        wanted = str(getattr(node.config, "tags", None) or "#")
        # All of its wire: which tags those are is known of the node that raised it only.
        if name != own if wanted == "#" else not pattern_of(wanted)(tag):
            continue
        for level in _LEVELS:
            value = getattr(node.config, level, None)
            if isinstance(value, int | float):
                yield Limit(level.upper(), float(value))


__all__ = ["TAGS_MAX", "Scene", "scene_of"]
