"""gateway: the public API that nodes are written against.

n = rows, k = windows. Times are int64 nanoseconds since 1970-01-01 UTC.
"""

from gateway.data import protobuf, quality, web
from gateway.data.alarm import (
    AlarmEvent,
    AlarmOptions,
    AlarmState,
    AlarmStatus,
    OperatorAction,
    Outcome,
    Overlay,
    OverlayAction,
    Priority,
    Stimulus,
    transition,
)
from gateway.data.batch import EMPTY, Batch
from gateway.data.event import Event
from gateway.data.table import amount
from gateway.data.table import parse as parse_table
from gateway.data.tag import Tag, TagTable, pattern_of
from gateway.data.windows import NO_WINDOWS, Windows
from gateway.errors import (
    ConfigError,
    Disconnected,
    FaultError,
    GatewayError,
    LimitError,
    Rejected,
    StateError,
)
from gateway.flow import windowing
from gateway.flow.browsing import Certificate, Found, Step
from gateway.flow.config import (
    Bytes,
    Config,
    ConnectionName,
    DataPath,
    Expression,
    Hertz,
    Percent,
    PositiveSeconds,
    Rows,
    Seconds,
    Secret,
    TagFilter,
    TagName,
)
from gateway.flow.expression import Formula
from gateway.flow.gaps import Cause, Gap
from gateway.flow.generate import Ask, Generated, OnChunk, Task
from gateway.flow.inbound import Answer, Call, GiveBack, Line
from gateway.flow.jsonpath import MISSING, JsonPath
from gateway.flow.node import (
    Alarms,
    Connection,
    Context,
    Events,
    Example,
    Message,
    Node,
    Outputs,
    Port,
    Reading,
    Sink,
    Source,
    State,
    Transform,
)
from gateway.flow.records import FIELDS, Record, key_of, records
from gateway.flow.room import Room
from gateway.flow.select import TagSelect
from gateway.flow.template import Template
from gateway.flow.units import converter
from gateway.flow.worker import Give, Worker

__all__ = [
    "EMPTY",
    "FIELDS",
    "MISSING",
    "NO_WINDOWS",
    "AlarmEvent",
    "AlarmOptions",
    "AlarmState",
    "AlarmStatus",
    "Alarms",
    "Answer",
    "Ask",
    "Batch",
    "Bytes",
    "Call",
    "Cause",
    "Certificate",
    "Config",
    "ConfigError",
    "Connection",
    "ConnectionName",
    "Context",
    "DataPath",
    "Disconnected",
    "Event",
    "Events",
    "Example",
    "Expression",
    "FaultError",
    "Formula",
    "Found",
    "Gap",
    "GatewayError",
    "Generated",
    "Give",
    "GiveBack",
    "Hertz",
    "JsonPath",
    "LimitError",
    "Line",
    "Message",
    "Node",
    "OnChunk",
    "OperatorAction",
    "Outcome",
    "Outputs",
    "Overlay",
    "OverlayAction",
    "Percent",
    "Port",
    "PositiveSeconds",
    "Priority",
    "Reading",
    "Record",
    "Rejected",
    "Room",
    "Rows",
    "Seconds",
    "Secret",
    "Sink",
    "Source",
    "State",
    "StateError",
    "Step",
    "Stimulus",
    "Tag",
    "TagFilter",
    "TagName",
    "TagSelect",
    "TagTable",
    "Task",
    "Template",
    "Transform",
    "Windows",
    "Worker",
    "amount",
    "converter",
    "key_of",
    "parse_table",
    "pattern_of",
    "protobuf",
    "quality",
    "records",
    "transition",
    "web",
    "windowing",
]
