"""Setpoints and write grants over HTTP: who may, what is shown, what is refused."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.api.server import Server
from gateway.engine import setpoint_watch, store_writer
from gateway.engine.inject import may_write
from gateway.engine.passwords import Cost
from tests.api.test_accounts import House
from tests.engine.gear import flow, started, until
from tests.engine.setpoint_gear import TAG, Device, device, grant, press


@pytest.fixture
def valve() -> Iterator[Device]:
    with device() as made:
        yield made


@pytest.fixture
async def house(
    valve: Device, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[House]:
    """A gateway with an administrator, a writer, another writer and an engineer."""
    monkeypatch.setattr(store_writer, "COMMIT_INTERVAL_S", 0.002)
    monkeypatch.setattr(setpoint_watch, "LOOK_S", 0.01)
    runtime = await started(press(), tmp_path)
    server = Server(runtime, 0, cost=Cost(16, 8, 1))
    await server.accounts.ready()
    made = House(runtime, server)
    await made.add("carl", "administrator")
    await made.add("anna", "operator", is_writer=True)
    await made.add("bob", "engineer", is_writer=True)
    await made.add("eve", "engineer")
    await until(lambda: runtime.runners["press"].egresses["valve"].is_up)
    yield made
    made.accounts.close()
    server._socket.close()
    await runtime.stop()


async def test_a_setpoint_over_http(house: House, valve: Device) -> None:
    carl, anna, eve = [await house.browser(name) for name in ("carl", "anna", "eve")]
    answer = await carl.put("/api/grants/speed", json=dict(grant().fact()))
    assert (answer.status_code, answer.json()) == (200, {"id": "speed", "revision": 1})
    wanted = {"tag": TAG, "value": 30, "cause": "recipe 7"}
    for nobody in (carl, eve):
        assert (await nobody.post("/api/setpoints/arm", json=wanted)).status_code == 403
    armed = (await anna.post("/api/setpoints/arm", json=wanted)).json()
    assert [check["text"] for check in armed["checks"]] == [
        "user:anna is operator; the grant asks for operator.",
        "press/valve can write.",
        "30 is within 0 to 100.",
    ]
    assert (armed["value"], armed["before"], armed["confirm_s"]) == (30.0, None, 30.0)
    confirm = {"token": armed["token"]}
    assert (await eve.post("/api/setpoints/confirm", json=confirm)).status_code == 403
    found = (await anna.post("/api/setpoints/confirm", json=confirm)).json()
    assert (await anna.post("/api/setpoints/confirm", json=confirm)).status_code == 409
    await until(lambda: house.runtime.setpoints.row(found["setpoint"])["is_over"])
    row = (await eve.get(f"/api/setpoints/{found['setpoint']}")).json()
    assert (row["state"], row["cause"], row["armed_by"]) == ("written", "recipe 7", "user:anna")
    assert (await eve.get("/api/setpoints")).json() == [row]
    assert valve.given == [(TAG, 30.0)]
    assert armed["token"] not in (await carl.get("/api/audit")).text
    for client in (carl, anna, eve):
        await client.aclose()


async def test_what_is_refused(house: House, valve: Device) -> None:
    carl, anna = [await house.browser(name) for name in ("carl", "anna")]
    assert (await anna.get("/api/setpoints/none")).status_code == 404
    answer = await anna.post("/api/setpoints/arm", json={"tag": TAG, "value": 1})
    assert (answer.status_code, "No write grant" in answer.text) == (409, True)
    await carl.put("/api/grants/speed", json=dict(grant().fact()))
    for value in (101, -1, 1e308):
        answer = await anna.post("/api/setpoints/arm", json={"tag": TAG, "value": value})
        assert (answer.json()["state"], answer.json()["token"]) == ("refused", "")
    for number in ("NaN", "1e999", "-Infinity"):
        text = f'{{"tag": "{TAG}", "value": {number}}}'
        head = {"Content-Type": "application/json"}
        answer = await anna.post("/api/setpoints/arm", content=text, headers=head)
        assert answer.status_code == 422 or not answer.json()["token"]
    assert (await anna.post("/api/setpoints/confirm", json={"token": "x"})).status_code == 409
    assert valve.given == []
    await carl.aclose()
    await anna.aclose()


async def test_grants_are_an_administrators(house: House) -> None:
    carl, bob = [await house.browser(name) for name in ("carl", "bob")]
    good = dict(grant().fact())
    assert (await bob.put("/api/grants/speed", json=good)).status_code == 403
    assert (await carl.put("/api/grants/other", json=good)).status_code == 422
    assert (await carl.put("/api/grants/speed", json={**good, "lo": 101})).status_code == 422
    bad = {**good, "interlocks": [{"when": "__import__('os')"}]}
    assert (await carl.put("/api/grants/speed", json=bad)).status_code == 422
    assert (await carl.put("/api/grants/speed", json={**good, "step_max": 5})).status_code == 422
    await carl.put("/api/grants/speed", json=good)
    listed = (await bob.get("/api/grants")).json()
    assert [(row["id"], row["author"]) for row in listed["grants"]] == [("speed", "user:carl")]
    assert (await bob.delete("/api/grants/speed")).status_code == 403
    assert (await carl.delete("/api/grants/speed")).json() == {"id": "speed", "revision": 2}
    assert (await carl.delete("/api/grants/speed")).status_code == 409
    await carl.aclose()
    await bob.aclose()


async def test_two_people(house: House, valve: Device) -> None:
    carl, anna, bob = [await house.browser(name) for name in ("carl", "anna", "bob")]
    await carl.put("/api/grants/speed", json=dict(grant(two_person=True).fact()))
    wanted = {"tag": TAG, "value": 30}
    token = (await anna.post("/api/setpoints/arm", json=wanted)).json()["token"]
    answer = await anna.post("/api/setpoints/confirm", json={"token": token})
    assert (answer.status_code, answer.text) == (
        409, "Somebody else must confirm it than who armed it.",
    )  # fmt: skip
    await house.accounts.change("test", "anna", is_writer=False)
    answer = await bob.post("/api/setpoints/confirm", json={"token": token})
    assert "user:anna, who armed it, may not write setpoints any more" in answer.text
    await house.accounts.change("test", "anna", is_writer=True)
    answer = await bob.post("/api/setpoints/confirm", json={"token": token})
    assert answer.json()["state"] == "confirmed"
    await until(lambda: valve.given == [(TAG, 30.0)])
    for client in (carl, anna, bob):
        await client.aclose()


async def test_values_by_hand_need_the_grant_where_they_could_move_a_machine(
    house: House, valve: Device
) -> None:
    """Also at a flow that only gives a stream to one that writes."""
    body = {"node": "src", "samples": f"{TAG} 0s 30", "new_tags": True}
    eve, bob = await house.browser("eve"), await house.browser("bob")
    refused = await eve.post("/api/flows/press/inject", json=body)
    assert (refused.status_code, "press may change the plant" in refused.text) == (403, True)
    assert ("user:eve", "denied") in await house.said()
    assert (await bob.post("/api/flows/press/inject", json=body)).status_code == 200
    beside = flow("src: {type: script.source}\nend: {type: flow.sink, stream: far}", "src -> end")
    far = flow("in: {type: flow.source, stream: far}\nend: {type: log.sink}", "in -> end")
    for name, document in (("beside", beside), ("far", far)):
        await house.runtime.deploy(replace(document, name=name), "test")
    assert may_write(house.runtime, "beside") == ""
    assert (await eve.post("/api/flows/beside/inject", json=body)).status_code == 200
    await house.runtime.deploy(replace(far, name="far", allow_write=True), "test")
    assert may_write(house.runtime, "beside") == "far"
    assert (await eve.post("/api/flows/beside/inject", json=body)).status_code == 403
    assert may_write(house.runtime, "nothing") == ""
