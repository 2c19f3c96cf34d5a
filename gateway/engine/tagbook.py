"""TagBook: which tags the store does not know yet, so that a code keeps its meaning for ever."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.data.tag import TagTable


class TagBook:
    """Compares the tag table with what was stored; costs nothing while no tag is new."""

    def __init__(self, tags: TagTable) -> None:
        self._tags = tags
        self._version = -1
        self._stored: dict[int, Mapping[str, Any]] = {}

    def unsaved(self) -> dict[int, Mapping[str, Any]]:
        """Facts of tags that are new or changed since they were stored, by code."""
        if self._version == self._tags.version:
            return {}
        facts = enumerate(self._tags.dump())
        return {code: fact for code, fact in facts if self._stored.get(code) != fact}

    def saved(self, facts: Mapping[int, Mapping[str, Any]]) -> None:
        """These facts are on the disk now."""
        self._stored.update(facts)
        if len(self._stored) == len(self._tags) and not self._differs():
            self._version = self._tags.version

    def _differs(self) -> bool:
        return any(self._stored.get(code) != fact for code, fact in enumerate(self._tags.dump()))
