"""Claims: what a sentence with slots says beyond its numbers, held against the facts.

Directions must be those of the signal they are said of; an order must be that of the onsets; a
number must stand with its own signal and in the role that the words around it give it. What cannot
be told is taken as wrong: the sentence is dropped, and the template says it instead.
"""

from __future__ import annotations

from models.explainer._facts import Facts
from models.explainer._order import order_holds
from models.explainer._owners import owners_hold, quantities_hold
from models.explainer._roles import roles_hold
from models.explainer._ways import ways_hold


def hold(facts: Facts, text: str) -> bool:
    """Whether everything that a sentence with slots claims of numbers, ways and order is so."""
    text = text.replace("{before}", "{prior}")  # Its own name would read as a word of order.
    return (
        roles_hold(facts, text)
        and owners_hold(facts, text)
        and quantities_hold(facts, text)
        and ways_hold(facts, text)
        and order_holds(facts, text)
    )
