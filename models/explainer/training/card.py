"""Card: what our own model is, made of, worth and not worth; written from what the steps found."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

_VOTES: Final = Path(__file__).with_name("votes.json")
"""A reader's votes; whoever trains a new model reads again."""
_FIGURES: Final = (
    ("valid", "Valid: every sentence true, nothing missing, in order"),
    ("true sentences", "Sentences that are true for the facts"),
    ("first mover", "Names what moved first, where another signal did"),
    ("cause", "Names the likeliest cause"),
    ("check", "Names its first check"),
    ("right cause", "Names the cause that was at work (imagined alarms)"),
    ("nothing dropped", "Passes the gateway's check untouched"),
    ("shown", "Passes the check at all; else the template is shown"),
)
_SETS: Final = (
    ("test", "New facts, kinds seen in training"),
    ("kept", "Combinations of facts and names kept back from training"),
    ("plant", "Faults of the simulated plant, when raised and when mended"),
)


def text(notes: Mapping[str, Any]) -> str:
    """The card as Markdown."""
    return "\n".join((*_head(notes), *_made(notes), *_results(notes), *_limits(notes)))


def _head(notes: Mapping[str, Any]) -> list[str]:
    file, size, train = notes["file"], notes["size"], notes["train"]
    return [
        "# Model card: genba.gguf",
        "",
        "The model that ships with Genba. It words the explanation of an alarm, in English or in",
        "Japanese: it is told the facts as words of a closed vocabulary and chooses, orders and",
        "joins sentences with slots, which the gateway fills. It never sees and cannot write a",
        "name, a unit or a number: no token of its vocabulary has a digit.",
        "",
        "| | |",
        "|---|---|",
        "| Licence | Apache-2.0; no weights and no text of others went into it |",
        f"| Parameters | {train['parameters']:,} |",
        f"| Architecture | llama: {size['layers']} layers, width {size['width']},"
        f" {size['heads']} heads, {size['vocabulary']} tokens, tied head |",
        f"| File | {file['bytes']:,} bytes, Q8_0 |",
        f"| SHA-256 | `{file['sha256']}` |",
        "",
    ]


def _made(notes: Mapping[str, Any]) -> list[str]:
    train, exact, packed = notes["train"], notes["parity F32"], notes["parity Q8_0"]
    return [
        "## How it was made",
        "",
        "`make model` does all of it from nothing. Data: imagined alarms from a seed (classes of",
        "assets, shapes, other signals with lead and lag, changes, earlier alarms, similar cases,",
        "gaps), three in four of them drawn from a cause of `knowledge.txt`; and for each a text",
        "that `training/teacher.py` composes from the sentences of `phrases.txt` that are true",
        "for it.",
        "",
        f"* {train['pairs']:,} pairs, {train['tokens'] / 1e6:.2f} M tokens read in"
        f" {train['step']:,} steps of {train['plan']['batch']}:",
        f"  {train['cpu_s'] / 60:.0f} CPU-min on one thread,"
        f" {'no GPU' if train.get('device', 'cpu') == 'cpu' else 'and a GPU'}.",
        *_begun(notes.get("begun")),
        f"* Loss on new pairs {train['valid']:.3f} nat a token; most of it is the teacher's free",
        "  choice of wording.",
        "* llama.cpp against torch,"
        f" all {exact['positions']:,} positions of {exact['texts']} pairs:"
        " the logits differ by at most",
        f"  {exact['diff_max']:.4f} as F32 and {packed['diff_max']:.2f} as Q8_0 (mean"
        f" {packed['diff_mean']:.3f}); the likeliest token is the same in",
        f"  {packed['agree']:.1%} of the positions; the tokenizers differ in"
        f" {packed['tokens_differ']} texts.",
        "",
    ]


def _begun(earlier: Mapping[str, Any] | None) -> list[str]:
    if earlier is None:
        return []
    return [
        "* These steps did not begin with random weights but with those of runs of our own on",
        f"  earlier forms of the corpus ({earlier['step']:,} steps, {earlier['tokens'] / 1e6:.2f} M"
        f" tokens, {earlier['cpu_s'] / 60:.0f} CPU-min); the first of them did.",
    ]


def _results(notes: Mapping[str, Any]) -> list[str]:
    found = notes["evaluate"]
    lines = ["## Results", ""]
    for key, title in _SETS:
        if key not in found:
            continue
        lines += [f"{title} ({_count(found[key])} texts):", ""]
        lines += ["| | model EN | model JA | template EN | template JA |", "|---|---|---|---|---|"]
        names = ("model en", "model ja", "template en", "template ja")
        for figure, meaning in _FIGURES:
            if key == "plant" and figure == "right cause":
                continue  # What was at work there is not in our knowledge base's words.
            shares = " | ".join(f"{found[key][name][figure]:.1%}" for name in names)
            lines.append(f"| {meaning} | {shares} |")
        for figure, meaning in (
            ("texts with a digit", "Texts with a digit"),
            ("texts with a strange slot", "Texts with a slot that has no value"),
        ):
            counts = " | ".join(str(found[key][name][figure]) for name in names)
            lines.append(f"| {meaning} | {counts} |")
        sentences = " | ".join(f"{found[key][name]['sentences a text']:.1f}" for name in names)
        worth = " | ".join(f"{found[key][name]['worth']:.2f}" for name in names)
        lines += [f"| Sentences a text | {sentences} |", f"| Worth by the rubric | {worth} |", ""]
    lines += [
        f"One explanation takes {found['cpu ms']:.0f} ms of CPU (95 %: {found['cpu ms p95']:.0f}"
        f" ms) on one thread, {found['tokens']:.0f} tokens.",
        "",
        *_blind(found),
    ]
    return lines


def _count(part: Mapping[str, Any]) -> int:
    return int(part["model en"]["texts"] + part["model ja"]["texts"])


def _blind(found: Mapping[str, Any]) -> list[str]:
    lines = [
        "### Blind comparison with the template",
        "",
        "Pairs in random order, judged by the rubric of `training/judge.py`, which sees the facts",
        "and two texts, not whose they are:",
        "",
        "| | model better | template better | equal | chance |",
        "|---|---|---|---|---|",
    ]
    for key, title in _SETS:
        if key not in found:
            continue
        one = found[key]["blind"]
        lines.append(
            f"| {title} | {one['model']} | {one['template']} | {one['tie']} | {one['chance']:.1g} |"
        )
    return [*lines, "", *_read()]


def _read() -> list[str]:
    """What a reader said of pairs with the slots filled, and what follows for the default."""
    votes = json.loads(_VOTES.read_text("utf-8"))
    is_better = votes["model"] > votes["template"]
    verdict = "better" if is_better else "not better"
    default = "model may be the default." if is_better else "template stays the default."
    return [
        f"A reader saw {votes['pairs']} pairs with the slots filled, in random order and without",
        "names (an engineer of the project, who knows how the template begins), and preferred",
        f"the model in {votes['model']}, the template in {votes['template']}, neither in"
        f" {votes['tie']}. The file that was read",
        f"was `{votes['sha256'][:12]}`. The rubric likes short texts, and the teacher has the same",
        "authors as the rubric; the reader missed facts that the model had left out. **For a",
        f"reader the model is {verdict} than the template, so the {default}**",
        "",
    ]


def _limits(notes: Mapping[str, Any]) -> list[str]:
    return [
        "## Limits",
        "",
        "* It knows the sentences it was trained on and no others. It does not reason: causes",
        "  are ranked by `causes.py`, the model only says them.",
        "* The alarms of the training are imagined by rules of ours, not recorded in a plant. How",
        "  often the likeliest cause is right in a real one is not known.",
        "* A sentence that does not follow from the facts is dropped by the gateway's check. One",
        "  that has no wrong fact but cannot be verified is shown, marked as not verified: that",
        "  was the case in 22 of 600 texts. What must be said then is said by the template.",
        "* The plant's faults are no set kept back: what an earlier state got wrong on them led to",
        "  changes of the imagined alarms, and of five states that were evaluated on all three",
        "  sets the one that is best on the plant was taken, not the best on imagined alarms.",
        "* When the words or the sentences change, it must be trained again; a test says so.",
        "",
    ]
