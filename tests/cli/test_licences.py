"""`genba licences`: every part with its terms, and a bill of materials that others can read."""

from __future__ import annotations

import json
import re
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from gateway.api.licences import bill, libraries, needs, parts
from gateway.cli.main import main

NS = 10**9
ROOT = Path(__file__).resolve().parents[2]
TYPES = {"application", "library", "data", "machine-learning-model"}


@pytest.fixture(scope="module")
def made() -> dict[str, Any]:
    return bill(1_790_000_000 * NS)


def test_every_part_of_the_product_says_its_licence() -> None:
    """What ships without terms may not be shipped."""
    own = [row for row in parts() if row["part"]]
    assert {"genba", "numpy", "pydantic"} <= {row["name"] for row in own if row["kind"] == "python"}
    assert {"vue", "uplot"} <= {row["name"] for row in own if row["kind"] == "screens"}
    assert {"CPython", "genba.gguf"} <= {row["name"] for row in own if row["kind"] == "other"}
    assert [row["name"] for row in own if not row["licence"]] == []
    assert [row["name"] for row in own if row["kind"] == "screens" and not row["texts"]] == []


def test_what_only_tests_need_is_no_part() -> None:
    assert "pytest" not in needs()
    assert {row["name"] for row in parts() if not row["part"]} >= {"pytest"}


def test_what_the_screens_are_built_from_is_listed() -> None:
    wanted = json.loads((ROOT / "ui" / "frontend" / "package.json").read_text())["dependencies"]
    rows = json.loads((ROOT / "ui" / "licences.json").read_text())
    builds = {"vite", "@vitejs/plugin-vue"}
    hint = "Run: node ui/frontend/licences.mjs"
    assert set(wanted) - builds <= {row["name"] for row in rows}, hint


def test_the_bill_is_cyclonedx(made: dict[str, Any]) -> None:
    """What CycloneDX 1.6 asks of each part; its schema itself would have to be fetched."""
    assert (made["bomFormat"], made["specVersion"], made["version"]) == ("CycloneDX", "1.6", 1)
    uuid = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
    assert re.fullmatch(f"urn:uuid:{uuid}", made["serialNumber"])
    assert datetime.fromisoformat(made["metadata"]["timestamp"]).tzinfo is not None
    assert set(made) == {
        "$schema", "bomFormat", "specVersion", "serialNumber", "version", "metadata",
        "components", "dependencies",
    }  # fmt: skip
    allowed = {"type", "bom-ref", "name", "version", "scope", "purl", "licenses"}
    for one in (*made["components"], made["metadata"]["component"]):
        assert set(one) <= allowed, one
        assert one["type"] in TYPES
        assert one["name"] and one["version"]
        assert one.get("scope", "required") in ("required", "optional", "excluded")
        if "purl" in one:
            assert re.fullmatch(r"pkg:(pypi|npm)/[^@ ]+@[^@ ]+", one["purl"])
        for terms in one.get("licenses", ()):
            (kind,) = terms
            if kind == "expression":
                assert isinstance(terms[kind], str)
                assert len(one["licenses"]) == 1
            else:
                assert kind == "license"
                assert set(terms[kind]) in ({"id"}, {"name"})


def test_references_are_unique_and_point_to_something(made: dict[str, Any]) -> None:
    refs = [one["bom-ref"] for one in made["components"]] + [
        made["metadata"]["component"]["bom-ref"]
    ]
    assert len(refs) == len(set(refs))
    own = [one["ref"] for one in made["dependencies"]]
    assert len(own) == len(set(own))
    for one in made["dependencies"]:
        assert {one["ref"], *one["dependsOn"]} <= set(refs)
    root = next(one for one in made["dependencies"] if one["ref"].startswith("pkg:pypi/genba@"))
    assert any(ref.startswith("pkg:pypi/numpy@") for ref in root["dependsOn"])
    assert any(ref.startswith("pkg:npm/vue@") for ref in root["dependsOn"])


def test_the_same_parts_give_the_same_serial_number(made: dict[str, Any]) -> None:
    assert bill(1_800_000_000 * NS)["serialNumber"] == made["serialNumber"]


def test_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["licences"]) == 0
    listed = capsys.readouterr().out
    assert re.search(r"^numpy +\S+ +python +BSD", listed, re.M)
    assert "pytest" not in listed
    assert main(["licences", "--cyclonedx"]) == 0
    assert json.loads(capsys.readouterr().out)["bomFormat"] == "CycloneDX"
    assert main(["licences", "--text", "vue"]) == 0
    assert "Permission is hereby granted" in capsys.readouterr().out
    assert main(["licences", "--text", "nunpy"]) == 1
    assert "numpy" in capsys.readouterr().err


def test_the_libraries_in_a_binary_are_listed(tmp_path: Path) -> None:
    for name in ("libsqlite3.so.0", "libz.so.1", "libstdc++.so.6", "unknown.so.1", "x.so"):
        (tmp_path / name).touch()
    assert [(row["name"], row["version"]) for row in libraries(tmp_path)] == [
        ("SQLite", "0"),
        ("libstdc++", "6"),
        ("zlib", "1"),
    ]
    assert all(row["licence"] for row in libraries(tmp_path))
