"""Arguments that say how alarms are explained."""

from __future__ import annotations

import argparse
import math

from gateway.engine.explain import ExplainOptions

DEADLINE_S_MAX = 600.0


def take_explain(parser: argparse.ArgumentParser) -> None:
    """Declare ``--explain-deadline-s`` and ``--no-explanations``."""
    parser.add_argument(
        "--explain-deadline-s",
        type=deadline,
        default=ExplainOptions().deadline_s,
        metavar="SECONDS",
        help="how long a model may write at an explanation; 0 uses the template's text only",
    )
    parser.add_argument(
        "--no-explanations", action="store_true", help="explain no alarms by themselves"
    )


def explain_options(args: argparse.Namespace) -> ExplainOptions | None:
    """What was given."""
    return None if args.no_explanations else ExplainOptions(deadline_s=args.explain_deadline_s)


def deadline(text: str) -> float:
    """A length of time as an argument.

    >>> deadline("2.5")
    2.5
    """
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= DEADLINE_S_MAX or math.isnan(value):
        most = f"{DEADLINE_S_MAX:g}"
        raise argparse.ArgumentTypeError(f"{text!r} is no time; write 0 to {most} seconds")
    return value
