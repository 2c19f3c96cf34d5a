"""Three gateways on one machine, over real TLS: seen, not let in, killed, pushed to, gone back."""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.api import certificate
from gateway.engine.clock import SystemClock
from gateway.errors import Rejected
from tests.fleet.real import BETTER, LOUD, QUIET, Gateway, look_at, rows, until

pytestmark = [pytest.mark.plant, pytest.mark.slow]
RULES = {"soak_s": 1.0, "alarms_more": 3, "failures_percent": 0.0}


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Gateway]]:
    folder = tmp_path_factory.mktemp("fleet")
    found = [Gateway(folder / name) for name in ("centre", "one", "two")]
    try:
        for one in found:
            one.start()
        yield found
    finally:
        for one in found:
            one.stop()


@pytest.fixture
def three(house: list[Gateway]) -> list[Gateway]:
    """The gateways, as each test finds them: none knows another, and all run the same."""
    for one in house:
        if one.has_ended:
            one.start()
        one.client.deploy("press", QUIET, "user:anna", "as it was")
        for row in one.client.fleet()["peers"]:
            one.client.remove_peer(row["name"])
        trusted = one.client.trust()
        for kind in ("centres", "keys"):
            for row in trusted[kind]:
                one.client.doubt(kind, row["name"])
    return house


def known(centre: Gateway, *others: Gateway) -> None:
    """The centre looks at the others; the first is the canary."""
    key = centre.client.new_fleet_key()
    for i, other in enumerate(others):
        token = other.lets_in(centre)
        other.client.believe("keys", "centre", key)
        ring = "canary" if i == 0 else "ring1"
        look_at(centre, f"gw{i + 1}", other, token=token, ring=ring)
    until(lambda: all(r["state"] == "well" for r in rows(centre).values()), centre, *others)


def pushed(centre: Gateway, text: str, **rules: Any) -> dict[str, Any]:
    centre.client.deploy("press", text, "user:anna", "for the push")
    row = centre.client.push(flow="press", group="line", note="better", rules={**RULES, **rules})
    return ended(centre, row["id"])


def ended(centre: Gateway, push: str) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        row = centre.client.one_push(push)
        return row if row["state"] in ("done", "stopped") else None

    return dict(until(look, centre))


def states(row: dict[str, Any]) -> dict[str, str]:
    return {one["name"]: one["state"] for one in row["members"]}


def test_seen_pushed_and_gone_back(three: list[Gateway]) -> None:
    centre, one, two = three
    known(centre, one, two)
    row = rows(centre)["gw1"]
    assert row["says"]["ready"]
    assert [flow["flow"] for flow in row["says"]["flows"]] == ["press"]
    assert row["says"]["alarms"]["urgent"] == 0

    done = pushed(centre, BETTER)
    assert (done["state"], states(done)) == ("done", {"gw1": "good", "gw2": "good"})
    assert one.flow_text() == two.flow_text() == centre.flow_text()
    last = one.client.revisions("press")[-1]
    assert last["author"].startswith("fleet:")
    actions = [row["action"] for row in one.client.audit()]
    assert "fleet/take" in actions

    bad = pushed(centre, LOUD)
    assert (bad["state"], states(bad)) == ("stopped", {"gw1": "back", "gw2": "waiting"})
    assert "open alarms; before there were" in bad["members"][0]["text"]
    assert "hi: 900" in one.flow_text()
    assert two.flow_text() == one.flow_text(), "it was never touched"
    assert two.client.revisions("press")[-1]["note"] == "better"

    one.client.deploy("press", QUIET, "user:eva", "by hand")
    until(lambda: rows(centre)["gw1"]["pushed"], centre, one)
    (drift,) = rows(centre)["gw1"]["pushed"]
    assert (drift["what"], drift["found"]) == ("flow press", "another text")


def test_one_killed_and_one_with_a_wrong_certificate(three: list[Gateway]) -> None:
    centre, one, two = three
    known(centre, one, two)
    wrong = two.pin[:-2] + ("00" if not two.pin.endswith("00") else "01")
    look_at(centre, "gw2", two, pin=wrong)
    until(lambda: rows(centre)["gw2"]["state"] == "refused", centre)
    assert "Nothing was sent" in rows(centre)["gw2"]["text"]
    one.kill()
    until(lambda: rows(centre)["gw1"]["state"] == "away", centre)
    assert rows(centre)["gw1"]["says"]["version"], "what was heard last stays"
    stopped = pushed(centre, BETTER)
    assert (stopped["state"], states(stopped)) == ("stopped", {"gw1": "failed", "gw2": "waiting"})
    one.start()
    until(lambda: rows(centre)["gw1"]["state"] == "well", centre, one)
    assert "hi: 1000" in one.flow_text()


def test_who_is_not_let_in(three: list[Gateway], tmp_path: Path) -> None:
    """By the door, without a certificate that is trusted, without a token, and beside the door."""
    centre, one, two = three
    known(centre, one)
    assert _asked(one, None) is None
    assert _asked(one, two.state) is None, "two is not trusted by one"
    assert _asked(one, centre.state) == 401, "a certificate alone is not enough"
    foreign = tmp_path / "foreign"
    certificate.ensure(foreign, SystemClock().now())
    assert _asked(one, foreign) is None
    assert _asked(one, centre.state, "/api/status") == 404, "the door has three paths"
    one.client.doubt("centres", "centre")
    until(lambda: "genba fleet trust" in rows(centre)["gw1"]["text"], centre, one)


def test_a_key_that_is_not_trusted_and_a_token_that_only_reads(three: list[Gateway]) -> None:
    centre, one, two = three
    known(centre, one, two)
    look_at(centre, "gw2", two, ring="ring1", token=two.lets_in(centre, takes=False))
    done = pushed(centre, BETTER)
    assert states(done) == {"gw1": "good", "gw2": "failed"}
    assert "may not hand over signed flows" in done["members"][1]["text"]
    centre.client.new_fleet_key()
    done = pushed(centre, QUIET.replace("1000", "800"))
    assert done["state"] == "stopped"
    assert "which this gateway does not trust" in done["members"][0]["text"]
    assert "fleet/refused" in [row["action"] for row in one.client.audit()]
    with pytest.raises(Rejected, match="No gateway is in the group"):
        centre.client.push(flow="press", group="nobody")


def test_a_pusher_that_is_killed_goes_on(three: list[Gateway]) -> None:
    centre, one, two = three
    known(centre, one, two)
    before = [len(other.client.revisions("press")) for other in (one, two)]
    centre.client.deploy("press", BETTER, "user:anna", "")
    row = centre.client.push(flow="press", group="line", rules={**RULES, "soak_s": 5.0})
    until(lambda: centre.client.one_push(row["id"])["watched_until"], centre)
    centre.kill()
    centre.start()
    done = ended(centre, row["id"])
    assert (done["state"], states(done)) == ("done", {"gw1": "good", "gw2": "good"})
    after = [len(other.client.revisions("press")) for other in (one, two)]
    assert after == [n + 1 for n in before], "it was handed over once"


def _asked(one: Gateway, state: Path | None, path: str = "/api/fleet/self") -> int | None:
    """The status of an answer at the door; None when it does not let in at all."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if state is not None:
        context.load_cert_chain(*certificate.as_client(state, SystemClock().now()))
    line = http.client.HTTPSConnection("127.0.0.1", one.door, timeout=20, context=context)
    try:
        line.request("GET", path)
        return line.getresponse().status
    except (ssl.SSLError, ConnectionError, http.client.HTTPException):
        return None
    finally:
        line.close()
