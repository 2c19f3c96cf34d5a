"""`genba support-bundle`: it helps, and no secret is in it, wherever one was put."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway import Reading, Rejected
from gateway.api import certificate
from gateway.cli import settings, support_bundle
from gateway.cli._scrub import GONE, known_secrets, scrub, scrubbed
from gateway.engine import store_writer
from gateway.engine.clock import SystemClock
from gateway.engine.store_records import letters
from tests.api.serving import Terminal, served
from tests.engine.gear import Script, flow, lent, samples, started, until

CANARY = "kanarienvogel"
FLOW = flow(
    "src: {type: script.source}\n"
    f"out: {{type: script.sink, about: 'see http://anna:{CANARY}1@10.0.0.5/x'}}",
    "src -> out",
    more=f"# password {CANARY}2, which nobody should have written here\n",
)
LOG = f"""`genba users claim NAME` makes the first one with this code, within 30 minutes: {CANARY}3
connecting to mqtt://u:{CANARY}4@broker:1883 with password="{CANARY} 5"
Authorization: Bearer {CANARY}6.{CANARY}
Cookie: __Host-genba={CANARY}7; other={CANARY}
api_key={CANARY}8 genba_{CANARY}9aaaaaaaaaaaa
-----BEGIN EC PRIVATE KEY-----
{CANARY}10
-----END EC PRIVATE KEY-----
a sealed one: valve-code-4711
"""


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "FILE", tmp_path / "genba.toml")
    monkeypatch.setenv("GENBA_API", "http://127.0.0.1:9")
    monkeypatch.setenv("GENBA_SECRET_PLC", f"{CANARY}11")
    monkeypatch.setenv("GENBA_TOKEN", "")
    (tmp_path / "genba.toml").write_text(
        f'[variables]\nmqtt_url = "mqtt://u:{CANARY}12@10.0.0.5"\nplc_password = "{CANARY}13"\n'
        'hall = "hall-7"\n'
    )
    (tmp_path / "genba.toml").chmod(0o640)


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Iterator[Script]:
    monkeypatch.setattr(store_writer, "COMMIT_INTERVAL_S", 0.002)
    with lent(Script()) as script:
        yield script


def unpacked(path: Path) -> dict[str, str]:
    """The files of a bundle by name."""
    found = {}
    with tarfile.open(path) as bundle:
        for one in bundle:
            file = bundle.extractfile(one)
            assert file is not None
            found[one.name.removeprefix("genba-support/")] = file.read().decode()
    return found


async def test_no_secret_is_in_it(
    script: Script, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    state = tmp_path / "state"
    runtime = await started(FLOW, state)
    certificate.ensure(state, SystemClock().now())
    (state / "api.token").write_text(f"1\ngenba_local_{CANARY}14\n")
    runtime.secrets.put("valve", "valve-code-4711")
    monkeypatch.setattr(support_bundle, "_said", lambda *words: LOG)
    path = tmp_path / "bundle.tar.gz"
    async with served(runtime) as url:
        monkeypatch.setenv("GENBA_API", url)
        script.poison = lambda message: Rejected(f"refused\n{CANARY}15 is what was in it")
        await script.readings.put(Reading({"out": samples(runtime, "A 0s 7123.25")}))
        while not await letters(runtime.store):
            await until(lambda: True)
        said = await Terminal(capsys)("support-bundle", str(path), "--state", str(state))
    await runtime.stop()
    found = unpacked(path)
    assert path.stat().st_mode & 0o077 == 0
    assert [line.split()[-1] for line in said.splitlines() if line.startswith("  ")] == [*found]
    assert said.index("is to hold") < said.index("Look into it")
    key = (state / "tls" / certificate.KEY).read_text().splitlines()
    for name, text in found.items():
        assert CANARY not in text, name
        assert "valve-code-4711" not in text, name
        assert "7123.25" not in text, name  # A dead letter is listed without its payload.
        assert not [line for line in key if line in text], name
    assert json.loads(found["status.json"])["running"] is True
    assert json.loads(found["config.json"])["variables"]["hall"] == "hall-7"
    assert json.loads(found["dead_letters.json"])[0]["error"] == "refused"
    assert "src" in json.loads(found["flows/test.json"])["nodes"]
    assert "genba_unbalanced_rows" in found["metrics.txt"]
    assert {row["check"] for row in json.loads(found["doctor.json"])} >= {"clock", "books"}
    assert "connecting to mqtt://***@broker:1883" in found["log.txt"]


async def test_it_helps_when_no_gateway_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "b.tar.gz"
    genba = Terminal(capsys)
    await genba("support-bundle", str(path), "--state", str(tmp_path), "--list")
    assert not path.exists()
    await genba("support-bundle", str(path), "--state", str(tmp_path))
    found = unpacked(path)
    assert "No gateway answers" in json.loads(found["status.json"])["not there"]
    assert json.loads(found["packages.json"])
    said = await genba("support-bundle", str(path), code=1)
    assert "is there already" in said


@pytest.mark.parametrize(
    "text",
    [
        f"redis://:{CANARY}@host", f"https://u:p{CANARY}/x@y@host/", f"PASSWORD={CANARY}",
        f"{{'token': '{CANARY}'}}", f'"clientSecret": "{CANARY}"', f"x-api-key: {CANARY}",
        f"Authorization: Basic {CANARY}", f"basic {CANARY}==", f"passphrase = {CANARY}",
        f"eyJhbGciOi12345.{CANARY}.x", f"https://hooks.slack.com/services/T0/{CANARY}",
        f"-----BEGIN PRIVATE KEY-----\n{CANARY}",
    ],
)  # fmt: skip
def test_what_looks_like_a_secret_is_taken_out(text: str) -> None:
    assert CANARY not in scrub(text)
    assert GONE in scrub(text)


@pytest.mark.parametrize(
    "text",
    [
        "opc.tcp://10.0.0.5:4840 does not answer", "user anna logged in at 12:30",
        'genba_model_tokens_total{model="own",way="in"} 5', "mail to anna@example.org",
        "hall/press_7/temperature: 20.5", "https://10.0.0.5:8443/path?since=3",
    ],
)  # fmt: skip
def test_what_is_none_stays(text: str) -> None:
    assert scrub(text) == text


def test_values_by_the_name_above_them() -> None:
    found = scrubbed(
        {
            "password": 123456, "tokens_max": 512, "is_secret": True, "key": "abc",
            "auth": {"secret": "plc", "user": "anna"}, "cookies": ["a", "b"],
        }
    )  # fmt: skip
    assert found == {
        "password": GONE, "tokens_max": 512, "is_secret": True, "key": GONE,
        "auth": {"secret": GONE, "user": "anna"}, "cookies": GONE,
    }  # fmt: skip


def test_looking_for_secrets_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "plain").write_text('a "quoted" one\n')
    before = sorted(path.name for path in tmp_path.rglob("*"))
    found = known_secrets(tmp_path)
    assert {'a "quoted" one', 'a \\"quoted\\" one', "a%20%22quoted%22%20one"} <= set(found)
    assert sorted(path.name for path in tmp_path.rglob("*")) == before
