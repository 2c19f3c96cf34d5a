"""Make our own model from nothing: ``python -m models.explainer.training [STEP ...]``.

Without a step all are run in order. Everything is made in the folder of the build, and what is half
done stays there, so a run that was stopped goes on where it was. Only the last step, `ship`,
touches the model in the repository, and only when the new one is better on the same alarms.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any, Final

from models.explainer import slots
from models.explainer.training import (
    card,
    convert,
    corpus,
    evaluate,
    parity,
    reader,
    ship,
    train,
)
from models.explainer.training.net import Size
from models.explainer.training.tokenizer import Tokenizer, whole_tokens

_log = logging.getLogger(__name__)
STEPS: Final = ("tokenizer", "train", "convert", "parity", "evaluate", "card", "ship")
VERSION: Final = "1"
VOCABULARY: Final = 2048
_TOKENIZER_PAIRS: Final = 12_000
_VALID_PAIRS: Final = 96
_PARITY_PAIRS: Final = 12
HOME: Final = Path(__file__).resolve().parent.parent
MODEL: Final = HOME / "genba.gguf"
CARD: Final = HOME / "CARD.md"


def main(words: Sequence[str] | None = None) -> int:
    """Run the steps; 0 when all went well."""
    parser = argparse.ArgumentParser(prog="models.explainer.training", description=__doc__)
    parser.add_argument("steps", nargs="*", metavar="STEP", help=f"of {', '.join(STEPS)}")
    parser.add_argument("--folder", type=Path, default=Path("build/explainer"), help="of the build")
    parser.add_argument("--pairs", type=int, default=60_000, help="how many to train on")
    parser.add_argument("--steps-max", type=int, default=4000, help="batches to train on")
    parser.add_argument("--width", type=int, default=160, help="of the net")
    parser.add_argument("--rate", type=float, default=3e-3, help="highest learning rate")
    parser.add_argument("--begin", type=Path, help="folder of an earlier run to begin with")
    parser.add_argument("--sheets", type=Path, help="JSON list of sheets to evaluate on too")
    parser.add_argument("--cases", type=int, default=1000, help="to evaluate on, of each kind")
    parser.add_argument("--anyway", action="store_true", help="ship it though it is not better")
    said = parser.parse_args(words)
    wrong = [step for step in said.steps if step not in STEPS]
    if wrong:
        parser.error(f"no such step: {', '.join(wrong)}")
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    said.folder.mkdir(parents=True, exist_ok=True)
    _is_the_same_run(parser, said)
    for step in STEPS:
        if not said.steps or step in said.steps:
            _log.info("== %s", step)
            _STEPS[step](said)
    return 0


def _is_the_same_run(parser: argparse.ArgumentParser, said: argparse.Namespace) -> None:
    """A folder belongs to one run: tokens and weights of another corpus would go unnoticed."""
    grammar = (HOME / "phrases.txt").read_text("utf-8")
    words = "\n".join((*slots.VOCABULARY, *slots.NAMES, grammar))
    run = {
        "pairs": said.pairs,
        "width": said.width,
        "words": hashlib.sha256(words.encode()).hexdigest()[:16],
    }
    before = _notes(said.folder).setdefault("run", run)
    if before != run:
        parser.error(
            f"{said.folder} has another run, {before} and not {run}. Go on with that one, remove "
            "the folder, or name another with --folder."
        )
    _note(said.folder, "run", run)


def _tokenizer(said: argparse.Namespace) -> None:
    path = said.folder / "tokenizer.json"
    if said.begin and not path.exists():
        shutil.copy(said.begin / path.name, path)
    if path.exists():
        _log.info("%s is there.", path)
        return
    pairs = list(corpus.pairs("train", min(_TOKENIZER_PAIRS, said.pairs), seed=1))
    whole = whole_tokens(slots.VOCABULARY, slots.NAMES)
    tokenizer = Tokenizer.learn([pair.text for pair in pairs], whole, VOCABULARY)
    tokenizer.save(path)
    texts, prompts = (
        tokenizer.encode(list(some)) for some in zip(*map(_halves, pairs), strict=True)
    )
    _log.info(
        "%d tokens; a prompt has %.1f, a text %.1f on average.",
        *(len(tokenizer), sum(map(len, prompts)) / len(pairs), sum(map(len, texts)) / len(pairs)),
    )


def _halves(pair: corpus.Pair) -> tuple[str, str]:
    return pair.text, pair.prompt


def _train(said: argparse.Namespace) -> None:
    tokenizer = Tokenizer.load(said.folder / "tokenizer.json")
    _log.info("Composing %d pairs.", said.pairs)
    learned = list(corpus.pairs("train", said.pairs))
    watched = list(corpus.pairs("valid", _VALID_PAIRS))
    size = Size(len(tokenizer), width=said.width, hidden=said.width * 11 // 4 // 32 * 32)
    plan = train.Plan(steps=said.steps_max, rate=said.rate)
    if said.begin:
        before = asdict(train.progress_of(said.begin))
        for name, value in _notes(said.begin).get("begun", {}).items():
            before[name] += value if name in ("step", "tokens", "cpu_s") else 0
        _note(said.folder, "begun", before)
    progress = train.train(said.folder, learned, watched, size, plan, said.begin)
    made = {"pairs": said.pairs, "plan": asdict(plan), "device": train.device().type}
    _note(said.folder, "train", {**asdict(progress), **made})
    _note(said.folder, "size", size.to_json())


def _convert(said: argparse.Namespace) -> None:
    tokenizer = Tokenizer.load(said.folder / "tokenizer.json")
    about = convert.About(
        VERSION,
        "Chooses, orders and joins the sentences of an explanation; writes slots, no facts.",
        slots.VOCABULARY,
        slots.NAMES,
    )
    net = train.load(said.folder)
    convert.write(said.folder / "genba-F32.gguf", net, tokenizer, "F32", about)
    made = said.folder / "genba.gguf"
    digest = convert.write(made, net, tokenizer, "Q8_0", about)
    _note(said.folder, "file", {"sha256": digest, "bytes": made.stat().st_size})
    _log.info("%s: %.2f MB, sha256 %s", made, made.stat().st_size / 1e6, digest)


def _parity(said: argparse.Namespace) -> None:
    tokenizer = Tokenizer.load(said.folder / "tokenizer.json")
    net = train.load(said.folder)
    pairs = list(islice(corpus.pairs("test", _PARITY_PAIRS, seed=9), _PARITY_PAIRS))
    for kind, name in (("F32", "genba-F32.gguf"), ("Q8_0", "genba.gguf")):
        found = parity.compare(net, tokenizer, said.folder / name, pairs)
        _note(said.folder, f"parity {kind}", found.to_json())
        _log.info("%s: %s", kind, found)


def _evaluate(said: argparse.Namespace) -> None:
    results = evaluate.run(said.folder / "genba.gguf", said.cases, said.sheets)
    _note(said.folder, "evaluate", results)
    _log.info("%s", json.dumps(results, indent=1, ensure_ascii=False))
    shipped = evaluate.run(MODEL, said.cases, said.sheets) if _is_known(MODEL) else None
    _note(said.folder, "shipped", shipped)


def _is_known(path: Path) -> bool:
    """Whether a model was trained on the words there are now; another cannot be asked."""
    if not path.exists():
        return False
    found = reader.read(path)
    known = (found.get(reader.WORDS_KEY), found.get(reader.SLOTS_KEY))
    return known == (list(slots.VOCABULARY), list(slots.NAMES))


def _card(said: argparse.Namespace) -> None:
    path = said.folder / CARD.name
    path.write_text(card.text(_notes(said.folder)), "utf-8")
    _log.info("Wrote %s.", path)


def _ship(said: argparse.Namespace) -> None:
    notes = _notes(said.folder)
    against = ship.reasons(notes["evaluate"], notes["shipped"])
    if against and not said.anyway:
        _log.info("%s stays as it is.\n%s", MODEL, "\n".join(against))
        _log.info("The new model and its card are in %s; --anyway takes them.", said.folder)
        return
    MODEL.write_bytes((said.folder / "genba.gguf").read_bytes())
    CARD.write_text((said.folder / CARD.name).read_text("utf-8"), "utf-8")
    _log.info("The new model ships: %s.", MODEL)


def _note(folder: Path, name: str, value: Any) -> None:
    """Keep what a step found, for the card."""
    notes = _notes(folder) | {name: value}
    (folder / "notes.json").write_text(json.dumps(notes, indent=1), "utf-8")


def _notes(folder: Path) -> dict[str, Any]:
    path = folder / "notes.json"
    return dict(json.loads(path.read_text("utf-8"))) if path.exists() else {}


_STEPS: Final = {
    "tokenizer": _tokenizer,
    "train": _train,
    "convert": _convert,
    "parity": _parity,
    "evaluate": _evaluate,
    "card": _card,
    "ship": _ship,
}

if __name__ == "__main__":
    sys.exit(main())
