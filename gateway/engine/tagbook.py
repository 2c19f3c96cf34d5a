"""TagBook: which tags the store does not know yet, so that a code keeps its meaning for ever."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from gateway.data.tag import Tag, TagTable


class TagBook:
    """Compares the tag table with what was stored; costs nothing while no tag is new."""

    def __init__(self, tags: TagTable) -> None:
        self._tags = tags
        self._version = -1
        self._stored: list[Tag | None] = []

    def loaded(self) -> None:
        """All tags that there are now came from the store."""
        self._stored = list(self._tags)
        self._version = self._tags.version

    def unsaved(self) -> dict[int, Tag]:
        """Tags that are new or changed since they were stored, by code."""
        if self._version == self._tags.version:
            return {}
        stored = self._stored
        stored += [None] * (len(self._tags) - len(stored))
        found = {code: tag for code, tag in enumerate(self._tags) if stored[code] is not tag}
        if not found:
            self._version = self._tags.version
        return found

    def saved(self, tags: Mapping[int, Tag]) -> None:
        """These tags are on the disk now."""
        for code, tag in tags.items():
            self._stored[code] = tag


def fact_of(tag: Tag) -> dict[str, Any]:
    """A tag as plain values; what is not known is null."""
    return {key: None if value != value else value for key, value in asdict(tag).items()}
