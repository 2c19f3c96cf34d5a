"""genba models, of a whole gateway, with a real server of models."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.api.exposition import metrics_text
from gateway.api.local import FILE, write_token
from gateway.api.server import Server
from gateway.engine.models_local import OWN_FILE
from gateway.engine.passwords import Cost
from gateway.engine.runtime import Runtime
from gateway.engine.store_records import audit_rows
from models.llm import binding
from tests.api.serving import Terminal
from tests.engine.gear import Script, flow, lent, started, until
from tests.engine.llm_server import gives, serving
from tests.models.llm import tiny

FLOW = flow("src: {type: script.source}\nhigh: {type: alarm.limit, hi: 80}", "src -> high")


@pytest.fixture
async def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Runtime]:
    with lent(Script()):
        runtime = await started(FLOW, tmp_path)
        server = Server(runtime, 0, cost=Cost(16, 8, 1))
        running = asyncio.ensure_future(server.run())
        await until(lambda: server._server.started)
        write_token(tmp_path, server.port, server.access.local_token)
        monkeypatch.setenv("GENBA_TOKEN_FILE", str(tmp_path / FILE))
        monkeypatch.setenv("GENBA_API", server.url)
        yield runtime
        server.stop()
        await running
        await runtime.stop()


async def test_a_server_is_added_tried_and_removed(
    runtime: Runtime, capsys: pytest.CaptureFixture[str]
) -> None:
    genba = Terminal(capsys)
    runtime.destinations.allow("127.0.0.1")
    async with serving(gives("Yes.", usage=(5, 2))) as s:
        words = ("--url", s.url, "--model", "m", "--set", "price_in=1", "--set", "tasks=chat")
        assert "a is in the list" in await genba("models", "add", "a", *words)
        said = await genba("models", "try", "Are you there?", code=1)
        assert "data of the plant may not leave it" in said
        said = await genba("models", "try", "Are you there?", "--may-leave")
        assert said.startswith("Yes.\n\na: 5 + 2 tokens in ")
        assert "answered 1 of 1" in await genba("models")
        text = metrics_text(runtime)
        assert 'genba_model_tokens_total{model="a",way="in"} 5' in text
        assert 'genba_model_questions_total{model="a",what="answered"} 1' in text
        assert "1 answers are forgotten" in await genba("models", "forget")
        assert "out of the list" in await genba("models", "remove", "a")
    actions = [row["action"] for row in await audit_rows(runtime.store)]
    assert {"models/add", "models/forget", "models/remove"} <= set(actions)


async def test_the_list_is_printed_edited_and_saved(
    runtime: Runtime, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    genba = Terminal(capsys)
    text = await genba("models", "rules")
    file = tmp_path / "edited.yaml"
    file.write_text(text.replace("rules: []", "rules: [{task: explain, models: [own]}]"))
    assert "saved" in await genba("models", "rules", str(file))
    assert runtime.models.book.found.rules[0].models == ("own",)
    file.write_text("rules: [{task: dance}]")
    assert "task" in await genba("models", "rules", str(file), code=1)
    assert runtime.models.book.found.rules[0].models == ("own",)


async def test_a_file_in_the_folder_is_found(
    runtime: Runtime, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    genba = Terminal(capsys)
    (tmp_path / "models").mkdir()
    tiny.write(tmp_path / "models" / "small.gguf")
    assert "genba models add NAME --file small.gguf" in await genba("models")
    assert "in the list" in await genba("models", "add", "small", "--file", "small.gguf")
    assert "NAME --file" not in await genba("models")
    assert "no file absent.gguf" in await genba(
        "models", "add", "x", "--file", "absent.gguf", code=1
    )


async def test_wrong_words_say_what_is_right(
    runtime: Runtime, capsys: pytest.CaptureFixture[str]
) -> None:
    genba = Terminal(capsys)
    url = ("--url", "http://x/v1")
    assert "--model NAME" in await genba("models", "add", "a", *url, code=1)
    wrong = await genba("models", "add", "a", *url, "--model", "m", "--set", "x", code=1)
    assert "no OPTION=VALUE" in wrong
    assert "no name of a model" in await genba("models", "add", "A!", *url, "--model", "m", code=1)


async def test_install_says_that_it_is_there_or_why_not(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    genba = Terminal(capsys)
    if binding.installed():
        assert "installed already" in await genba("models", "install")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    said = await genba("models", "install", "--again", code=1)
    assert "There is no C++ compiler" in said


def test_the_wheel_holds_what_is_needed_and_no_more(tmp_path: Path) -> None:
    import zipfile

    source, libraries = tmp_path / "source", tmp_path / "bin"
    (source / "llama_cpp").mkdir(parents=True)
    libraries.mkdir()
    for name in ("__init__.py", "llama.py", "mtmd_cpp.py"):
        (source / "llama_cpp" / name).write_text("x = 1\n")
    for name in ("PKG-INFO", "LICENSE.md"):
        (source / name).write_text("Name: llama_cpp_python\n")
    for name in ("libllama.so", "libggml.so.0", "libggml-base.so.0", "libggml-cpu.so.0"):
        (libraries / name).write_bytes(Path(sys.executable).read_bytes()[:64])
    wheel = tmp_path / "out" / binding.wheel_name()
    binding.pack(source, libraries, wheel)
    with zipfile.ZipFile(wheel) as opened:
        names = set(opened.namelist())
        record = opened.read(f"llama_cpp_python-{binding.VERSION}.dist-info/RECORD").decode()
    assert "llama_cpp/llama.py" in names
    assert "llama_cpp/lib/libllama.so" in names
    assert not [name for name in names if "mtmd" in name]
    assert {line.partition(",")[0] for line in record.splitlines()} == names
    assert [p.name for p in wheel.parent.iterdir()] == [wheel.name]


def test_the_own_model_is_where_the_pool_looks() -> None:
    assert OWN_FILE.parts[-3:] == ("models", "explainer", "genba.gguf")
