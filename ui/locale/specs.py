"""Spec texts: what node types say of themselves, which forms and the palette show translated."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from gateway.flow import registry
from ui.editor.form_schema import Control, controls_of, outbox_controls
from ui.editor.view import card_of

_PLACE: Final = "nodes"


def spec_texts() -> Iterator[tuple[str, str]]:
    """(place, text) of every name and sentence of node types, their ports and their options."""
    for name, cls in registry.node_classes():
        place = f"{_PLACE}/{name.replace('.', '/')}.py"
        card = card_of(name, cls)
        texts = [card["label"], card["about"]]
        texts += [port[2] for port in (*card["inputs"], *card["outputs"])]
        for control in controls_of(name) or ():
            texts += _texts(control)
        yield from ((place, text) for text in texts if text)
    for control in outbox_controls():
        yield from (("gateway/flow/entries.py", text) for text in _texts(control) if text)


def _texts(control: Control) -> Iterator[str]:
    """What one control says, and those inside it."""
    yield str(control.get("label", ""))
    yield str(control.get("sentence", ""))
    if "item" in control:
        yield from _texts(control["item"])
    for part in ("fields", "items", "variants"):
        for inner in control.get(part, ()):
            yield from _texts(inner)


__all__ = ["spec_texts"]
