"""What a GGUF file says of itself, read with bounds: before any native code looks at it.

Source: ggml-org/ggml, docs/gguf.md (version 3); block sizes of ggml-common.h.
"""

from __future__ import annotations

import hashlib
import mmap
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

MAGIC: Final = b"GGUF"
PAIRS_MAX: Final = 4_096
TENSORS_MAX: Final = 65_536
TEXT_BYTES_MAX: Final = 1_048_576
ITEMS_MAX: Final = 4_194_304
_SCALARS: Final = {
    0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d",
}  # fmt: skip
_TEXT, _ARRAY = 8, 9
_BLOCKS: Final = {
    0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34),
    10: (256, 84), 11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210), 30: (1, 2),
}  # fmt: skip
"""Values and bytes of a block, of the kinds of tensors in use."""
_NAMES: Final = {
    0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 6: "Q5_0", 7: "Q5_1", 8: "Q8_0", 10: "Q2_K",
    11: "Q3_K", 12: "Q4_K", 13: "Q5_K", 14: "Q6_K", 30: "BF16",
}  # fmt: skip
_READ: Final = 1 << 20


class Damaged(ValueError):  # noqa: N818 - what is the case, for people
    """It is no GGUF file, or not a whole one."""


@dataclass(frozen=True, slots=True)
class About:
    """A model by its file.

    Args:
        name: What the file calls itself.
        architecture: Such as ``llama``.
        parameters: How many numbers it has learned.
        kind: How most of them are stored, such as ``Q8_0``.
        context: How many tokens it was made for.
        has_template: Whether it says how a conversation is written.
    """

    name: str
    architecture: str
    parameters: int
    kind: str
    context: int
    has_template: bool


def about(path: Path) -> About:
    """Read the head of a file and check that all it names is inside.

    Raises:
        Damaged: It is no whole GGUF file.
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        size = path.stat().st_size
        if size < 24:
            raise Damaged("it is shorter than the head of a GGUF file")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view:
            try:
                return _Head(view, size).read()
            except (struct.error, UnicodeDecodeError, OverflowError) as error:
                raise Damaged(f"its head cannot be read ({error})") from error


def sha256(path: Path) -> str:
    """The hash of a whole file, in hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(_READ):
            digest.update(part)
    return digest.hexdigest()


class _Head:
    """A place in the file, which only goes forward."""

    def __init__(self, view: mmap.mmap, size: int) -> None:
        self._view = view
        self._size = size
        self._at = 0

    def read(self) -> About:
        if self._view[:4] != MAGIC:
            raise Damaged("it does not begin with GGUF")
        self._at = 4
        version = self._number("I")
        if version not in (2, 3):
            raise Damaged(f"it is GGUF of version {version}; 2 and 3 are known")
        tensors, pairs = self._number("Q"), self._number("Q")
        if tensors > TENSORS_MAX or pairs > PAIRS_MAX:
            raise Damaged(f"it names {tensors} tensors and {pairs} facts: too many")
        facts: dict[str, Any] = {}
        for _ in range(pairs):
            name = self._text()
            facts[name] = self._value(self._number("I"))
        kinds = self._tensors(tensors, int(facts.get("general.alignment") or 32))
        architecture = str(facts.get("general.architecture", ""))
        return About(
            str(facts.get("general.name", "")),
            architecture,
            sum(kinds.values()),
            _NAMES.get(max(kinds, key=lambda k: kinds[k]), "?") if kinds else "?",
            int(facts.get(f"{architecture}.context_length") or 0),
            "tokenizer.chat_template" in facts,
        )

    def _tensors(self, count: int, alignment: int) -> dict[int, int]:
        """Numbers learned, by kind of tensor."""
        kinds: dict[int, int] = {}
        ends = []
        for _ in range(count):
            name, dimensions = self._text(), self._number("I")
            if dimensions > 4:
                raise Damaged(f"the tensor {name} has {dimensions} dimensions")
            values = 1
            for _ in range(dimensions):
                values *= self._number("Q")
            kind, offset = self._number("I"), self._number("Q")
            block, size = _BLOCKS.get(kind, (256, 1))
            ends.append((offset + values // block * size, name))
            kinds[kind] = kinds.get(kind, 0) + values
        start = -(-self._at // alignment) * alignment
        end, name = max(ends, default=(0, ""))
        if start + end > self._size:
            raise Damaged(f"the tensor {name} ends {start + end - self._size} bytes behind its end")
        return kinds

    def _number(self, form: str) -> int:
        return int(self._scalar(form))

    def _scalar(self, form: str) -> Any:
        (value,) = struct.unpack_from("<" + form, self._view, self._at)
        self._at += struct.calcsize("<" + form)
        return value

    def _text(self) -> str:
        size = self._number("Q")
        if size > TEXT_BYTES_MAX or self._at + size > self._size:
            raise Damaged(f"a text in its head has {size} bytes")
        self._at += size
        return self._view[self._at - size : self._at].decode("utf-8", "replace")

    def _value(self, kind: int) -> Any:
        if kind in _SCALARS:
            return self._scalar(_SCALARS[kind])
        if kind == _TEXT:
            return self._text()
        if kind != _ARRAY:
            raise Damaged(f"a fact in its head is of the unknown kind {kind}")
        inner, count = self._number("I"), self._number("Q")
        if count > ITEMS_MAX or inner == _ARRAY:
            raise Damaged(f"a list in its head has {count} items")
        if inner in _SCALARS:
            self._at += count * struct.calcsize("<" + _SCALARS[inner])
        else:
            for _ in range(count):
                self._value(inner)
        return None


__all__ = ["About", "Damaged", "about", "sha256"]
