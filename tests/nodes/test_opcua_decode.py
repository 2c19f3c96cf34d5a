"""The fast decoder reads what asyncua wrote, and addresses are what they say."""

from __future__ import annotations

import math
import struct
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import extensionobject_to_binary, struct_to_binary
from hypothesis import given, settings
from hypothesis import strategies as st

from nodes.opcua._address import NodeAddress, parse
from nodes.opcua._decode import Changes, _read_values, read_history, read_publish, times
from nodes.opcua._facts import unit_code

V = ua.VariantType
NUMBERS: dict[V, Any] = {
    V.Boolean: st.booleans(),
    V.SByte: st.integers(-128, 127),
    V.Byte: st.integers(0, 255),
    V.Int16: st.integers(-(2**15), 2**15 - 1),
    V.UInt16: st.integers(0, 2**16 - 1),
    V.Int32: st.integers(-(2**31), 2**31 - 1),
    V.UInt32: st.integers(0, 2**32 - 1),
    V.Int64: st.integers(-(2**63), 2**63 - 1),
    V.UInt64: st.integers(0, 2**64 - 1),
    V.Float: st.floats(width=32),
    V.Double: st.floats(),
}
ODD: dict[V, Any] = {
    V.String: st.text(max_size=5),
    V.DateTime: st.just(datetime(2026, 1, 1, tzinfo=UTC)),
}
DATES = st.integers(1, 7_000_000_000_000_000).map(
    lambda us: datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=us)
)


@st.composite
def values(draw: st.DrawFn) -> ua.DataValue:
    """Any DataValue: every optional part there or not."""
    kind = draw(st.sampled_from([*NUMBERS, *ODD, V.Null]))
    if kind is V.Null:
        variant = ua.Variant(None)
    elif draw(st.integers(0, 9)) == 0 and kind in NUMBERS:
        variant = ua.Variant(draw(st.lists(NUMBERS[kind], max_size=3)), kind, is_array=True)
    else:
        variant = ua.Variant(draw((NUMBERS | ODD)[kind]), kind)
    return ua.DataValue(
        Value=draw(st.sampled_from([variant, None])),
        StatusCode=draw(
            st.none()
            | st.sampled_from([0, 0x40900000, 0x808C0480]).map(
                lambda c: ua.StatusCode(ua.UInt32(c))
            )
        ),
        SourceTimestamp=draw(st.none() | DATES),
        ServerTimestamp=draw(st.none() | DATES),
    )


def published(items: list[ua.MonitoredItemNotification], *more: Any) -> Buffer:
    response = ua.PublishResponse()
    response.Parameters.SubscriptionId = 77
    response.Parameters.AvailableSequenceNumbers = [4, 5]
    message = response.Parameters.NotificationMessage
    message.SequenceNumber = 5
    message.PublishTime = datetime(2026, 5, 6, 7, 8, 9, tzinfo=UTC)
    message.NotificationData = [ua.DataChangeNotification(MonitoredItems=items), *more]
    return Buffer(struct_to_binary(response))


def ns(stamp: datetime) -> int:
    return round((stamp - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(microseconds=1)) * 1000


def check(rows: Any, given_values: list[ua.DataValue]) -> None:
    stamps = times(rows.ticks, -1).tolist()
    assert len(rows) == len(given_values)
    for i, value in enumerate(given_values):
        held = value.Value.Value if value.Value is not None else None
        kind = value.Value.VariantType if value.Value is not None else V.Null
        is_number = kind in NUMBERS and not value.Value.is_array
        if is_number and not math.isnan(held):
            assert rows.value[i] == held
        else:
            assert math.isnan(rows.value[i])
        assert (i in rows.odd) == (held is not None and not is_number)
        if i in rows.odd:
            assert rows.odd[i] == held or held != held or isinstance(held, list)
        assert rows.status[i] == (value.StatusCode.value if value.StatusCode is not None else 0)
        stamp = value.SourceTimestamp or value.ServerTimestamp
        assert stamps[i] == (ns(stamp) if stamp is not None else -1)


@settings(max_examples=150, deadline=None)
@given(st.lists(values(), max_size=8))
def test_published_values_are_what_asyncua_wrote(given_values: list[ua.DataValue]) -> None:
    items = [
        ua.MonitoredItemNotification(ClientHandle=i + 1, Value=value)
        for i, value in enumerate(given_values)
    ]
    publish = read_publish(published(items))
    assert (publish.subscription, publish.sequence, publish.ended) == (77, 5, "")
    assert publish.published == ns(datetime(2026, 5, 6, 7, 8, 9, tzinfo=UTC))
    assert publish.changes.handle == [i + 1 for i in range(len(items))]
    check(publish.changes, given_values)


@settings(max_examples=50, deadline=None)
@given(st.lists(values(), max_size=5))
def test_history_is_what_asyncua_wrote(given_values: list[ua.DataValue]) -> None:
    response = ua.HistoryReadResponse()
    result = ua.HistoryReadResult()
    result.ContinuationPoint = b"more"
    result.HistoryData = ua.HistoryData(DataValues=given_values)
    response.Results = [result, ua.HistoryReadResult(StatusCode=ua.StatusCode(0x80340000))]
    pages = read_history(Buffer(struct_to_binary(response)))
    assert (pages[0].more, pages[0].status, pages[1].status) == (b"more", 0, 0x80340000)
    check(pages[0].rows, given_values)


def test_keepalives_faults_and_ends() -> None:
    response = ua.PublishResponse()
    response.Parameters.SubscriptionId = 1
    assert not read_publish(Buffer(struct_to_binary(response))).is_data
    ended = ua.StatusChangeNotification(Status=ua.StatusCode(ua.StatusCodes.BadTimeout))
    assert "BadTimeout" in read_publish(published([], ended)).ended
    response.ResponseHeader.ServiceResult = ua.StatusCode(ua.StatusCodes.BadNoSubscription)
    with pytest.raises(ua.uaerrors.BadNoSubscription):
        read_publish(Buffer(struct_to_binary(response)))
    assert extensionobject_to_binary(ended)


def test_picoseconds_stand_where_the_standard_says() -> None:
    """By hand, for asyncua 2.1.0 writes them in another order: OPC 10000-6, 5.2.2.17."""
    parts = bytes.fromhex("3f0b") + struct.pack("<dIqHqH", 2.5, 0x40900000, 777, 9, 888, 9)
    text = bytes.fromhex("3f0c") + struct.pack("<i2sIqHqH", 2, b"hi", 0, 999, 9, 888, 9)
    empty = bytes.fromhex("38") + struct.pack("<HqH", 9, 555, 9)
    into = Changes()
    data = parts + text + empty
    assert _read_values(data, 0, 3, into, 1) == len(data)
    assert into.value[0] == 2.5
    assert (into.status, into.ticks) == ([0x40900000, 0, 0], [777, 999, 555])
    assert into.odd == {1: "hi"}


def test_times_that_cannot_be_kept_are_replaced() -> None:
    forever = 2_650_467_743_990_000_000  # 9999-12-31, which servers use for "no time".
    assert times([0, forever, -5], 7).tolist() == [7, 7, 7]
    assert times([116_444_736_000_000_001], 7).tolist() == [100]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("ns=2;s=A.B;C", NodeAddress(2, "", "s", "A.B;C")),
        ("i=2258", NodeAddress(0, "", "i", "2258")),
        ("nsu=http://x/y;i=5", NodeAddress(0, "http://x/y", "i", "5")),
        ("ns=1;g=09087e75-8e5e-499b-954f-f2a9603db28a",
         NodeAddress(1, "", "g", "09087e75-8e5e-499b-954f-f2a9603db28a")),
        ("ns=1;b=AAEC", NodeAddress(1, "", "b", "AAEC")),
        ("/Objects/2:A&/B/3:C", ((0, "Objects"), (2, "A/B"), (3, "C"))),
    ],
)  # fmt: skip
def test_addresses(text: str, found: Any) -> None:
    assert parse(text) == found


@pytest.mark.parametrize(
    "text", ["", "Temp", "s=", "ns=70000;s=a", "i=x", "i=4294967296", "g=1", "b=*", "/", "/A//B"]
)
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(ValueError):
        parse(text)


def test_units() -> None:
    def unit(code: bytes, shown: str) -> ua.EUInformation:
        return ua.EUInformation(
            NamespaceUri="http://www.opcfoundation.org/UA/units/un/cefact",
            UnitId=int.from_bytes(code, "big"),
            DisplayName=ua.LocalizedText(shown),
        )

    assert unit_code(unit(b"CEL", "°C")) == "Cel"
    assert unit_code(unit(b"4K", "mA")) == "mA"
    assert unit_code(unit(b"ZZZ", "widgets")) == "widgets"
    assert unit_code(None) == ""
