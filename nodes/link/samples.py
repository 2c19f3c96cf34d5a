"""A named place where wires with samples meet."""

from __future__ import annotations

from gateway import Batch, Example, Port
from nodes.link._base import Link


class SamplesLink(Link[Batch]):
    """Join distant parts of a flow by name: all samples that come in go out, unchanged.

    Wires into it and out of it are drawn as short ends with its name. It also stands for many
    wires: three sources into it and five nodes out of it are eight wires and not fifteen.

    State: none.
    Cost: none worth naming; messages are passed on and not copied.
    """

    inputs = (Port("in", "samples", "What goes to the other ends."),)
    outputs = (Port("out", "samples", "What came from the other ends."),)
    examples = (
        Example("What comes goes on", {}, given="TT1 0s 20 | 1s 21", expect="TT1 0s 20 | 1s 21"),
        Example(
            "Several wires may end in it; bad samples go on as well",
            {},
            given="TT1 0s 20 bad\nTT2 1s 5",
            expect="TT1 0s 20 bad\nTT2 1s 5",
        ),
        Example(
            "Late samples keep their order",
            {},
            given="~ TT1 5s 20 | 2s 21",
            expect="~ TT1 5s 20 | 2s 21",
        ),
    )
