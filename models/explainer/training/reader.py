"""Reader: what a GGUF file says of itself, without its weights and without any library.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md, versions 2 and 3.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any, BinaryIO, Final

WORDS_KEY: Final = "genba.words"
"""Key of the closed vocabulary that a model of ours was trained on."""
SLOTS_KEY: Final = "genba.slots"

_PLAIN: Final = {
    0: "<B",
    1: "<b",
    2: "<H",
    3: "<h",
    4: "<I",
    5: "<i",
    6: "<f",
    7: "<?",
    10: "<Q",
    11: "<q",
    12: "<d",
}
"""Types of values that have a fixed size."""
_STRING: Final = 8
_ARRAY: Final = 9


def read(path: Path) -> dict[str, Any]:
    """All keys with their values.

    Raises:
        ValueError: The file is no GGUF.
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        if file.read(4) != b"GGUF":
            raise ValueError(f"{path} is no GGUF file: it starts with other letters.")
        try:
            version, _, count = struct.unpack("<IQQ", _exactly(file, 20))
            if version not in (2, 3):
                raise ValueError(f"{path} is GGUF of version {version}; known are 2 and 3.")
            return dict(_pair(file) for _ in range(count))
        except (struct.error, EOFError, KeyError, UnicodeDecodeError) as error:
            raise ValueError(f"{path} is a damaged GGUF file: {error!r}.") from error


def _pair(file: BinaryIO) -> tuple[str, Any]:
    name = _string(file)
    return name, _value(file, _number(file, "<I"))


def _value(file: BinaryIO, kind: int) -> Any:
    if kind == _STRING:
        return _string(file)
    if kind == _ARRAY:
        inner, count = struct.unpack("<IQ", _exactly(file, 12))
        return [_value(file, inner) for _ in range(count)]
    return _number(file, _PLAIN[kind])


def _number(file: BinaryIO, form: str) -> Any:
    return struct.unpack(form, _exactly(file, struct.calcsize(form)))[0]


def _string(file: BinaryIO) -> str:
    return _exactly(file, _number(file, "<Q")).decode("utf-8")


def _exactly(file: BinaryIO, length: int) -> bytes:
    found = file.read(length) if length < 1 << 28 else b""
    if len(found) != length:
        raise EOFError(f"{length} bytes expected, {len(found)} found")
    return found
