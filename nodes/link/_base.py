"""What all links share: a place with a name that gives on what comes."""

from __future__ import annotations

from typing import TypeVar

from gateway import Alarms, Batch, Config, Events, Outputs, Transform, Windows

M = TypeVar("M", Batch, Windows, Alarms, Events)


class LinkConfig(Config):
    """Nothing to set: the id of the node is the name of the link."""


class Link(Transform[LinkConfig, M]):
    """Gives on what comes."""

    Config = LinkConfig
    stage = "stable"

    def process(self, message: M, port: str) -> Outputs:
        return {"out": message} if len(message) else {}
