"""Quality of a sample: an OPC UA StatusCode, kept as the device gave it.

The two highest bits are the severity; everything below says why.
Source: OPC 10000-4 v1.05, 7.38 StatusCode.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

GOOD: Final = 0x00000000
UNCERTAIN: Final = 0x40000000
UNCERTAIN_LAST_USABLE: Final = 0x40900000
UNCERTAIN_SUBNORMAL: Final = 0x40950000
BAD: Final = 0x80000000
BAD_COMMUNICATION: Final = 0x80050000
BAD_DECODING: Final = 0x80070000
BAD_OUT_OF_RANGE: Final = 0x803C0000
BAD_NO_COMMUNICATION: Final = 0x80310000
BAD_WAITING: Final = 0x80320000
BAD_CONFIGURATION: Final = 0x80890000
BAD_NOT_CONNECTED: Final = 0x808A0000
BAD_DEVICE_FAILURE: Final = 0x808B0000
BAD_SENSOR_FAILURE: Final = 0x808C0000

_NAMES: Final[dict[int, str]] = {
    GOOD: "Good",
    UNCERTAIN: "Uncertain",
    UNCERTAIN_LAST_USABLE: "Uncertain_LastUsableValue",
    UNCERTAIN_SUBNORMAL: "Uncertain_SubNormal",
    BAD: "Bad",
    BAD_COMMUNICATION: "Bad_CommunicationError",
    BAD_DECODING: "Bad_DecodingError",
    BAD_OUT_OF_RANGE: "Bad_OutOfRange",
    BAD_NO_COMMUNICATION: "Bad_NoCommunication",
    BAD_WAITING: "Bad_WaitingForInitialData",
    BAD_CONFIGURATION: "Bad_ConfigurationError",
    BAD_NOT_CONNECTED: "Bad_NotConnected",
    BAD_DEVICE_FAILURE: "Bad_DeviceFailure",
    BAD_SENSOR_FAILURE: "Bad_SensorFailure",
}
_SEVERITY: Final = ("Good", "Uncertain", "Bad", "Bad")


def severity(quality: Any) -> Any:
    """0 good, 1 uncertain, 2 or 3 bad; works on an int and on an array alike."""
    return quality >> 30


def name(quality: int) -> str:
    """The name a person reads, such as ``Bad_SensorFailure``.

    >>> name(0x808C0000), name(0x80FF0000), name(0)
    ('Bad_SensorFailure', 'Bad_0x80FF0000', 'Good')
    """
    quality = int(quality)
    known = _NAMES.get(quality & 0xFFFF0000)
    return known or f"{_SEVERITY[quality >> 30]}_0x{quality:08X}"


def code(text: str) -> int:
    """The StatusCode for a name, a severity word or a number in hexadecimal.

    Raises:
        ValueError: The name is not known.

    >>> hex(code("bad")), code("Good"), hex(code("0x80310000"))
    ('0x80000000', 0, '0x80310000')
    """
    wanted = text.strip().lower()
    if wanted.startswith("0x"):
        return int(wanted, 16)
    for number, known in _NAMES.items():
        if known.lower() == wanted:
            return number
    raise ValueError(
        f"Unknown quality {text!r}. Use Good, Uncertain, Bad or a number like 0x80310000."
    )


def worst(left: NDArray[np.uint32], right: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Element by element the quality with the higher severity; the left one on a tie."""
    return np.where(right >> 30 > left >> 30, right, left)
