"""Any GGUF in the folder of models explains as ours does, or leaves the template's text.

The model is of the form of those of half a billion numbers (see `large`); the short form has fewer
layers and words. With GENBA_TORTURE=1 it has all, and what it took is printed.
"""

from __future__ import annotations

import asyncio
import os
import re
import time
from pathlib import Path
from typing import Any

import pytest

from gateway import ConfigError
from gateway.engine.models_local import LocalRunner
from gateway.flow.models import LocalModel, ModelList
from models.explainer import check, prompt
from models.explainer.text import LANGUAGES
from models.llm import gguf
from tests.api.test_explain import HOT, OTHER, Bench, alarm_of
from tests.api.test_explain_model import gateway, one_more
from tests.engine.gear import until
from tests.engine.models_gear import Gear, ask, gear, needs_llama
from tests.models.explainer.sheets import sheet
from tests.models.llm import large
from tests.models.llm.test_grammar import strangers

TORTURE = bool(os.environ.get("GENBA_TORTURE"))
FORM = large.HALF if TORTURE else large.SMALL
MEMORY_MB = 2_048
TOO_LITTLE_MB = 512 if TORTURE else 256
CONTEXT = 2_048

pytestmark = [needs_llama, *([pytest.mark.slow] if TORTURE else [])]


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = large.write(tmp_path_factory.mktemp("large") / "large.gguf", FORM)
    assert gguf.about(path).parameters == FORM.parameters
    return path


def entry(file: Path, **more: Any) -> LocalModel:
    """The model as the list has it: known by size and hash."""
    given = {"size": file.stat().st_size, "sha256": gguf.sha256(file), "context": CONTEXT}
    given |= {"memory_mb": MEMORY_MB, **more}
    return LocalModel.model_validate({"kind": "gguf", "file": file.name, **given})


def placed(folder: Path, file: Path) -> Path:
    """The file in the folder of models of a state."""
    (folder / "models").mkdir(exist_ok=True)
    (folder / "models" / file.name).hardlink_to(file)
    return folder / "models" / file.name


def runner(g: Gear) -> LocalRunner:
    found = g.pool._runners["large"][1]
    assert isinstance(found, LocalRunner)
    return found


def cpu_s(pid: int) -> float:
    """Processor time that a process has had [s]."""
    fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def test_it_is_loaded_in_the_jail_and_held_to_the_facts(tmp_path: Path, file: Path) -> None:
    async with gear(tmp_path) as g:
        placed(tmp_path, file)
        await g.set({"large": entry(file).model_dump()})
        began = time.perf_counter()
        await g.pool.warm(ask(model="large"))
        loaded_s = time.perf_counter() - began
        load_s = cpu_s(runner(g).pid)
        assert runner(g).state == "ready", runner(g).state
        assert {"seccomp", "no-files"} <= set(runner(g).jail)
        for language in LANGUAGES:
            asked = prompt.ask(sheet(3), language, is_own_model=False)
            names = set(re.findall(r'"([a-z_]+)"', asked.grammar.partition("name ::=")[2]))
            messages = {"messages": asked.messages, "grammar": asked.grammar}
            more = {
                "task": "explain",
                "model": "large",
                "language": language,
                "tokens_max": 60,
                "deadline_s": 300.0,
            }
            before_s = cpu_s(runner(g).pid)
            first_s: list[float] = []

            def heard(text: str, pid: int = runner(g).pid, first: list[float] = first_s) -> None:
                first.append(cpu_s(pid))

            found = await g.pool.generate(ask(**messages, **more), heard)
            assert found.tokens_out == 60
            assert not list(strangers(found.text, names, is_cut=True)), found.text
            read = check.read(sheet(3), language, found.text, is_own_model=False)
            assert read is None, "chance tells nothing of an alarm"
            asked_s, told_s = first_s[0] - before_s, first_s[-1] - first_s[0]
            print(
                f"{language}: {found.tokens_in} tokens in {found.first_s:.2f} s ({asked_s:.2f} s "
                f"of CPU), {found.tokens_out} out in {found.took_s - found.first_s:.2f} s "
                f"({told_s:.2f} s of CPU)"
            )
        lines = Path(f"/proc/{runner(g).pid}/status").read_text("ascii").splitlines()
        had = {line.partition(":")[0]: line.split()[1] for line in lines if line.startswith("Vm")}
        print(
            f"{FORM.parameters / 1e9:.2f} billion, {file.stat().st_size / 1e6:.0f} MB: loaded in "
            f"{loaded_s:.2f} s ({load_s:.2f} s of CPU), {int(had['VmHWM']) / 1e3:.0f} MB in "
            f"memory at most, {int(had['VmPeak']) / 1e3:.0f} MB of addresses"
        )
        assert int(had["VmPeak"]) <= MEMORY_MB * 1024


async def test_another_file_of_its_name_is_not_loaded(tmp_path: Path, file: Path) -> None:
    changed = tmp_path / file.name
    data = bytearray(file.read_bytes())
    data[-40] ^= 0x55
    changed.write_bytes(data)
    async with gear(tmp_path) as g:
        placed(tmp_path, changed)
        await g.set({"large": entry(changed, sha256=gguf.sha256(file)).model_dump()})
        with pytest.raises(ConfigError, match="SHA-256 is another"):
            await g.pool.generate(ask(model="large"))
        await g.set({"large": entry(changed, size=5).model_dump()})
        with pytest.raises(ConfigError, match="bytes, not 5"):
            await g.pool.generate(ask(model="large"))


@pytest.mark.skipif(not TORTURE, reason="the small form fits into the least: GENBA_TORTURE=1")
async def test_one_that_is_too_large_for_its_memory_is_refused_in_words(
    tmp_path: Path, file: Path
) -> None:
    async with gear(tmp_path) as g:
        placed(tmp_path, file)
        await g.set({"large": entry(file, memory_mb=TOO_LITTLE_MB).model_dump()})
        with pytest.raises(ConfigError) as told:
            await g.pool.generate(ask(model="large"))
        print(told.value)
        assert "memory_mb" in str(told.value)


async def use(bench: Bench, file: Path) -> None:
    """This model explains."""
    placed(bench.runtime.state_dir, file)
    entries = {"large": entry(file).model_dump(mode="json")}
    models = ModelList.of({"models": entries, "rules": [{"models": ["large"]}]})
    await bench.runtime.models.book.put(models, None, "user:test", "models/set")


async def test_a_deadline_leaves_the_template_and_alarms_come_meanwhile(
    tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with gateway(tmp_path, monkeypatch, 2.0 if TORTURE else 0.3) as bench:
        await use(bench, file)
        await bench.story((HOT,))
        states: list[str] = []

        def is_written() -> bool:
            entry_ = bench.runtime.models._runners.get("large")
            states.append(str(getattr(entry_[1], "state", "")) if entry_ else "")
            return states[-1] == "busy" or bench.explainer.counts["late"] > 0

        await until(is_written, 60)
        await bench.read(one_more(bench))
        assert bench.runtime.book.get(alarm_of(OTHER)) is not None
        found = await bench.explained(alarm_of(HOT))
        assert (found["state"], found["text"]["by"]) == ("done", "template")
        reason = found["text"]["reason"]
        assert ("seconds" in reason or " s" in reason) if TORTURE else reason, reason
        print(f"deadline: {reason}")
        assert all(sentence["is_checked"] for sentence in found["text"]["sentences"])


@pytest.mark.skipif(TORTURE, reason="it writes for minutes, and the small form shows the same")
async def test_with_time_what_chance_writes_is_seen_and_not_taken(
    tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with gateway(tmp_path, monkeypatch, 120.0) as bench:
        await use(bench, file)
        await bench.story((HOT,))
        async with asyncio.timeout(200):
            while (found := await bench.explained_or_not(alarm_of(HOT)))["state"] != "done":
                await asyncio.sleep(0.1)
        assert found["text"]["by"] == "template"
        assert bench.explainer.counts["unchecked"] >= 1, bench.explainer.counts
        print(f"with time: {found['text']['reason']}")
