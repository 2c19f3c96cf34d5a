"""A GGUF file is read with bounds: whatever stands in it, it is told or refused."""

from __future__ import annotations

import random
import struct
from pathlib import Path

import pytest

from models.llm import gguf
from tests.models.llm import tiny


def test_what_a_file_says_of_itself(tmp_path: Path) -> None:
    found = gguf.about(tiny.write(tmp_path / "a.gguf", layers=2))
    assert (found.name, found.architecture, found.kind) == ("tiny at random", "llama", "F32")
    assert (found.context, found.has_template) == (256, True)
    assert found.parameters == 2 * 263 * 32 + 32 + 2 * (2 * 32 + 4 * 32 * 32 + 6 * 32 * 32)


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (b"", "shorter"),
        (b"GGML" + bytes(60), "does not begin"),
        (b"GGUF" + struct.pack("<IQQ", 9, 0, 0) + bytes(8), "version 9"),
        (b"GGUF" + struct.pack("<IQQ", 3, 2**60, 0) + bytes(8), "too many"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q", 2**62), "a text"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 4000) + bytes(8), "its head cannot be read|unknown"),
    ],
)
def test_what_is_no_file_of_a_model(tmp_path: Path, data: bytes, match: str) -> None:
    path = tmp_path / "a.gguf"
    path.write_bytes(data)
    with pytest.raises(gguf.Damaged, match=match):
        gguf.about(path)


def test_whatever_is_changed_or_cut_it_is_told_or_refused(tmp_path: Path) -> None:
    path = tiny.write(tmp_path / "a.gguf")
    whole = path.read_bytes()
    rng = random.Random(11)
    refused = 0
    for _ in range(300):
        data = bytearray(whole[: rng.choice([len(whole), rng.randrange(len(whole))])])
        for _ in range(rng.randrange(4)):
            if data:
                data[rng.randrange(min(len(data), 9_000))] = rng.randrange(256)
        path.write_bytes(bytes(data))
        try:
            gguf.about(path)
        except gguf.Damaged:
            refused += 1
    assert refused > 100
