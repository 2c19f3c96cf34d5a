"""Picture: what a picture on a dashboard may be. Raster only, so that none can hold a script.

Nothing is decoded here: format and size are read from the first bytes, and a browser gets the
file with the type that was found, never the one that was claimed.

Source: PNG 3rd edition (W3C), 5.2 and 11.2.1; JPEG, ITU-T T.81, B.2.2 (frame header).
"""

from __future__ import annotations

import hashlib
from typing import Final

from gateway.errors import ConfigError

PICTURE_BYTES_MAX: Final = 2 * 1024 * 1024
PICTURE_PIXELS_MAX: Final = 40_000_000
"""A small file can unpack to gigabytes; a 4K screen has 8 million."""
TYPES: Final = {"png": "image/png", "jpg": "image/jpeg"}
_PNG: Final = b"\x89PNG\r\n\x1a\n"
_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


def name_of(data: bytes) -> str:
    """The name under which a picture is kept: the hash of what it is, and its format.

    Raises:
        ConfigError: It is no picture that we show, or too large.

    >>> name_of(b"<svg onload=alert(1)>")
    Traceback (most recent call last):
        ...
    gateway.errors.ConfigError: This is no PNG or JPEG picture. Save it as one of these.
    """
    if len(data) > PICTURE_BYTES_MAX:
        raise ConfigError(
            f"A picture may have {PICTURE_BYTES_MAX // 1024 // 1024} MB (picture_bytes_max).",
            hint="Make it smaller first.",
        )
    kind, width, height = _look(data)
    if not width or not height or width * height > PICTURE_PIXELS_MAX:
        raise ConfigError(
            f"A picture of {width} by {height} pixels is not shown: "
            f"1 to {PICTURE_PIXELS_MAX:,} in all (picture_pixels_max).",
            hint="Make it smaller first.",
        )
    return f"{hashlib.sha256(data).hexdigest()[:32]}.{kind}"


def _look(data: bytes) -> tuple[str, int, int]:
    """Format, width and height [pixels]."""
    if data.startswith(_PNG) and data[12:16] == b"IHDR" and len(data) > 32:
        return "png", int.from_bytes(data[16:20]), int.from_bytes(data[20:24])
    if data.startswith(b"\xff\xd8\xff"):
        at = 2
        while at + 9 < len(data) and data[at] == 0xFF:
            if data[at + 1] in _FRAMES:
                size = data[at + 5 : at + 9]
                return "jpg", int.from_bytes(size[2:]), int.from_bytes(size[:2])
            at += 2 + max(int.from_bytes(data[at + 2 : at + 4]), 2)
    raise ConfigError("This is no PNG or JPEG picture.", hint="Save it as one of these.")


__all__ = ["PICTURE_BYTES_MAX", "TYPES", "name_of"]
