"""What both ends must agree on: names, paths, speeds and patterns of the plant's servers.

Apart from the servers, so that the manifest can be written without loading a protocol library.
"""

from __future__ import annotations

from gateway.plant.signals import SITE, Register, of_device

OPCUA_NAMESPACE = "urn:genba:plant"
OPCUA_INDEX = 2
OPCUA_PATH = "/genba/plant"
OPCUA_HISTORY = ("hydraulics/pressure", "bearing/vibration", "oil/temperature")
RTU_BAUDRATE = 19200
SCALE_BAUDRATE = 9600
# The reading of a piece at rest; the sign and the padded number are one group.
SCALE_PATTERN = r"^ST,GS,(?P<value>[+-] *\d+\.\d+) kg$"
STATUS_TOPIC = f"{SITE}/sensors/status"


def units(device: str) -> list[int]:
    """The Modbus unit numbers of a device."""
    found = {s.address.unit for s in of_device(device) if isinstance(s.address, Register)}
    return sorted(found)
