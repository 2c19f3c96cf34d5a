"""Saved form: documents as bytes in an array, because state is arrays."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray


def pack(document: Any) -> NDArray[np.uint8]:
    """A JSON document as bytes in an array, which is how state stores text."""
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    return np.frombuffer(text.encode(), np.uint8).copy()


def unpack(array: NDArray[Any]) -> Any:
    """What `pack` was given. Raises ValueError when it is not JSON."""
    return json.loads(array.astype(np.uint8).tobytes())
