"""A named place where wires with windows meet."""

from __future__ import annotations

from gateway import Example, Port, Windows
from nodes.link._base import Link


class WindowsLink(Link[Windows]):
    """Join distant parts of a flow by name: all windows that come in go out, unchanged.

    Wires into it and out of it are drawn as short ends with its name. It also stands for many
    wires: three sources into it and five nodes out of it are eight wires and not fifteen.

    State: none.
    Cost: none worth naming; messages are passed on and not copied.
    """

    inputs = (Port("in", "windows", "What goes to the other ends."),)
    outputs = (Port("out", "windows", "What came from the other ends."),)
    examples = (
        Example(
            "What comes goes on",
            {},
            given="TT1 0s-60s: 0s 20, 30s 21",
            expect="TT1 0s-60s: 0s 20, 30s 21",
        ),
        Example("An empty window too", {}, given="TT1 0s-60s:", expect="TT1 0s-60s:"),
        Example(
            "Windows of several tags",
            {},
            given="TT1 0s-60s: 0s 20\nTT2 0s-60s: 1s 5",
            expect="TT1 0s-60s: 0s 20\nTT2 0s-60s: 1s 5",
        ),
    )
