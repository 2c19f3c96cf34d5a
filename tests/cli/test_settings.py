"""Settings: one declaration, four sources, and a clear sentence for each mistake."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from gateway.cli import settings
from gateway.cli._setting import SETTINGS
from gateway.cli.config import example_lines
from gateway.cli.settings import read, take_settings
from gateway.errors import ConfigError


@pytest.fixture(autouse=True)
def no_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(settings, "FILE", tmp_path / "absent.toml")


def args(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    take_settings(parser)
    return parser.parse_args(words)


def written(tmp_path: Path, text: str, mode: int = 0o640) -> Path:
    path = tmp_path / "genba.toml"
    path.write_text(text)
    path.chmod(mode)
    return path


def test_a_later_source_wins(tmp_path: Path) -> None:
    path = written(tmp_path, 'port = 1\ntags_max = 11\nlog_level = "warning"\n')
    found = read(
        args("--config", str(path), "--port", "3"), {"GENBA_PORT": "2", "GENBA_TAGS_MAX": "12"}
    )
    assert (found["port"], found.values["port"].source) == (3, "command line")
    assert (found["tags_max"], found.values["tags_max"].source) == (12, "$GENBA_TAGS_MAX")
    assert (found["log_level"], found.values["log_level"].source) == ("WARNING", str(path))
    assert (found["accounts"], found.values["accounts"].source) == (False, "usual")


def test_lists_switches_and_variables(tmp_path: Path) -> None:
    text = 'flows = ["a", "b"]\naccounts = true\n[variables]\nMQTT_URL = "mqtt://x"\nunit = 3\n'
    found = read(args("--config", str(written(tmp_path, text))), {})
    assert found["flows"] == [Path("a"), Path("b")]
    assert found["accounts"] is True
    assert found.variables == {"mqtt_url": "mqtt://x", "unit": "3"}
    both = {"GENBA_FLOWS": os.pathsep.join(("c", "d")), "GENBA_ACCOUNTS": "no"}
    found = read(args("--config", str(written(tmp_path, text))), both)
    assert (found["flows"], found["accounts"]) == ([Path("c"), Path("d")], False)


def test_a_table_of_settings(tmp_path: Path) -> None:
    text = '[telemetry]\nendpoint = "https://collector:4318"\nratio = 0.5\n'
    path = written(tmp_path, text)
    found = read(args("--config", str(path)), {"GENBA_TELEMETRY_RATIO": "1"})
    assert found["telemetry_endpoint"] == "https://collector:4318"
    assert found.values["telemetry_endpoint"].source == str(path)
    assert (found["telemetry_ratio"], found["telemetry_ca"]) == (1.0, None)
    given = example_lines({"telemetry_endpoint": "http://127.0.0.1:4318"})
    found = read(args("--config", str(written(tmp_path, "\n".join(given)))), {})
    assert found["telemetry_endpoint"] == "http://127.0.0.1:4318"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("port = 70000", "0 to 65535"),
        ("prot = 1", "Did you mean port?"),
        ("flows = 'a'", "no list"),
        ("port = [1]", "no single value"),
        ("accounts = 'perhaps'", "neither true nor false"),
        ("listen = 'nowhere'", "no address"),
        ("log_format = 'xml'", "text or json"),
        ("log_level = 'loud'", "DEBUG"),
        ("tags_max = 0", "1 to 65535"),
        ("= 3", "no TOML"),
        ("variables = 3", "no table"),
        ("telemetry_endpoint = 'ftp://host'", "http://HOST:4318"),
        ("[telemetry]\nendpoint = 'collector:4318'", "http://HOST:4318"),
        ("[telemetry]\nratio = 2", "0 to 1"),
        ("[telemetry]\nratio = nan", "0 to 1"),
        ("[telemetry]\ninterval_s = 1", "5 to 3600"),
        ("[telemetry]\nheaders = 'a b'", "no name of a secret"),
        ("[telemetry]\nendpiont = ''", "telemetry_endpiont"),
        ("[variables]\na = [1]", "no table"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError) as found:
        read(args("--config", str(written(tmp_path, text))), {})
    assert said in str(found.value)
    assert "genba.toml" in str(found.value)


def test_a_wrong_variable_is_named() -> None:
    with pytest.raises(ConfigError, match=r"\$GENBA_PORT"):
        read(args(), {"GENBA_PORT": "x"})


def test_who_may_read_and_change_the_file(tmp_path: Path) -> None:
    words = ("--config", str(tmp_path / "genba.toml"))
    written(tmp_path, "port = 1", 0o646)
    with pytest.raises(ConfigError, match="chmod 0640"):
        read(args(*words), {})
    written(tmp_path, "port = 1", 0o644)
    assert "chmod 0640" in read(args(*words), {}).warnings[0]
    written(tmp_path, "port = 1")
    assert not read(args(*words), {}).warnings


def test_a_named_file_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        read(args("--config", str(tmp_path / "no.toml")), {})
    with pytest.raises(ConfigError, match="cannot be read"):
        read(args(), {"GENBA_CONFIG": str(tmp_path / "no.toml")})


def test_the_example_is_what_is_usual(tmp_path: Path) -> None:
    wanted = [line for line in example_lines() if " = " in line or line == "# [telemetry]"]
    lines = [line.removeprefix("# ") for line in wanted]
    text = "\n".join(line for line in lines if not line.startswith("mqtt_url"))
    table = tomllib.loads(text)
    told = {f"telemetry_{key}" for key in table.pop("telemetry")}
    assert set(table) | told == {one.name for one in SETTINGS}
    found = read(args("--config", str(written(tmp_path, text))), {})
    for one in SETTINGS:
        if one.name != "state":
            assert list(_many(found[one.name])) == list(_many(one.usual())), one.name


def _many(value: object) -> list[object]:
    return list(value) if isinstance(value, list | tuple) else [value]


def test_the_command_shows_where_each_comes_from(tmp_path: Path) -> None:
    path = written(tmp_path, "port = 9")
    words = [sys.executable, "-m", "gateway", "config", "show", "--json", "--config", str(path)]
    environment = {**os.environ, "GENBA_TAGS_MAX": "5"}
    done = subprocess.run(words, env=environment, capture_output=True, check=True, timeout=60)
    shown = json.loads(done.stdout)
    assert shown["settings"]["port"] == {
        "value": 9,
        "from": str(path),
        "unit": "TCP port, 0 to 65535",
    }
    assert shown["settings"]["tags_max"]["from"] == "$GENBA_TAGS_MAX"
