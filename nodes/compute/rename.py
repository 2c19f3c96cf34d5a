"""Give tags other names."""

from __future__ import annotations

import re
from functools import partial

import numpy as np
from pydantic import Field, model_validator

from gateway import Batch, Config, Context, Example, Outputs, Room, Tag, TagName, Transform

_UNKNOWN = 65_535


class RenameConfig(Config):
    names: dict[TagName, TagName] = Field(
        default_factory=dict,
        max_length=10_000,
        description="New names by old name: {TT101: press1/oil/temperature}.",
    )
    match: str = Field(
        "",
        max_length=200,
        examples=["plant/{line}/{unit}/{measure}"],
        description="A pattern for tags not in `names`; a name in braces is one level.",
    )
    to: str = Field(
        "",
        max_length=200,
        examples=["site1/{line}/{measure}"],
        description="What a tag that fits `match` is called, with the same braces.",
    )

    @model_validator(mode="after")
    def _pattern_is_whole(self) -> RenameConfig:
        if bool(self.match) != bool(self.to):
            raise ValueError("`match` and `to` go together.")
        unknown = set(re.findall(r"{(\w+)}", self.to)) - set(re.findall(r"{(\w+)}", self.match))
        if unknown:
            raise ValueError(
                f"`to` uses {', '.join(sorted(unknown))}, which `match` does not have."
            )
        return self


class Rename(Transform[RenameConfig, Batch]):
    """Give tags other names, one by one or by a pattern; unit and range go along.

    Tags that neither names nor pattern fit pass unchanged. Two tags given one name become
    one tag.

    State: none (names are worked out again after a restart).
    Cost: O(n) a batch.
    """

    Config = RenameConfig
    examples = (
        Example(
            "Names from the drawing",
            {"names": {"TT101": "press1/oil/temperature"}},
            given="TT101 0s 20\nTT102 0s 30",
            expect="press1/oil/temperature 0s 20\nTT102 0s 30",
        ),
        Example(
            "By levels",
            {"match": "plant/{line}/{unit}/{measure}", "to": "{line}/{measure}"},
            given="plant/press1/oil/level 0s 5\nother/x 0s 1",
            expect="press1/level 0s 5\nother/x 0s 1",
        ),
        Example(
            "A name given beats the pattern",
            {"names": {"a/b": "z"}, "match": "a/{x}", "to": "{x}"},
            given="a/b 0s 1\na/c 0s 2",
            expect="z 0s 1\nc 0s 2",
        ),
    )

    def __init__(self, config: RenameConfig, ctx: Context) -> None:
        super().__init__(config, ctx)
        self._room = Room(ctx)
        self._new = np.full(ctx.tags.limit, _UNKNOWN, np.uint16)
        pattern = re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/]+)", re.escape(config.match))
        self._match = re.compile(pattern + r"\Z") if config.match else None

    def process(self, batch: Batch, port: str) -> Outputs:
        if not len(batch):
            return {}
        new = self._new[batch.tag]
        if (new == _UNKNOWN).any():
            for code in dict.fromkeys(batch.tag[new == _UNKNOWN].tolist()):
                if (made := self._room.made(partial(self._code, code))) is not None:
                    self._new[code] = made
            batch = self._room.kept(batch, self._new[batch.tag] != _UNKNOWN)
            new = self._new[batch.tag]
        return {"out": batch.with_tag(new)} if len(batch) else {}

    def _code(self, code: int) -> int:
        tag = self.ctx.tags[code]
        name = self.config.names.get(tag.name)
        if name is None and self._match is not None and (found := self._match.match(tag.name)):
            name = self.config.to.format(**found.groupdict())
        if name is None or name == tag.name:
            return code
        return self.ctx.tags.add(Tag(name, tag.unit, tag.low, tag.high, tag.kind, tag.about))
