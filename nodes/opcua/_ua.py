"""asyncua's types without their annotations, and names of them for ours.

asyncua annotates its structures with wrapper types (Int32, Boolean, String) that it neither
makes nor wants, and exports most names implicitly, so a strict check refuses correct code.
"""

from __future__ import annotations

import importlib
from typing import Any, Final, TypeAlias

ua: Final[Any] = importlib.import_module("asyncua.ua")
AttributeIds: TypeAlias = Any
BrowsePath: TypeAlias = Any
BrowsePathResult: TypeAlias = Any
DataChangeFilter: TypeAlias = Any
DataValue: TypeAlias = Any
DateTime: TypeAlias = Any
EndpointDescription: TypeAlias = Any
MonitoredItemCreateRequest: TypeAlias = Any
NodeClass: TypeAlias = Any
NodeId: TypeAlias = Any
ReadRawModifiedDetails: TypeAlias = Any
ReferenceDescription: TypeAlias = Any
SubscriptionAcknowledgement: TypeAlias = Any
Variant: TypeAlias = Any
VariantType: TypeAlias = Any

__all__ = ["ua"]
__all__ += [
    "AttributeIds",
    "BrowsePath",
    "BrowsePathResult",
    "DataChangeFilter",
    "DataValue",
    "DateTime",
    "EndpointDescription",
    "MonitoredItemCreateRequest",
    "NodeClass",
    "NodeId",
    "ReadRawModifiedDetails",
    "ReferenceDescription",
    "SubscriptionAcknowledgement",
    "Variant",
    "VariantType",
]
