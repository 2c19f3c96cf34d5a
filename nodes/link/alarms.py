"""A named place where wires with alarm events meet."""

from __future__ import annotations

from gateway import Alarms, Example, Port
from nodes.link._base import Link


class AlarmsLink(Link[Alarms]):
    """Join distant parts of a flow by name: all alarm events that come in go out, unchanged.

    Wires into it and out of it are drawn as short ends with its name. It also stands for many
    wires: three sources into it and five nodes out of it are eight wires and not fifteen.

    State: none.
    Cost: none worth naming; messages are passed on and not copied.
    """

    inputs = (Port("in", "alarms", "What goes to the other ends."),)
    outputs = (Port("out", "alarms", "What came from the other ends."),)
    examples = (
        Example(
            "What comes goes on",
            {},
            given="15s TT101 HI raised UNACK 76 75",
            expect="15s TT101 HI raised UNACK 76 75",
        ),
        Example(
            "Every change of an alarm",
            {},
            given="15s TT101 HI raised UNACK 76 75\n20s TT101 HI acked ACKED 76 75",
            expect="15s TT101 HI raised UNACK 76 75\n20s TT101 HI acked ACKED 76 75",
        ),
        Example(
            "Shelved ones too",
            {},
            given="15s TT101 HI raised UNACK/SHLVD 76 75",
            expect="15s TT101 HI raised UNACK/SHLVD 76 75",
        ),
    )
