"""A named place where wires with events meet."""

from __future__ import annotations

from gateway import Events, Example, Port
from nodes.link._base import Link


class EventsLink(Link[Events]):
    """Join distant parts of a flow by name: all events that come in go out, unchanged.

    Wires into it and out of it are drawn as short ends with its name. It also stands for many
    wires: three sources into it and five nodes out of it are eight wires and not fifteen.

    State: none.
    Cost: none worth naming; messages are passed on and not copied.
    """

    inputs = (Port("in", "events", "What goes to the other ends."),)
    outputs = (Port("out", "events", "What came from the other ends."),)
    examples = (
        Example(
            "What comes goes on",
            {},
            given='3s source/lost {"source": "plc"}',
            expect='3s source/lost {"source": "plc"}',
        ),
        Example("Whatever the topic", {}, given="3s shift/begin {}", expect="3s shift/begin {}"),
        Example(
            "In their order",
            {},
            given="3s shift/begin {}\n2s shift/end {}",
            expect="3s shift/begin {}\n2s shift/end {}",
        ),
    )
